//! `scheduler pause`: starts no new attempts.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;

/// Start no new attempts until you resume. Open attempts continue.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler pause --reason \"reviewing the first merges\"\n\nOpen attempts continue."
)]
pub struct Args {
    /// Reason, kept in the log
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
    let reason = args.reason.clone();
    super::submit(context, PersonCommand::Pause { reason }, "")
}
