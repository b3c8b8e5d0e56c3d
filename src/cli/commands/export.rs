//! `scheduler export`: the log as JSON lines.

use std::ops::ControlFlow;

use super::{Ground, event_json};
use crate::cli::Context;
use crate::cli::engine;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::event::Recorded;
use crate::model::ids::Sequence;

/// One JSON object for every event, in order, on standard output.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler export > log.jsonl")]
pub struct Args {}

/// Bytes of lines that are written at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    let ground = Ground::find(context)?;
    engine::runtime()?.block_on(async {
        let source = ground.source().await?;
        let mut lines = String::new();
        let each = &mut |recorded: Recorded| {
            lines.push_str(&event_json(&recorded)?);
            lines.push('\n');
            if lines.len() >= BUFFER_BYTES {
                context.out.bytes(lines.as_bytes())?;
                lines.clear();
            }
            Ok(ControlFlow::Continue(()))
        };
        source.events(Sequence(1), each).await?;
        context.out.bytes(lines.as_bytes())?;
        Ok(ExitCode::Passing)
    })
}
