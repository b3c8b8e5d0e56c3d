//! `scheduler report`: shows what a night brought, what it cost, and what waits for a person.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{ProjectContext, warn_about_source};
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages::report;
use crate::cli::runtime;
use crate::cli::source::Source;
use crate::cli::store;
use crate::model::event::Recorded;
use crate::model::ids::{Sequence, Timestamp};
use crate::model::state::State;
use crate::model::views::report::{Begin, Report, ReportFold};

/// Show what passed, what failed and why, what was spent, and what waits for you.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler report\n  scheduler report --since 8h\n  scheduler report --since 24h --markdown > report.md"
)]
pub struct Args {
    /// Report this long until now, for example 8h or 7d [default: the current or last run]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// Print Markdown
    #[arg(long)]
    pub markdown: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    let now = store::now();
    let report = runtime::start()?.block_on(async {
        let source = here.source().await?;
        let state = source.state(&here.project, None).await?;
        let report = folded(&source, &state, args.since, now).await?;
        warn_about_source(context, &source);
        Ok(report)
    })?;
    let page = match (context.out.is_json(), args.markdown) {
        (true, _) => {
            context.out.json(&report)?;
            return Ok(ExitCode::Passing);
        }
        (false, true) => report::markdown::page(&report),
        (false, false) => report::page(&report, &context.out),
    };
    context.out.bytes(page.as_bytes())?;
    Ok(ExitCode::Passing)
}

/// The report of the events up to `state`: of the last `since`, or of the last run.
pub(super) async fn folded(
    source: &Source,
    state: &State,
    since: Option<Duration>,
    now: Timestamp,
) -> Result<Report, Error> {
    let run = state.run.as_ref().map(|run| run.started);
    let begin = match since {
        Some(since) => {
            let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            Begin::Time(Timestamp(now.0.saturating_sub(ms)))
        }
        None => Begin::Event(run.unwrap_or(state.sequence.next())),
    };
    let mut fold = ReportFold::new(begin);
    let last = state.sequence;
    // Attempts of the period may have begun before it, so reading begins with the first event.
    let each = &mut |recorded: Recorded| {
        // The log may have grown since the state was read.
        if recorded.sequence > last {
            return Ok(ControlFlow::Break(()));
        }
        fold.event(&recorded);
        Ok(ControlFlow::Continue(()))
    };
    source.events(Sequence(1), each).await?;
    // A run's report ends with its last event, because nothing happened since.
    let open = state.run.as_ref().is_some_and(|run| run.finished.is_none());
    let until = (since.is_some() || open && source.is_running()).then_some(now);
    Ok(fold.report(state, until))
}
