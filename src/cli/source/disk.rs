//! Reads the log's files directly, without the storage engine.

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

/// Events are read in chunks of this many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// Why the disk is read although a process holds the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The process accepted the connection but does not answer.
    Silent,
    /// No process listens at the socket.
    NoSocket,
}

/// The events came from the disk and may be older than what the scheduler has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FromDisk {
    /// The process that holds the log, if known.
    pub pid: Option<u32>,
    /// Why that process was not asked.
    pub why: Why,
    /// The last event that was read from the disk.
    pub as_of: Sequence,
}

impl fmt::Display for FromDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = process(self.pid);
        match self.why {
            Why::Silent => write!(f, "the scheduler{process} does not answer")?,
            Why::NoSocket => write!(
                f,
                "the process that holds the log{process} cannot be asked, because it does not listen at its socket"
            )?,
        }
        let as_of = self.as_of;
        write!(f, "; this is what is on the disk, up to event {as_of}")
    }
}

/// A project's log on the disk.
pub struct Disk {
    project: Project,
    instead: Option<(Why, Option<u32>)>,
    /// The last reader, with what it found.
    reader: RefCell<Option<LogReader>>,
}

impl Disk {
    /// A log that no process holds.
    pub fn at_rest(project: &Project) -> Self {
        Self {
            project: project.clone(),
            instead: None,
            reader: RefCell::default(),
        }
    }

    /// A log that process `pid` holds, which cannot be asked.
    pub fn of(project: &Project, why: Why, pid: Option<u32>) -> Self {
        let pid = pid.or_else(|| queue::holder(&project.log)?.pid);
        Self {
            instead: Some((why, pid)),
            ..Self::at_rest(project)
        }
    }

    /// Calls `each` with every event from `from` on, then with [`Item::End`].
    pub fn read(&self, from: Sequence, each: Each<'_>) -> Result<(), Error> {
        // Snapshots are listed first, so that none is newer than the events found after it.
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

    /// Set when a process holds the log, which may have newer events.
    pub fn told(&self) -> Option<FromDisk> {
        let (why, pid) = self.instead?;
        let reader = self.reader.borrow();
        let as_of = reader.as_ref().map(|reader| reader.head().sequence);
        let as_of = as_of.unwrap_or_default();
        Some(FromDisk { pid, why, as_of })
    }

    /// How the log was closed; `None` before the first read.
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

/// Fails if a valid snapshot is newer than the log's last event: snapshots are written only of events
/// that are on the disk, so the end of the log is missing.
fn must_not_be_ahead(snapshots: &[Stored], head: Sequence) -> Result<(), Error> {
    let mut ahead = snapshots.iter().filter(|stored| stored.sequence > head);
    let Some(sound) = ahead.find(|stored| snapshot::check(stored).is_ok()) else {
        return Ok(());
    };
    let sequence = sound.sequence;
    Err(Error::new(
        ExitCode::LogDamaged,
        "the project's log is damaged",
        format!("it ends at event {head}, but there is a snapshot of event {sequence}"),
        failures::DAMAGED_NEXT,
    ))
}
