//! `scheduler run`: works on the backlog until it is done.

mod detach;

use std::os::unix::net::UnixStream;

use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::config::Config;
use crate::cli::engine::{self, ProcessEnd, RunOptions};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::output::Output;
use crate::cli::pages;
use crate::cli::project::Project;
use crate::cli::worker_counts::WorkerCounts;
use crate::model::views::Report;

/// Work on the backlog until everything is done, blocked, or out of budget.
///
/// Without --workers, the run waits for workers that you start yourself.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler run --workers coding=3,testing=1\n  scheduler run        # and `worker --kind coding` in other terminals\n  scheduler run --detach --workers coding=3\n\nCtrl-C lets open attempts finish; a second Ctrl-C ends them immediately. `scheduler run` continues where the run ended; nothing is lost either way. If the terminal closes, the run continues in the background: `scheduler attach` shows it, `scheduler stop` ends it."
)]
pub struct Args {
    /// Workers to start and keep running, for example coding=3,testing=1
    #[arg(long, value_name = "KIND=N,…", add = ArgValueCandidates::new(completion::workers))]
    pub workers: Option<WorkerCounts>,
    /// Run in the background; return when the scheduler listens, or has failed to start
    #[arg(long)]
    pub detach: bool,
    /// Allow the log on a network file system (locking may be unreliable there)
    #[arg(long)]
    pub allow_network_filesystem: bool,
    /// Keep the run open when everything is done, and wait for new features
    #[arg(long)]
    pub stay: bool,
    /// Seed for all random choices [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Started by `--detach`: standard input is a socket to the starter
    #[arg(long, hide = true)]
    pub background: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let project = Project::find(context.global.project.as_deref())?;
    if args.detach && !args.background {
        return detach::start(context, &project);
    }
    let starter = match args.background {
        true => Some(detach::begin()?),
        false => None,
    };
    let ran = work(context, &project, args, starter);
    let end = ran.as_ref();
    let end = end.map(|(code, reason, _)| (*code, reason.as_str()));
    ProcessEnd::of(end).write(&project);
    let (code, reason, report) = ran?;
    // The terminal may have closed meanwhile.
    print_end(&Output::new(&context.global), code, &reason, &report)?;
    Ok(code)
}

fn work(
    context: &Context,
    project: &Project,
    args: &Args,
    starter: Option<UnixStream>,
) -> Result<(ExitCode, String, Report), Error> {
    let mut config = Config::load(project)?;
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
        starter,
    };
    let ended = engine::work(context, project, &config, options)?;
    let reason = match (ended.code(), ended.reason()) {
        (ExitCode::Interrupted, _) => pages::end::INTERRUPTED,
        (_, reason) => reason,
    };
    Ok((ended.code(), reason.to_owned(), ended.report))
}

/// Prints how a run ended, on standard output.
pub(super) fn print_end(
    out: &Output,
    code: ExitCode,
    reason: &str,
    report: &Report,
) -> Result<(), Error> {
    let interrupted = code == ExitCode::Interrupted;
    if out.is_json() {
        return out.json(&serde_json::json!({
            "ended": if interrupted { "interrupted" } else { "finished" },
            "reason": reason,
            "exit_code": code.code(),
            "features": report.features,
            "passing": report.passing,
            "report": report,
        }));
    }
    if out.quiet {
        return Ok(());
    }
    let page = pages::end::run(report, reason, out);
    out.bytes(page.as_bytes())
}
