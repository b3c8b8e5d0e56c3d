//! `scheduler replay`: the state at a point of the log.

use super::{ProjectContext, say_source};
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages;
use crate::cli::runtime;
use crate::model::ids::Sequence;
use crate::model::views;

/// Folds the log; changes nothing.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler replay --to 1200")]
pub struct Args {
    /// The last sequence number to fold [default: the head]
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
        say_source(context, &source);
        if let Some(wanted) = last.filter(|wanted| *wanted > state.sequence) {
            return Err(Error::usage(
                format!("cannot replay to event {wanted}"),
                format!("the log ends at event {}", state.sequence),
                "name an earlier event, or leave --to out for the last one",
            ));
        }
        // Seen from that moment: what was to be tried later is not yet due.
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
