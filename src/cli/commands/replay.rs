//! `scheduler replay`: shows the state at a point in the log.

use super::{ProjectContext, warn_about_source};
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages;
use crate::cli::runtime;
use crate::model::ids::Sequence;
use crate::model::views;

/// Show the state at a point in the log. Changes nothing.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler replay --to 1200")]
pub struct Args {
    /// Last event to include [default: the end of the log]
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    runtime::start()?.block_on(async {
        let source = here.source().await?;
        let last = args.to.map(Sequence);
        let state = source.state(&here.project, last).await?;
        warn_about_source(context, &source);
        if let Some(wanted) = last.filter(|wanted| *wanted > state.sequence) {
            return Err(Error::usage(
                format!("cannot replay to event {wanted}"),
                format!("the log ends at event {}", state.sequence),
                "give an earlier event, or omit --to to replay the whole log",
            ));
        }
        // The view is as of that moment: a retry that was scheduled for later is not yet due.
        let now = state.at;
        let view = views::status(&state, now);
        if context.out.is_json() {
            context.out.json(&view)?;
        } else {
            let page = pages::status::page(&view, pages::status::AsOf::Sequence, now, &context.out);
            context.out.bytes(page.as_bytes())?;
        }
        Ok(ExitCode::Passing)
    })
}
