//! `scheduler run`: works on the backlog until it is done.

use crate::cli::Context;
use crate::cli::config::Config;
use crate::cli::engine::{self, Ended, RunOptions};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages;
use crate::cli::project::Project;
use crate::cli::worker_counts::WorkerCounts;
use crate::model::feature::Status;

/// Work on the backlog until everything is done, blocked, or out of budget.
///
/// Without --workers, the run waits for workers that you start yourself.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler run --workers coding=3,testing=1\n  scheduler run        # and `worker --kind coding` in other terminals\n\nCtrl-C lets open attempts finish; a second Ctrl-C ends them immediately. `scheduler run` continues where the run ended; nothing is lost either way."
)]
pub struct Args {
    /// Workers to start and keep running, for example coding=3,testing=1
    #[arg(long, value_name = "KIND=N,…")]
    pub workers: Option<WorkerCounts>,
    /// Allow the log on a network file system (locking may be unreliable there)
    #[arg(long)]
    pub allow_network_filesystem: bool,
    /// Keep the run open when everything is done, and wait for new features
    #[arg(long)]
    pub stay: bool,
    /// Seed for all random choices [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let project = Project::find(context.global.project.as_deref())?;
    let mut config = Config::load(&project)?;
    let raised = args
        .workers
        .and_then(|counts| config.set_worker_counts(counts));
    if args.allow_network_filesystem {
        config.set_allow_network_filesystem();
    }
    let options = RunOptions {
        workers: config.worker_counts(),
        seed: args.seed,
        stay: args.stay,
        notes: raised
            .into_iter()
            .chain(config.outdated().map(str::to_owned))
            .collect(),
    };
    let ended = engine::work(context, &project, &config, options)?;
    print_end(context, &ended)?;
    Ok(ended.code())
}

/// Prints how the run ended, on standard output.
fn print_end(context: &Context, ended: &Ended) -> Result<(), Error> {
    let interrupted = ended.code() == ExitCode::Interrupted;
    let reason = match ended.reason() {
        _ if interrupted => pages::end::INTERRUPTED,
        reason => reason,
    };
    if context.out.is_json() {
        let passing = ended.state.count(Status::Passing);
        return context.out.json(&serde_json::json!({
            "ended": if interrupted { "interrupted" } else { "finished" },
            "reason": reason,
            "exit_code": ended.code().code(),
            "features": ended.state.features().count(),
            "passing": passing,
        }));
    }
    if context.out.quiet {
        return Ok(());
    }
    let page = pages::end::run(reason, &context.out);
    context.out.bytes(page.as_bytes())
}
