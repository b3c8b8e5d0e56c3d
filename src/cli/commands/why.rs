//! `scheduler why`: why a feature is where it is.

use std::ops::ControlFlow;

use super::Ground;
use crate::cli::Context;
use crate::cli::engine;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::show;
use crate::cli::store::now;
use crate::model::apply::apply;
use crate::model::event::Recorded;
use crate::model::ids::{FeatureId, Sequence};
use crate::model::state::State;
use crate::model::views::WhyFold;

/// From the log alone: why it was or was not chosen, by what terms and against which others.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler why 118")]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id)]
    pub feature: FeatureId,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let ground = Ground::find(context)?;
    engine::runtime()?.block_on(async {
        let source = ground.source().await?;
        let mut fold = WhyFold::new(args.feature);
        let mut state = State::default();
        let each = &mut |recorded: Recorded| {
            fold.event(&recorded);
            apply(&mut state, &recorded);
            Ok(ControlFlow::Continue(()))
        };
        source.events(Sequence(1), each).await?;
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
            let page = show::why::page(&why, &context.out);
            context.out.bytes(page.as_bytes())?;
        }
        Ok(ExitCode::Passing)
    })
}
