//! `scheduler verify`: the proof that the log is whole.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Checks the chain of hashes, and that folding from every snapshot gives the same state.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler verify && echo whole")]
pub struct Args {}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("verify"))
}
