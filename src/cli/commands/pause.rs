//! `scheduler pause`: no new attempts.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Open attempts go on to their end.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler pause --reason \"reviewing the first merges\"")]
pub struct Args {
    /// Why, for those who read the log later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("pause"))
}
