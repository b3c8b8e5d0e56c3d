//! `scheduler demo`: the shipped example, from its backlog to merged commits.

use std::path::PathBuf;

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Copy the example into a fresh directory, import it, run it, and sum it up.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler demo --dir /tmp/crewlog-demo")]
pub struct Args {
    /// Where to put the copy: an empty or new directory, or that of an earlier demo, which goes on
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("demo"))
}
