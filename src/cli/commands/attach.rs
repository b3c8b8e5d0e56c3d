//! `scheduler attach`: the live screen of a run that somebody else started.

use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::ProjectContext;
use super::run::print_end;
use crate::cli::Context;
use crate::cli::client::{self, Call, Client, READER_LIMIT};
use crate::cli::engine::{ProcessEnd, Watcher};
use crate::cli::error::{Cause, Error};
use crate::cli::exit::ExitCode;
use crate::cli::progress::{Progress, Screen};
use crate::cli::source::received;
use crate::cli::{failures, runtime, store};
use crate::model::event::ProcessIdentity;
use crate::model::ids::Sequence;
use crate::protocol::{ClientMessage, ToClient, identity};
use crate::queue::FileContents;
use crate::queue::log::recorded;
use crate::scheduler::Observer;
use crate::worker::{Hangup, Signals};

/// Show the live screen of a run in the background, until it ends.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler run --detach --workers coding=3\n  scheduler attach\n\nCtrl-C ends only the screen; the run continues. `scheduler stop` ends the run. When the run ends, so does this command, with the run's exit code."
)]
pub struct Args {}

/// How often the scheduler's activity is asked for.
const LIVE_EVERY: Duration = Duration::from_millis(250);
/// How often to look whether the run's process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    let screen = Screen::new(&context.global);
    runtime::start()?.block_on(async {
        let mut signals = Signals::new(Hangup::Ends)
            .map_err(|error| Error::internal("cannot handle signals", error, ""))?;
        let source = here.source().await?;
        let state = source.state(&here.project, None).await?;
        let process = running(&here).await?;
        let progress = Progress::new(
            screen.clone(),
            &state,
            store::now(),
            context.global.verbose > 0,
        );
        if !context.global.quiet {
            let pid = process.pid;
            screen.note(&format!(
                "attached to the run (pid {pid}); Ctrl-C detaches, `scheduler stop` ends the run"
            ));
        }
        let mut attached = Attached {
            here: &here,
            next: state.sequence.next(),
            watcher: Watcher::new(progress, context.global.quiet),
            contents: here.contents(),
            screen: screen.clone(),
            process,
        };
        let ended = tokio::select! {
            ended = attached.follow() => ended.map(|()| true),
            () = signals.next() => Ok(false),
        };
        screen.clear();
        match ended? {
            true => conclude(context, &here, &attached.process).await,
            false => {
                if !context.global.quiet {
                    screen.note("detached; the run continues");
                }
                Ok(ExitCode::Passing)
            }
        }
    })
}

/// The process of the running scheduler.
async fn running(here: &ProjectContext) -> Result<ProcessIdentity, Error> {
    let client = Client::connect(&here.project.socket).await?;
    let pid = client.and_then(|client| client.pid());
    let process = pid.and_then(|pid| identity::process_identity(pid).ok());
    process.ok_or_else(|| {
        Error::usage(
            "cannot attach to a run",
            "no scheduler is running here",
            "start one with `scheduler run --detach`; `scheduler report` shows what the last run brought",
        )
    })
}

struct Attached<'a> {
    here: &'a ProjectContext,
    /// The next event to show.
    next: Sequence,
    watcher: Watcher,
    contents: FileContents,
    screen: Screen,
    process: ProcessIdentity,
}

impl Attached<'_> {
    /// Shows what happens until the scheduler's process has ended.
    async fn follow(&mut self) -> Result<(), Error> {
        while identity::is_alive(&self.process) {
            match Client::call(&self.here.project.socket, READER_LIMIT).await? {
                Call::Answered(client) if client.pid() == Some(self.process.pid) => {
                    self.connected(*client).await?;
                }
                // It is ending, or stopped; or another one has started since.
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        Ok(())
    }

    /// Shows what happens until the connection ends.
    async fn connected(&mut self, mut client: Client) -> Result<(), Error> {
        let (from, follow) = (self.next, true);
        let sent = client.send(&ClientMessage::Read { from, follow }).await;
        if lost(sent)? {
            return Ok(());
        }
        let mut tick = tokio::time::interval(LIVE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // When the scheduler was asked for its activity, and whether its silence was told.
        let mut asked: Option<(Instant, bool)> = None;
        loop {
            tokio::select! {
                message = client.next() => match message {
                    Ok(Some(ToClient::Live(live))) => {
                        asked = None;
                        self.watcher.live(&live);
                    }
                    Ok(Some(message)) => self.take(message)?,
                    Ok(None) => return Ok(()),
                    Err(error) if error.cause == Cause::ConnectionLost => return Ok(()),
                    Err(error) => return Err(error),
                },
                _ = tick.tick() => match &mut asked {
                    None => {
                        asked = Some((Instant::now(), false));
                        if lost(client.send(&ClientMessage::Live).await)? {
                            return Ok(());
                        }
                    }
                    Some((since, told)) if since.elapsed() >= READER_LIMIT && !*told => {
                        *told = true;
                        self.screen.note("the scheduler does not answer; waiting for it");
                    }
                    Some(_) => {}
                },
            }
        }
    }

    fn take(&mut self, message: ToClient) -> Result<(), Error> {
        match message {
            ToClient::Events { envelopes } => {
                for bytes in &envelopes {
                    let envelope = received(bytes)?;
                    self.next = envelope.sequence.next();
                    match recorded(&envelope, &self.contents) {
                        Ok(event) => self.watcher.committed(&[event]),
                        // `log` and `verify` name it.
                        Err(error) if error.is_lost_text() => {}
                        Err(error) => return Err(failures::of_log(&error)),
                    }
                }
                Ok(())
            }
            ToClient::CaughtUp { .. } => Ok(()),
            ToClient::Refused(problem) => Err(client::turned_away(problem)),
            other => Err(Error::internal(
                "cannot understand the scheduler",
                format!("it answered {other:?}"),
                "use the same version of Crewlog for both",
            )),
        }
    }
}

/// True when the other side has disconnected.
fn lost(sent: Result<(), Error>) -> Result<bool, Error> {
    match sent {
        Err(error) if error.cause == Cause::ConnectionLost => Ok(true),
        sent => sent.map(|()| false),
    }
}

/// Prints how the run ended, and returns its exit code.
async fn conclude(
    context: &Context,
    here: &ProjectContext,
    process: &ProcessIdentity,
) -> Result<ExitCode, Error> {
    let Some(end) = ProcessEnd::read(&here.project, process.pid) else {
        return Err(Error::internal(
            "the run has ended unexpectedly",
            format!("its process (pid {}) was killed", process.pid),
            "continue with `scheduler run`; nothing acknowledged is lost",
        ));
    };
    let code = ExitCode::of(end.exit_code).unwrap_or(ExitCode::Internal);
    if !end.error.is_empty() {
        context.note(&end.error);
        return Ok(code);
    }
    let source = here.source().await?;
    let state = source.state(&here.project, None).await?;
    let report = super::report::folded(&source, &state, None, store::now()).await?;
    print_end(&context.out, code, &end.reason, &report)?;
    Ok(code)
}
