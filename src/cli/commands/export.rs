//! `scheduler export`: the log as JSON lines.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// One JSON object for every event, in order, on standard output.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler export > log.jsonl")]
pub struct Args {}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("export"))
}
