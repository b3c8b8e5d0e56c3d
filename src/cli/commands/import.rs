//! `scheduler import`: a backlog file into the log.

use std::path::PathBuf;

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// The file is validated as a whole first; then all of it is imported or nothing.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler import features.toml")]
pub struct Args {
    /// The backlog: TOML or JSON; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Change features that exist and differ, instead of refusing the file
    #[arg(long)]
    pub update: bool,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("import"))
}
