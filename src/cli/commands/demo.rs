//! `scheduler demo`: runs the bundled example, from its backlog to merged commits.

mod sandbox_repo;
mod summary;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use crate::cli::Context;
use crate::cli::config::Config;
use crate::cli::engine::{self, RunOptions};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::runtime;
use crate::cli::store;
use crate::cli::text::clean;
use crate::cli::worker_counts::WorkerCounts;
use crate::model::backlog::{self, Format};
use crate::model::command::PersonCommand;

/// Run the bundled example, from its backlog to merged commits.
///
/// The demo copies the example into a new directory, imports its backlog, runs it with scripted
/// agents, and prints a summary.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler demo --dir /tmp/crewlog-demo\n\nThe demo copies the example into a new directory, imports its backlog, runs it with scripted agents, and prints a summary. It needs no agent and no network."
)]
pub struct Args {
    /// Directory for the copy: new, empty, or of an earlier demo, which then continues
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Seed for all random choices [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// The example's conflicting features meet only with three coding workers.
const WORKERS: WorkerCounts = WorkerCounts {
    coding: 3,
    testing: 1,
};

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let began = Instant::now();
    let sandbox = sandbox_repo::prepare(args.dir.as_deref())?;
    print_where(context, &sandbox);
    let config = Config::load(&sandbox.project)?;
    if sandbox.fresh {
        import(&sandbox, &config)?;
        sandbox.mark_ready()?;
    }
    let options = RunOptions {
        workers: WORKERS,
        seed: args.seed,
        stay: false,
        notes: Vec::new(),
        starter: None,
    };
    let ended = engine::work(context, &sandbox.project, &config, options)?;
    let wall_ms = began.elapsed().as_millis() as u64;
    summary::print(context, &sandbox.project, &ended, wall_ms)?;
    Ok(ended.code())
}

fn print_where(context: &Context, sandbox: &sandbox_repo::SandboxRepo) {
    if !context.global.quiet {
        let what = if sandbox.fresh {
            "the demo runs in"
        } else {
            "the demo continues in"
        };
        // The demo runs even if standard error is closed.
        let root = clean(&sandbox.project.root.display().to_string());
        let _ = writeln!(io::stderr(), "{what} {root}");
    }
}

fn import(sandbox: &sandbox_repo::SandboxRepo, config: &Config) -> Result<(), Error> {
    let broken = |error: backlog::BacklogErrors| {
        Error::internal(
            "the example's backlog is invalid",
            error,
            "this is a bug in Crewlog; please report it",
        )
    };
    let parsed = backlog::parse(&sandbox.backlog, Format::Toml).map_err(broken)?;
    let features = backlog::resolve(parsed, &Default::default()).map_err(broken)?;
    let command = PersonCommand::Import {
        features,
        update: true,
    };
    let submitted = store::submit(&sandbox.project, config, command);
    runtime::start()?.block_on(submitted)?;
    Ok(())
}
