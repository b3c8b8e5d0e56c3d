//! The log's files, read past their engine.

use std::cell::RefCell;
use std::fmt;

use serde::Serialize;

use super::{Each, Item};
use crate::cli::client::process;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::failures;
use crate::cli::project::Project;
use crate::model::ids::Sequence;
use crate::queue::snapshot::{self, Stored};
use crate::queue::{self, Ending, LogReader};

/// Bytes of events that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Why the disk is read although somebody has the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It has taken the connection and says nothing.
    Silent,
    /// Nobody listens at the socket.
    NoSocket,
}

/// What was read is what the disk had, and not what the scheduler knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FromDisk {
    /// The scheduler's process, where the kernel names it.
    pub pid: Option<u32>,
    /// Why it was not asked.
    pub why: Why,
    /// The last event on the disk.
    pub as_of: Sequence,
}

impl fmt::Display for FromDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = process(self.pid);
        match self.why {
            Why::Silent => write!(f, "the scheduler{process} does not answer")?,
            Why::NoSocket => write!(
                f,
                "the process that has the log{process} cannot be asked: nobody listens at its socket"
            )?,
        }
        let as_of = self.as_of;
        write!(f, "; showing what is on the disk as of event {as_of}")
    }
}

/// A project's log on the disk.
pub struct Disk {
    project: Project,
    instead: Option<(Why, Option<u32>)>,
    /// The last reader, with what it has found.
    reader: RefCell<Option<LogReader>>,
}

impl Disk {
    /// Nobody has the log.
    pub fn at_rest(project: &Project) -> Self {
        Self {
            project: project.clone(),
            instead: None,
            reader: RefCell::default(),
        }
    }

    /// This process has the log and cannot be asked.
    pub fn of(project: &Project, why: Why, pid: Option<u32>) -> Self {
        let pid = pid.or_else(|| queue::holder(&project.log)?.pid);
        Self {
            instead: Some((why, pid)),
            ..Self::at_rest(project)
        }
    }

    /// Hands over every event from `from` on, then [`Item::End`].
    pub fn read(&self, from: Sequence, each: Each<'_>) -> Result<(), Error> {
        // Looked for first, so that none is newer than the events that are found.
        let snapshots = snapshot::all(&self.project.snapshots).map_err(failed)?;
        let reader = LogReader::open(&self.project.log, from).map_err(failed)?;
        let mut slot = self.reader.borrow_mut();
        let reader = slot.insert(reader);
        must_not_be_ahead(&snapshots, reader.head().sequence)?;
        let mut from = from.max(Sequence(1));
        loop {
            let chunk = reader.read(from, CHUNK_BYTES).map_err(failed)?;
            if chunk.is_empty() {
                return each(Item::End, reader.contents()).map(drop);
            }
            for envelope in chunk.envelopes() {
                let sequence = from;
                let envelope =
                    envelope.map_err(|source| failed(queue::Error::Decode { sequence, source }))?;
                from = envelope.sequence.next();
                if each(Item::Event(&envelope), reader.contents())?.is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// What to say of the events that were read, if somebody else knows better.
    pub fn told(&self) -> Option<FromDisk> {
        let (why, pid) = self.instead?;
        let reader = self.reader.borrow();
        let as_of = reader.as_ref().map(|reader| reader.head().sequence);
        let as_of = as_of.unwrap_or_default();
        Some(FromDisk { pid, why, as_of })
    }

    /// How the log was left; `None` before anything was read.
    pub fn ending(&self) -> Result<Option<Ending>, Error> {
        let reader = self.reader.borrow();
        let ending = reader.as_ref().map(LogReader::ending);
        ending.transpose().map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: queue::Error) -> Error {
    failures::of_log(&error)
}

/// A snapshot is written only of what is on the disk: a sound one of an event beyond the log's end
/// proves that the log has lost its end.
fn must_not_be_ahead(snapshots: &[Stored], head: Sequence) -> Result<(), Error> {
    let mut ahead = snapshots.iter().filter(|stored| stored.sequence > head);
    let Some(sound) = ahead.find(|stored| snapshot::check(stored).is_ok()) else {
        return Ok(());
    };
    let sequence = sound.sequence;
    Err(Error::new(
        ExitCode::LogDamaged,
        "the project's log is damaged",
        format!("it ends at event {head}, and there is a snapshot of event {sequence}"),
        failures::DAMAGED_NEXT,
    ))
}
