//! `scheduler resume`: attempts start again.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Ends a pause.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler resume")]
pub struct Args {}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("resume"))
}
