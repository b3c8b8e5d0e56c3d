//! The project's events, wherever they are to be had: from the scheduler that runs, or from the
//! log itself when none does.

use std::ops::ControlFlow;

use super::client::{self, Client};
use super::config::Config;
use super::error::Error;
use super::exit::ExitCode;
use super::project::Project;
use super::store;
use crate::model::apply::apply;
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::model::state::{STATE_VERSION, State};
use crate::protocol::{ClientMessage, Live, ToClient};
use crate::queue::encoding::{self, Envelope};
use crate::queue::log::recorded;
use crate::queue::snapshot::{self, Sound};
use crate::queue::{self, Contents, EventLog, FileContents, SledLog, repair};
use crate::scheduler::load;

/// Bytes of events that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Whom to ask.
pub enum Source {
    /// A scheduler runs and has the log. Each question gets a connection of its own, because the
    /// rest of an answer that nobody wants any more would be taken for the next one.
    Running(Box<Running>),
    /// None does; this command has it, for as long as this value lives.
    Here(Box<SledLog>),
    /// There is no log yet.
    Empty,
}

/// A scheduler that runs, and where to look for the log when it has ended meanwhile.
pub struct Running {
    project: Project,
    config: Config,
    contents: FileContents,
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
    /// Finds out whom to ask. Makes nothing where there is nothing yet.
    pub async fn open(project: &Project, config: &Config) -> Result<Self, Error> {
        // A scheduler may be starting or ending, or another command reading, at this moment.
        for attempt in 1.. {
            if Client::connect(&project.socket).await?.is_some() {
                let contents = FileContents::open(&store::contents(project));
                let contents = contents.map_err(|error| store::of_log(&error))?;
                return Ok(Self::Running(Box::new(Running {
                    project: project.clone(),
                    config: config.clone(),
                    contents,
                })));
            }
            if !repair::exists(&project.log) {
                break;
            }
            match store::open(project, config) {
                Ok(log) => return Ok(Self::Here(Box::new(log))),
                Err(error) if error.code == ExitCode::LogHeld && attempt < client::TRIES => {
                    client::pause().await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self::Empty)
    }

    /// True when a scheduler runs.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running(..))
    }

    /// Hands over every event from `from` on, then [`Item::End`]; with `follow` it goes on with
    /// what happens, until the scheduler ends or `each` says so.
    pub async fn read(&self, from: Sequence, follow: bool, each: Each<'_>) -> Result<(), Error> {
        match self {
            Self::Empty => each(Item::End, &NoContents).map(drop),
            Self::Here(log) => read_log(log, from, each),
            Self::Running(running) => running.read_on(from, follow, each).await,
        }
    }

    /// Every event from `from` on, decoded.
    pub async fn events(
        &self,
        from: Sequence,
        each: &mut dyn FnMut(Recorded) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let take = &mut |item: Item<'_>, contents: &dyn Contents| match item {
            Item::Event(envelope) => each(decode(envelope, contents)?),
            Item::End => Ok(ControlFlow::Continue(())),
        };
        self.read(from, false, take).await
    }

    /// The state after `last`, or at the end of the log.
    pub async fn state(&self, project: &Project, last: Option<Sequence>) -> Result<State, Error> {
        let stored = snapshot::all(&project.snapshots).map_err(|error| store::of_log(&error))?;
        for stored in stored {
            if last.is_some_and(|last| stored.sequence > last) {
                continue;
            }
            // A snapshot only saves time, so that one that does not fit is passed over.
            let Ok(mut sound) = snapshot::check(&stored) else {
                continue;
            };
            if sound.state_version != STATE_VERSION {
                continue;
            }
            let Ok(state) = load::read(&mut sound) else {
                continue;
            };
            if let Some(state) = self.fold(state, Some(&sound), last).await? {
                return Ok(state);
            }
        }
        let state = self.fold(State::default(), None, last).await?;
        Ok(state.unwrap_or_default())
    }

    /// Folds what comes after `state`; `None` when its snapshot is of another log.
    async fn fold(
        &self,
        mut state: State,
        snapshot: Option<&Sound>,
        last: Option<Sequence>,
    ) -> Result<Option<State>, Error> {
        let from = snapshot.map_or(Sequence(1), |snapshot| snapshot.sequence);
        let mut belongs = snapshot.is_none();
        let take = &mut |item: Item<'_>, contents: &dyn Contents| {
            let Item::Event(envelope) = item else {
                return Ok(ControlFlow::Continue(()));
            };
            if let Some(snapshot) = snapshot.filter(|_| !belongs) {
                belongs = envelope.hash() == snapshot.chain_hash;
                return Ok(match belongs {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                });
            }
            if last.is_some_and(|last| envelope.sequence > last) {
                return Ok(ControlFlow::Break(()));
            }
            apply(&mut state, &decode(envelope, contents)?);
            Ok(ControlFlow::Continue(()))
        };
        self.read(from, false, take).await?;
        state.settle();
        Ok(belongs.then_some(state))
    }

    /// What goes on beside the log; `None` when no scheduler runs.
    pub async fn live(&self) -> Result<Option<Live>, Error> {
        let Self::Running(running) = self else {
            return Ok(None);
        };
        let Some(mut client) = Client::connect(&running.project.socket).await? else {
            return Ok(None);
        };
        let asked = client.send(&ClientMessage::Live).await;
        match (asked, client.next().await) {
            (Ok(()), Ok(Some(ToClient::Live(live)))) => Ok(Some(live)),
            (Err(error), _) | (_, Err(error)) if !client::is_lost(&error) => Err(error),
            _ => Ok(None),
        }
    }
}

impl Running {
    /// Reads from the scheduler; from whoever has the log then when it ends on the way.
    async fn read_on(&self, from: Sequence, follow: bool, each: Each<'_>) -> Result<(), Error> {
        let mut next = from.max(Sequence(1));
        for _ in 0..client::TRIES {
            if self.read_here(&mut next, follow, each).await? || follow {
                return Ok(());
            }
            let source = Box::pin(Source::open(&self.project, &self.config)).await?;
            if !source.is_running() {
                return Box::pin(source.read(next, follow, each)).await;
            }
            client::pause().await;
        }
        Err(cut_short())
    }

    /// One connection's worth; false when it broke off. `next` follows what was handed over.
    async fn read_here(
        &self,
        next: &mut Sequence,
        follow: bool,
        each: Each<'_>,
    ) -> Result<bool, Error> {
        let Some(mut client) = Client::connect(&self.project.socket).await? else {
            return Ok(false);
        };
        let from = *next;
        let mut asked = client.send(&ClientMessage::Read { from, follow }).await;
        let each = &mut |item: Item<'_>, contents: &dyn Contents| {
            if let Item::Event(envelope) = &item {
                *next = envelope.sequence.next();
            }
            each(item, contents)
        };
        loop {
            let message = match asked {
                Ok(()) => client.next().await,
                Err(error) => Err(error),
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(false),
                Err(error) if client::is_lost(&error) => return Ok(false),
                Err(error) => return Err(error),
            };
            match answer(message, &self.contents, each)? {
                ControlFlow::Continue(ended) if !ended || follow => {}
                _ => return Ok(true),
            }
            asked = Ok(());
        }
    }
}

/// The event of an envelope.
pub fn decode(envelope: &Envelope<'_>, contents: &dyn Contents) -> Result<Recorded, Error> {
    recorded(envelope, contents).map_err(|error| store::of_log(&error))
}

fn read_log(log: &SledLog, from: Sequence, each: Each<'_>) -> Result<(), Error> {
    let mut from = from.max(Sequence(1));
    loop {
        let chunk = log
            .read(from, CHUNK_BYTES)
            .map_err(|error| store::of_log(&error))?;
        if chunk.is_empty() {
            return each(Item::End, log.contents()).map(drop);
        }
        for envelope in chunk.envelopes() {
            let sequence = from;
            let envelope = envelope
                .map_err(|source| store::of_log(&queue::Error::Decode { sequence, source }))?;
            from = envelope.sequence.next();
            if each(Item::Event(&envelope), log.contents())?.is_break() {
                return Ok(());
            }
        }
    }
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
                let envelope = encoding::decode(bytes).map_err(|error| {
                    Error::internal(
                        "cannot read what the scheduler sent",
                        error,
                        "use the same build of Crewlog for both",
                    )
                })?;
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
        ToClient::Refused { reason } => Err(Error::internal("the scheduler refused", reason, "")),
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

/// The contents of a log that does not exist.
struct NoContents;

impl Contents for NoContents {
    fn put(&self, bytes: &[u8]) -> Result<crate::model::ids::ContentHash, queue::Error> {
        let (what, bytes) = ("a content file", bytes.len());
        Err(queue::Error::Oversized {
            what,
            bytes,
            bytes_max: 0,
        })
    }

    fn get(&self, hash: &crate::model::ids::ContentHash) -> Result<Vec<u8>, queue::Error> {
        Err(queue::Error::ContentMissing(*hash))
    }
}
