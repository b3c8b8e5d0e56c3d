//! `scheduler status --watch`: follows each scheduler over one connection, and reads the log's files
//! when it has ended.

use std::fs;
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::MissedTickBehavior;

use super::{Beside, print};
use crate::cli::Context;
use crate::cli::client::{self, Call, Client, READER_LIMIT};
use crate::cli::commands::ProjectContext;
use crate::cli::error::{Cause, Error};
use crate::cli::failures;
use crate::cli::source::{FromDisk, Item, Why, received};
use crate::model::ids::Sequence;
use crate::model::state::State;
use crate::protocol::{ClientMessage, ToClient};
use crate::queue::{Contents, Ending, FileContents, holder};
use crate::scheduler::load;

/// How often the view is refreshed, so that elapsed times advance.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How often to look for the next scheduler when none is running, at first.
const LOOK_SOON: Duration = Duration::from_millis(250);
/// The same after a while.
const LOOK_LATE: Duration = Duration::from_secs(2);

/// A watch in progress: the state shown last, and where further events come from.
pub struct Watch<'a> {
    context: &'a Context,
    here: &'a ProjectContext,
    state: State,
    contents: FileContents,
    beside: Beside,
    /// The last event that was shown.
    said: Sequence,
    /// A scheduler was seen, so its end ends the watch.
    followed: bool,
    /// Modification time of the log's head file at the last look at the disk.
    noted: Option<SystemTime>,
}

impl<'a> Watch<'a> {
    /// Continues from a state that was shown; `running` says whether a scheduler was running.
    pub fn new(
        context: &'a Context,
        here: &'a ProjectContext,
        state: State,
        running: bool,
    ) -> Self {
        Self {
            said: state.sequence,
            context,
            here,
            state,
            contents: here.contents(),
            beside: Beside::default(),
            followed: running,
            noted: None,
        }
    }

    /// Shows what happens until the scheduler that was seen ends on its own, then the last state. If
    /// the scheduler was killed, or none has started yet, this waits for the next one.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut wait = LOOK_SOON;
        loop {
            let socket = &self.here.project.socket;
            match Client::call(socket, READER_LIMIT).await? {
                Call::Answered(client) => {
                    self.followed = true;
                    self.beside = Beside::default();
                    wait = LOOK_SOON;
                    self.follow(*client).await?;
                    continue;
                }
                Call::Silent { pid } => {
                    self.silent(pid);
                    self.catch_up().await?;
                    self.print(false)?;
                }
                Call::Nobody => {
                    if self.at_rest().await? {
                        return Ok(());
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOK_LATE);
        }
    }

    /// Reads what the last scheduler left on the disk. True when it ended on its own.
    async fn at_rest(&mut self) -> Result<bool, Error> {
        self.beside = Beside::default();
        let log = &self.here.project.log;
        let noted = fs::metadata(log.join("head")).and_then(|meta| meta.modified());
        let noted = noted.ok();
        if noted.is_some() && noted == self.noted {
            return Ok(false);
        }
        let ended = self.catch_up().await?;
        self.noted = noted;
        self.print(ended && self.followed)?;
        Ok(ended && self.followed)
    }

    /// Folds events on the disk that follow the state. True when the log is closed and not held.
    async fn catch_up(&mut self) -> Result<bool, Error> {
        let source = self.here.source().await?;
        let state = &mut self.state;
        let from = state.sequence.next();
        let take = &mut |item: Item<'_>, contents: &dyn Contents| {
            if let Item::Event(envelope) = item {
                load::fold(state, envelope, contents).map_err(|error| failures::of_log(&error))?;
            }
            Ok(ControlFlow::Continue(()))
        };
        source.read(from, false, take).await?;
        self.state.settle();
        let closed = matches!(source.ending()?, Some(Ending::Closed | Ending::Altered));
        Ok(closed && holder(&self.here.project.log).is_none())
    }

    /// Follows one connection until it breaks: committed events as they come, and once a second the
    /// scheduler's activity.
    async fn follow(&mut self, mut client: Client) -> Result<(), Error> {
        let from = self.state.sequence.next();
        let follow = true;
        let read = ClientMessage::Read { from, follow };
        let mut asked = Instant::now();
        let mut waits = true;
        if sent(client.send(&read).await)? || sent(client.send(&ClientMessage::Live).await)? {
            return Ok(());
        }
        let mut tick = tokio::time::interval(RENEW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = client.next() => match message {
                    Ok(Some(message)) => {
                        waits &= !matches!(message, ToClient::Live(_));
                        self.take(message)?;
                    }
                    Ok(None) => return Ok(()),
                    Err(error) if error.cause == Cause::ConnectionLost => return Ok(()),
                    Err(error) => return Err(error),
                },
                _ = tick.tick() => {
                    if waits && asked.elapsed() >= READER_LIMIT {
                        self.silent(client.pid());
                    } else if !waits {
                        (asked, waits) = (Instant::now(), true);
                        if sent(client.send(&ClientMessage::Live).await)? {
                            return Ok(());
                        }
                    }
                    self.print(false)?;
                }
            }
        }
    }

    fn take(&mut self, message: ToClient) -> Result<(), Error> {
        match message {
            ToClient::Events { envelopes } => {
                for bytes in &envelopes {
                    let envelope = received(bytes)?;
                    let folded = load::fold(&mut self.state, &envelope, &self.contents);
                    folded.map_err(|error| failures::of_log(&error))?;
                }
                self.state.settle();
                // Programs get every change; people see it with the next refresh.
                match self.context.out.is_json() {
                    true => self.print(false),
                    false => Ok(()),
                }
            }
            ToClient::CaughtUp { .. } => self.print(false),
            ToClient::Live(live) => {
                self.beside = Beside {
                    live: Some(live),
                    from_disk: None,
                };
                Ok(())
            }
            ToClient::Refused(problem) => Err(client::turned_away(problem)),
            other => Err(Error::internal(
                "cannot understand the scheduler",
                format!("it answered {other:?}"),
                "use the same version of Crewlog for both",
            )),
        }
    }

    fn silent(&mut self, pid: Option<u32>) {
        self.beside = Beside {
            live: None,
            from_disk: Some(FromDisk {
                pid,
                why: Why::Silent,
                as_of: self.state.sequence,
            }),
        };
    }

    /// Shows the state. Programs get it only when it changed, or is the last.
    fn print(&mut self, last: bool) -> Result<(), Error> {
        if let Some(from_disk) = &mut self.beside.from_disk {
            from_disk.as_of = self.state.sequence;
        }
        if self.context.out.is_json() && self.state.sequence == self.said && !last {
            return Ok(());
        }
        self.said = self.state.sequence;
        print(self.context, &self.state, &self.beside, true)
    }
}

/// True when the other side has disconnected.
fn sent(sent: Result<(), Error>) -> Result<bool, Error> {
    match sent {
        Err(error) if error.cause == Cause::ConnectionLost => Ok(true),
        sent => sent.map(|()| false),
    }
}
