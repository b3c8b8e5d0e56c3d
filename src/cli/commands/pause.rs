//! `scheduler pause`: no new attempts.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;

/// Open attempts go on to their end.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler pause --reason \"reviewing the first merges\"")]
pub struct Args {
    /// Why, for those who read the log later
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub reason: String,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let command = PersonCommand::Pause {
        reason: args.reason.clone(),
    };
    super::submit(
        context,
        command,
        "paused: open attempts go on, nothing new starts until `scheduler resume`",
    )
}
