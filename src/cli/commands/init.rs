//! `scheduler init`: the files that a project needs.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Nothing that exists is overwritten.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  cd my-repository && scheduler init")]
pub struct Args {}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("init"))
}
