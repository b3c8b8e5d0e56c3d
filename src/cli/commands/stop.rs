//! `scheduler stop`: ends the running scheduler.

use crate::cli::Context;
use crate::cli::client::{self, Client};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::cli::store;
use crate::protocol::StopMode;
use crate::queue;

/// End the running scheduler, after its open attempts or immediately. `scheduler run` continues
/// where it ended; nothing is lost.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler stop --now\n\nNothing is lost; `scheduler run` continues where it ended."
)]
pub struct Args {
    /// End open attempts immediately instead of letting them finish
    #[arg(long)]
    pub now: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let project = Project::find(context.global.project.as_deref())?;
    let mode = if args.now {
        StopMode::Now
    } else {
        StopMode::Drain
    };
    let stopped = runtime::start()?.block_on(async {
        for _ in 0..client::TRIES {
            if let Some(mut client) = Client::connect(&project.socket).await? {
                client.stop(mode, true).await?;
                return Ok(true);
            }
            // Another command may hold the log briefly, and a scheduler may be starting.
            if queue::holder(&project.log).is_none() {
                return Ok(false);
            }
            client::pause().await;
        }
        match queue::holder(&project.log) {
            Some(holder) => Err(store::unheard(&project, holder.pid)),
            None => Ok(false),
        }
    })?;
    let text = if stopped {
        "the scheduler has ended; `scheduler run` continues where it ended"
    } else {
        "no scheduler is running here"
    };
    if context.out.is_json() {
        context
            .out
            .json(&serde_json::json!({ "stopped": stopped }))?;
    } else if !context.out.quiet {
        context.out.line(text)?;
    }
    Ok(ExitCode::Passing)
}
