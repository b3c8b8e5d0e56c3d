//! `scheduler replay`: the state at a point of the log.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Folds the log; changes nothing.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler replay --to 1200")]
pub struct Args {
    /// The last sequence number to fold [default: the head]
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("replay"))
}
