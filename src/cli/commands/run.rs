//! `scheduler run`: work on the backlog until it is done.

use super::WorkerCounts;
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Waits for workers when it starts none itself.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler run --workers coding=3,testing=1\n  scheduler run        # and `worker --kind coding` in other terminals\n\nCtrl-C lets the open attempts finish; a second Ctrl-C ends them now. Nothing is lost either way."
)]
pub struct Args {
    /// Workers to start and to keep running [example: coding=3,testing=1]
    #[arg(long, value_name = "KIND=N,…")]
    pub workers: Option<WorkerCounts>,
    /// Keep the log on a network file system all the same; a lock may not hold there
    #[arg(long)]
    pub allow_network_filesystem: bool,
    /// Seed of everything that is drawn [default: drawn]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("run"))
}
