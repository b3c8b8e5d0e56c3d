//! `scheduler stop`: end the running scheduler.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Nothing is lost either way; `run` goes on where it ended.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler stop --now")]
pub struct Args {
    /// End the open attempts too, instead of waiting for them
    #[arg(long)]
    pub now: bool,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("stop"))
}
