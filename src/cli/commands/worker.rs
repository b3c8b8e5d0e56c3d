//! The worker: takes jobs, one at a time.

use std::path::PathBuf;

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::settings::WorkerKind;

/// Finds the scheduler by the project directory, waits for it, and survives its restart.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  worker --kind coding         # in as many terminals as you like\n  worker --kind testing -C ~/my-repository"
)]
pub struct Args {
    /// Which jobs to take
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// Socket of another scheduler [default: that of the project]
    #[arg(long, value_name = "PATH")]
    pub connect: Option<PathBuf>,
}

/// The jobs that a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Implements features.
    Coding,
    /// Tests passing features; changes no code.
    Testing,
}

impl From<Kind> for WorkerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Coding => Self::Coding,
            Kind::Testing => Self::Testing,
        }
    }
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("worker"))
}
