//! Reads the project's events: from the running scheduler, or from the log's files when none is
//! running or it does not answer. Reading never writes, creates or locks anything.

mod disk;

use std::cell::RefCell;
use std::ops::ControlFlow;

use self::disk::Disk;
pub use self::disk::{FromDisk, Why};
use super::client::{self, Call, Client, READER_LIMIT};
use super::error::{Cause, Error};
use super::project::Project;
use super::{failures, store};
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::model::state::State;
use crate::protocol::{ClientMessage, Live, ToClient};
use crate::queue::encoding::{self, Envelope};
use crate::queue::log::recorded;
use crate::queue::{self, Contents, Ending, FileContents, directory, holder};
use crate::scheduler::load::Fold;

/// Where the project's events come from.
pub struct Source {
    project: Project,
    whom: Whom,
    lost: RefCell<Vec<(Sequence, &'static str)>>,
}

enum Whom {
    /// A scheduler is running. Each request uses its own connection; otherwise the rest of an answer
    /// that was cut short would be taken for the next answer.
    Running(Running),
    /// No scheduler is running, or it does not answer.
    Disk(Disk),
    /// There is no log yet.
    Nothing,
}

/// A running scheduler, and where the log is if the scheduler ends in between.
struct Running {
    project: Project,
    contents: FileContents,
    /// The connection that found the scheduler; the first request uses it.
    first: RefCell<Option<Client>>,
    /// Set when the events came from the disk because the scheduler did not answer.
    instead: RefCell<Option<FromDisk>>,
}

/// The result of reading from a scheduler.
enum Asked {
    /// Everything was read, or `each` stopped.
    Done,
    /// The connection broke.
    Lost,
    /// The scheduler does not answer.
    Silent(Option<u32>),
}

/// One step of reading a source.
pub enum Item<'a> {
    /// The next event as the log stores it.
    Event(&'a Envelope<'a>),
    /// The end of the log at this moment; with `follow`, more may come.
    End,
}

/// Takes one item and says whether to continue.
pub type Each<'a> = &'a mut dyn FnMut(Item<'_>, &dyn Contents) -> Result<ControlFlow<()>, Error>;

impl Source {
    /// Finds the running scheduler, or the log's files. Creates nothing.
    pub async fn open(project: &Project) -> Result<Self, Error> {
        let whom = Whom::find(project).await?;
        let project = project.clone();
        let lost = RefCell::default();
        Ok(Self {
            project,
            whom,
            lost,
        })
    }

    /// True when a scheduler is running and answers.
    pub fn is_running(&self) -> bool {
        matches!(self.whom, Whom::Running(..))
    }

    /// Set when a process holds the log but the events were read from the disk.
    pub fn from_disk(&self) -> Option<FromDisk> {
        match &self.whom {
            Whom::Running(running) => running.instead.borrow().clone(),
            Whom::Disk(disk) => disk.told(),
            Whom::Nothing => None,
        }
    }

    /// How the log was closed, according to its files; `None` while a scheduler answers.
    pub fn ending(&self) -> Result<Option<Ending>, Error> {
        match &self.whom {
            Whom::Disk(disk) => disk.ending(),
            _ => Ok(None),
        }
    }

    /// Calls `each` with every event from `from` on, then with [`Item::End`]. With `follow`, continues
    /// with new events until the scheduler ends or `each` stops.
    pub async fn read(&self, from: Sequence, follow: bool, each: Each<'_>) -> Result<(), Error> {
        match &self.whom {
            Whom::Nothing => each(Item::End, &FileContents::at(&self.project.content)).map(drop),
            Whom::Disk(disk) => disk.read(from, each),
            Whom::Running(running) => running.read_on(from, follow, each).await,
        }
    }

    /// Decodes an event; `None` if its text is lost, which [`Source::lost`] then reports.
    pub fn decode(
        &self,
        envelope: &Envelope<'_>,
        contents: &dyn Contents,
    ) -> Result<Option<Recorded>, Error> {
        match recorded(envelope, contents) {
            Err(error) if error.is_lost_text() => {
                self.lost
                    .borrow_mut()
                    .push((envelope.sequence, envelope.name()));
                Ok(None)
            }
            recorded => recorded.map(Some).map_err(|error| failures::of_log(&error)),
        }
    }

    /// Takes the events read so far whose texts are lost, with the name of each event's type.
    pub fn lost(&self) -> Vec<(Sequence, &'static str)> {
        self.lost.take()
    }

    /// Every event from `from` on, decoded, except those whose texts are lost.
    pub async fn events(
        &self,
        from: Sequence,
        each: &mut dyn FnMut(Recorded) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let take = &mut |item: Item<'_>, contents: &dyn Contents| match item {
            Item::Event(envelope) => match self.decode(envelope, contents)? {
                Some(recorded) => each(recorded),
                None => Ok(ControlFlow::Continue(())),
            },
            Item::End => Ok(ControlFlow::Continue(())),
        };
        self.read(from, false, take).await
    }

    /// The state after `last`, or at the end of the log.
    pub async fn state(&self, project: &Project, last: Option<Sequence>) -> Result<State, Error> {
        let failed = |error: queue::Error| failures::of_log(&error);
        for mut fold in Fold::starts(&project.snapshots, last).map_err(failed)? {
            let from = fold.from();
            let take = &mut |item: Item<'_>, contents: &dyn Contents| match item {
                Item::Event(envelope) => fold.take(envelope, contents).map_err(failed),
                Item::End => Ok(ControlFlow::Continue(())),
            };
            self.read(from, false, take).await?;
            self.lost.borrow_mut().extend_from_slice(fold.lost());
            if let Some(state) = fold.done() {
                return Ok(state);
            }
        }
        Ok(State::default())
    }

    /// The scheduler's current activity; `None` when none is running or it does not answer.
    pub async fn live(&self) -> Result<Option<Live>, Error> {
        if !self.is_running() || self.from_disk().is_some() {
            return Ok(None);
        }
        let called = Client::call(&self.project.socket, READER_LIMIT).await?;
        let Call::Answered(mut client) = called else {
            return Ok(None);
        };
        let asked = client.send(&ClientMessage::Live).await;
        let Some(answer) = client.next_within(READER_LIMIT).await else {
            return Ok(None);
        };
        match (asked, answer) {
            (Ok(()), Ok(Some(ToClient::Live(live)))) => Ok(Some(live)),
            (Err(error), _) | (_, Err(error)) if error.cause != Cause::ConnectionLost => Err(error),
            _ => Ok(None),
        }
    }
}

impl Whom {
    async fn find(project: &Project) -> Result<Self, Error> {
        // A scheduler may be starting or ending right now, and another command may hold the log
        // briefly.
        for attempt in 1.. {
            match Client::call(&project.socket, READER_LIMIT).await? {
                Call::Answered(client) => {
                    return Ok(Self::Running(Running {
                        project: project.clone(),
                        contents: FileContents::at(&store::contents(project)),
                        first: RefCell::new(Some(*client)),
                        instead: RefCell::default(),
                    }));
                }
                Call::Silent { pid } => return Ok(Self::Disk(Disk::of(project, Why::Silent, pid))),
                Call::Nobody => {}
            }
            if !directory::exists(&project.log) {
                store::must_not_be_lost(project)?;
                break;
            }
            match holder(&project.log) {
                None => return Ok(Self::Disk(Disk::at_rest(project))),
                Some(_) if attempt < client::TRIES => client::pause().await,
                Some(holder) => {
                    return Ok(Self::Disk(Disk::of(project, Why::NoSocket, holder.pid)));
                }
            }
        }
        Ok(Self::Nothing)
    }
}

impl Running {
    /// Reads from the scheduler. If it ends in between, continues with the process that then holds
    /// the log; if it does not answer, with the disk.
    async fn read_on(&self, from: Sequence, follow: bool, each: Each<'_>) -> Result<(), Error> {
        let mut next = from.max(Sequence(1));
        for _ in 0..client::TRIES {
            match self.read_here(&mut next, follow, each).await? {
                Asked::Done => return Ok(()),
                Asked::Lost if follow => return Ok(()),
                Asked::Lost => {}
                Asked::Silent(pid) => {
                    let disk = Disk::of(&self.project, Why::Silent, pid);
                    disk.read(next, each)?;
                    *self.instead.borrow_mut() = disk.told();
                    return Ok(());
                }
            }
            match Box::pin(Whom::find(&self.project)).await? {
                Whom::Running(_) => client::pause().await,
                Whom::Nothing => return each(Item::End, &self.contents).map(drop),
                Whom::Disk(disk) => {
                    disk.read(next, each)?;
                    *self.instead.borrow_mut() = disk.told();
                    return Ok(());
                }
            }
        }
        Err(cut_short())
    }

    /// Reads over one connection. `next` advances past each event that `each` got.
    async fn read_here(
        &self,
        next: &mut Sequence,
        follow: bool,
        each: Each<'_>,
    ) -> Result<Asked, Error> {
        let first = self.first.borrow_mut().take();
        let mut client = match first {
            Some(client) => client,
            None => match Client::call(&self.project.socket, READER_LIMIT).await? {
                Call::Answered(client) => *client,
                Call::Nobody => return Ok(Asked::Lost),
                Call::Silent { pid } => return Ok(Asked::Silent(pid)),
            },
        };
        let from = *next;
        let mut asked = client.send(&ClientMessage::Read { from, follow }).await;
        let each = &mut |item: Item<'_>, contents: &dyn Contents| {
            if let Item::Event(envelope) = &item {
                *next = envelope.sequence.next();
            }
            each(item, contents)
        };
        let mut caught_up = false;
        loop {
            // After the scheduler has sent everything, silence only means that nothing happens.
            let message = match asked {
                Ok(()) if caught_up => client.next().await,
                Ok(()) => match client.next_within(READER_LIMIT).await {
                    Some(message) => message,
                    None => return Ok(Asked::Silent(client.pid())),
                },
                Err(error) => Err(error),
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(Asked::Lost),
                Err(error) if error.cause == Cause::ConnectionLost => return Ok(Asked::Lost),
                Err(error) => return Err(error),
            };
            match answer(message, &self.contents, each)? {
                ControlFlow::Continue(ended) if !ended || follow => caught_up |= ended,
                _ => return Ok(Asked::Done),
            }
            asked = Ok(());
        }
    }
}

/// Decodes an envelope that the scheduler sent.
pub(super) fn received(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    encoding::decode(bytes).map_err(|error| {
        Error::internal(
            "cannot decode an event from the scheduler",
            error,
            "use the same version of Crewlog for both",
        )
    })
}

/// Handles one message. Continues with true when everything up to now was sent.
fn answer(
    message: ToClient,
    contents: &dyn Contents,
    each: Each<'_>,
) -> Result<ControlFlow<(), bool>, Error> {
    match message {
        ToClient::Events { envelopes } => {
            for bytes in &envelopes {
                let envelope = received(bytes)?;
                if each(Item::Event(&envelope), contents)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(false))
        }
        ToClient::CaughtUp { .. } => match each(Item::End, contents)? {
            ControlFlow::Continue(()) => Ok(ControlFlow::Continue(true)),
            ControlFlow::Break(()) => Ok(ControlFlow::Break(())),
        },
        ToClient::Refused(problem) => Err(client::turned_away(problem)),
        other => Err(Error::internal(
            "cannot understand the scheduler",
            format!("it answered {other:?}"),
            "use the same version of Crewlog for both",
        )),
    }
}

fn cut_short() -> Error {
    Error::internal(
        "the connection to the scheduler was lost",
        "the scheduler ended while the log was being read",
        "run the command again",
    )
}
