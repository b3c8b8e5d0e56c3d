//! `scheduler why`: why a feature is where it is.

use std::ops::ControlFlow;

use super::{ProjectContext, say_source};
use crate::cli::Context;
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

/// From the log alone: why it was or was not chosen, by what terms and against which others.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler why 118")]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id)]
    pub feature: FeatureId,
    /// Every test that passed, too, not only the last of several in a row
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
        say_source(context, &source);
        state.settle();
        let why = fold.answer(&state, now()).ok_or_else(|| {
            Error::usage(
                format!("cannot say anything about {}", args.feature),
                "there is no such feature in the log",
                "`scheduler status` lists the backlog",
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

/// Failures whose outputs are looked at, the last ones: older ones were told to later attempts.
const TAILS_MAX: usize = 3;
/// Lines of an output that are shown; most test runners say at the end what failed.
const TAIL_LINES_MAX: usize = 10;

/// The last lines of what failed checks put out. One that is gone is passed over: `show` says so.
fn tails(here: &ProjectContext, why: &Why) -> Tails {
    let contents = here.contents();
    let tail = |entry: &TimelineEntry| {
        let failed = entry.checks.last().filter(|check| check.exit_code != 0)?;
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
