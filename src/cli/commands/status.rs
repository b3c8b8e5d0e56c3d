//! `scheduler status`: the backlog at a glance.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Works while a scheduler runs and when none does.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler status\n  scheduler status --watch\n  scheduler status --format json"
)]
pub struct Args {
    /// Show it again whenever something happens, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("status"))
}
