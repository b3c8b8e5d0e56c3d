//! `scheduler run`: work on the backlog until it is done.

use crate::cli::Context;
use crate::cli::config::Config;
use crate::cli::engine::{self, Ended, Wish};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;
use crate::cli::worker_counts::WorkerCounts;
use crate::model::feature::Status;

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
    /// Keep the run open when everything is done, for features that are still to come
    #[arg(long)]
    pub stay: bool,
    /// Seed of everything that is drawn [default: drawn]
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
    let wish = Wish {
        crew: config.worker_counts(),
        seed: args.seed,
        stay: args.stay,
        note: raised,
    };
    let ended = engine::work(context, &project, &config, wish)?;
    say_end(context, &ended)?;
    Ok(ended.code())
}

/// The last word of a run, on standard output.
fn say_end(context: &Context, ended: &Ended) -> Result<(), Error> {
    let interrupted = ended.code() == ExitCode::Interrupted;
    let reason = match ended.reason() {
        _ if interrupted => "interrupted; `scheduler run` goes on where it ended",
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
    context.out.line(reason)
}
