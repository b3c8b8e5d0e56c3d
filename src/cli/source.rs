//! The project's events, wherever they are to be had: from the scheduler that runs, or from the
//! log's files when none does, or when it does not answer. Nothing is written, made or locked here,
//! whoever has the log.

mod disk;

use std::cell::RefCell;
use std::ops::ControlFlow;

use self::disk::Disk;
pub use self::disk::{FromDisk, Why};
use super::client::{self, Call, Client, READER_LIMIT};
use super::error::Error;
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

/// Whom to ask.
pub struct Source {
    project: Project,
    whom: Whom,
    lost: RefCell<Vec<(Sequence, &'static str)>>,
}

enum Whom {
    /// A scheduler runs and has the log. Each question gets a connection of its own, because the
    /// rest of an answer that nobody wants any more would be taken for the next one.
    Running(Running),
    /// None does, or none that answers.
    Disk(Disk),
    /// There is no log yet.
    Nothing,
}

/// A scheduler that runs, and where to look for the log when it has ended meanwhile.
struct Running {
    project: Project,
    contents: FileContents,
    /// The connection by which it was found, for the first question.
    first: RefCell<Option<Client>>,
    /// Where the events came from in the end, when it did not answer.
    instead: RefCell<Option<FromDisk>>,
}

/// What came of asking a scheduler.
enum Asked {
    /// All was handed over, or `each` has had enough.
    Done,
    /// The connection broke off.
    Lost,
    /// It says nothing.
    Silent(Option<u32>),
}

/// What comes out of a source.
pub enum Item<'a> {
    /// The next event as the log stores it.
    Event(&'a Envelope<'a>),
    /// The end of what there is at this moment; more may follow.
    End,
}

/// Takes one item; says whether to go on.
pub type Each<'a> = &'a mut dyn FnMut(Item<'_>, &dyn Contents) -> Result<ControlFlow<()>, Error>;

impl Source {
    /// Finds out whom to ask. Makes nothing.
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

    /// True when a scheduler runs and answers.
    pub fn is_running(&self) -> bool {
        matches!(self.whom, Whom::Running(..))
    }

    /// Why the events that were read are the disk's and not the scheduler's, if one has the log.
    pub fn from_disk(&self) -> Option<FromDisk> {
        match &self.whom {
            Whom::Running(running) => running.instead.borrow().clone(),
            Whom::Disk(disk) => disk.told(),
            Whom::Nothing => None,
        }
    }

    /// How the log was left, by its files; `None` while a scheduler has it and answers.
    pub fn ending(&self) -> Result<Option<Ending>, Error> {
        match &self.whom {
            Whom::Disk(disk) => disk.ending(),
            _ => Ok(None),
        }
    }

    /// Hands over every event from `from` on, then [`Item::End`]; with `follow` it goes on with
    /// what happens, until the scheduler ends or `each` says so.
    pub async fn read(&self, from: Sequence, follow: bool, each: Each<'_>) -> Result<(), Error> {
        match &self.whom {
            Whom::Nothing => each(Item::End, &FileContents::at(&self.project.content)).map(drop),
            Whom::Disk(disk) => disk.read(from, each),
            Whom::Running(running) => running.read_on(from, follow, each).await,
        }
    }

    /// The event of an envelope; none where its text is lost, which is told by [`Source::lost`].
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

    /// The events that were read and whose texts are lost, and what they are called.
    pub fn lost(&self) -> Vec<(Sequence, &'static str)> {
        self.lost.take()
    }

    /// Every event from `from` on, decoded; those whose texts are lost are left out.
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

    /// What goes on beside the log; `None` when no scheduler runs, or none that answers.
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
            (Err(error), _) | (_, Err(error)) if !client::is_lost(&error) => Err(error),
            _ => Ok(None),
        }
    }
}

impl Whom {
    async fn find(project: &Project) -> Result<Self, Error> {
        // A scheduler may be starting or ending at this moment, and another command may have the
        // log for a moment.
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
    /// Reads from the scheduler; from whoever has the log then when it ends on the way, and from
    /// the disk when it does not answer.
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

    /// One connection's worth. `next` follows what was handed over.
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
            // Once it has told all that there is, silence only says that nothing happens.
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
                Err(error) if client::is_lost(&error) => return Ok(Asked::Lost),
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

/// An event as the scheduler sent it.
pub(super) fn received(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    encoding::decode(bytes).map_err(|error| {
        Error::internal(
            "cannot read what the scheduler sent",
            error,
            "use the same build of Crewlog for both",
        )
    })
}

/// Takes one message apart. Continues with true when everything up to now was sent.
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
        ToClient::Refused { reason } => Err(client::turned_away(&reason)),
        other => Err(Error::internal(
            "cannot understand the scheduler",
            format!("it answered {other:?}"),
            "use the same build of Crewlog for both",
        )),
    }
}

fn cut_short() -> Error {
    Error::internal(
        "lost the scheduler",
        "it ended while the log was being read",
        "run the command again",
    )
}
