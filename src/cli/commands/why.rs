//! `scheduler why`: explains a feature's status.

use std::ops::ControlFlow;

use super::{ProjectContext, warn_about_source};
use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages::{self, why::Tails};
use crate::cli::runtime;
use crate::cli::store::now;
use crate::cli::text::{clean_lines, trimmed};
use crate::model::apply::apply;
use crate::model::event::Recorded;
use crate::model::ids::{FeatureId, Sequence};
use crate::model::state::State;
use crate::model::views::{TimelineEntry, Why, WhyFold};
use crate::queue::Contents;

/// Explain a feature's status, and why each of its attempts was chosen over others.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler why 118")]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id, add = ArgValueCandidates::new(completion::features))]
    pub feature: FeatureId,
    /// Show every passed test, not only the last of several in a row
    #[arg(long)]
    pub all: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    runtime::start()?.block_on(async {
        let source = here.source().await?;
        let mut fold = WhyFold::new(args.feature);
        let mut state = State::default();
        let each = &mut |recorded: Recorded| {
            fold.event(&recorded);
            apply(&mut state, &recorded);
            Ok(ControlFlow::Continue(()))
        };
        source.events(Sequence(1), each).await?;
        warn_about_source(context, &source);
        state.settle();
        let why = fold.answer(&state, now()).ok_or_else(|| {
            Error::usage(
                format!("cannot explain {}", args.feature),
                "the log has no such feature",
                "`scheduler status --format json` lists every feature",
            )
        })?;
        if context.out.is_json() {
            context.out.json(&why)?;
        } else {
            let page = pages::why::page(&why, &tails(&here, &why), args.all, &context.out);
            context.out.bytes(page.as_bytes())?;
        }
        Ok(ExitCode::Passing)
    })
}

/// Outputs are shown for this many failures, the latest ones.
const TAILS_MAX: usize = 3;
/// Last lines shown of an output; most test runners say at the end what failed.
const TAIL_LINES_MAX: usize = 10;

/// The last lines of failed checks' outputs. Missing outputs are left out; `show` reports them.
fn tails(here: &ProjectContext, why: &Why) -> Tails {
    let contents = here.contents();
    let tail = |entry: &TimelineEntry| {
        let failed = entry.checks.last().filter(|check| !check.end.passed())?;
        let bytes = contents.get(&failed.output).ok()?;
        let text = clean_lines(trimmed(&String::from_utf8_lossy(&bytes)));
        let lines: Vec<&str> = text.lines().collect();
        let hidden = lines.len().saturating_sub(TAIL_LINES_MAX);
        let shown = lines.iter().skip(hidden).map(|line| (*line).to_owned());
        Some((entry.sequence, shown.collect()))
    };
    let entries = why.entries.iter().rev();
    entries.filter_map(tail).take(TAILS_MAX).collect()
}
