//! Errors of a log.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::encoding::{DecodeError, EncodeError};
use super::head::Head;
use crate::model::ids::{ContentHash, Epoch, Sequence, Timestamp};

/// The system failed, or the log refuses. After any error except [`Error::Conflict`],
/// [`Error::Fenced`], [`Error::NotNext`], [`Error::Encode`] and [`Error::Oversized`], an append may
/// or may not be on the disk and the log accepts no more of them: the process must end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer appended first. Nothing was written.
    #[error("the log ends at event {}, not at {expected}: read the new events and decide again", head.sequence)]
    Conflict {
        /// Where the log really ends.
        head: Head,
        /// Where the caller expected it to end.
        expected: Sequence,
    },
    /// A later writer leads the log. Nothing was written, and this writer must stop.
    #[error(
        "a newer scheduler (epoch {current}) took over the log from this one (epoch {given}), which must stop"
    )]
    Fenced {
        /// The epoch of the writer that leads.
        current: Epoch,
        /// The epoch of the caller.
        given: Epoch,
    },
    /// The batch does not follow the log's last event. Nothing was written.
    #[error("event {sequence} cannot be appended: {why}")]
    NotNext {
        /// Position of the event in the log, from 1.
        sequence: Sequence,
        /// What is wrong with it.
        why: String,
    },
    /// An event cannot be encoded. Nothing was written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A value is larger than the engine stores safely. Nothing was written.
    #[error("{what} of {bytes} bytes exceeds the limit of {bytes_max}; nothing was written")]
    Oversized {
        /// What was to be written.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// An earlier append failed, so the contents of the disk are unknown.
    #[error("an earlier append failed ({why}), so it is not known what is on the disk")]
    Poisoned {
        /// The reason, as text for people.
        why: String,
    },
    /// The system refused an operation.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The storage engine failed.
    #[error("the storage engine failed to {what}: {why}")]
    Engine {
        /// The operation, as a verb.
        what: &'static str,
        /// The engine's message, or its panic's.
        why: String,
    },
    /// The log is not what was written.
    #[error("the log in {} is damaged: {why}", path.display())]
    Damaged {
        /// The data directory.
        path: PathBuf,
        /// What is wrong and where.
        why: String,
    },
    /// There was a log, and it no longer exists.
    #[error("{} is missing, but {} is a snapshot of its event {sequence}", path.display(), snapshot.display())]
    Lost {
        /// Path where the log was.
        path: PathBuf,
        /// Path of a snapshot of that log.
        snapshot: PathBuf,
        /// The event that it had at least.
        sequence: Sequence,
    },
    /// The log's files are not where they were opened: deleted, replaced, or moved with their
    /// directory. Nothing was acknowledged since.
    #[error("the log's file {} was lost while the log was open: {what}. Nothing was acknowledged since then", path.display())]
    Vanished {
        /// The engine's file.
        path: PathBuf,
        /// What is there instead.
        what: &'static str,
    },
    /// Another process has the log open.
    #[error("the log in {} is held by {}", path.display(), Holder { pid: *pid, since: *since })]
    Held {
        /// The data directory.
        path: PathBuf,
        /// Its process, if it has written it down yet.
        pid: Option<u32>,
        /// Since when, if it has written it down yet.
        since: Option<Timestamp>,
    },
    /// Locks and syncs are not reliable there.
    #[error("{} is on a network file system ({kind}, mounted on {}), where locking and fsync may be unreliable", path.display(), mount.display())]
    NetworkFilesystem {
        /// The data directory.
        path: PathBuf,
        /// Mount point of the file system.
        mount: PathBuf,
        /// Its type, as the kernel names it.
        kind: String,
    },
    /// The directory was written by another version.
    #[error("the log in {} has format {found}, but this build reads format {supported}", path.display())]
    Format {
        /// The data directory.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The format that this build knows.
        supported: u32,
    },
    /// An existing event cannot be decoded.
    #[error("event {sequence} cannot be decoded: {source}")]
    Decode {
        /// Position of the event in the log, from 1.
        sequence: Sequence,
        /// Why its bytes cannot be decoded.
        source: DecodeError,
    },
    /// A content file is missing.
    #[error("content file {0} is missing")]
    ContentMissing(ContentHash),
    /// A content file is not what was written.
    #[error("content file {0} was altered: its hash is different")]
    ContentAltered(ContentHash),
    /// A portable log cannot be imported. Nothing was imported.
    #[error("nothing was imported: {0}")]
    Import(String),
}

impl Error {
    /// True if only a text is lost, and not the event that names it: its content file is missing or
    /// altered.
    pub fn is_lost_text(&self) -> bool {
        matches!(self, Self::ContentMissing(_) | Self::ContentAltered(_))
    }

    /// For `map_err`: the system refused to `what` the file at `path`.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Describes who holds a log, as far as is known.
struct Holder {
    pid: Option<u32>,
    since: Option<Timestamp>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => write!(f, "another process")?,
        }
        match self.since {
            Some(since) => write!(f, ", since {}", utc(since)),
            None => Ok(()),
        }
    }
}

/// The time by RFC 3339, as in `1970-01-01T00:00:00Z`.
fn utc(at: Timestamp) -> impl fmt::Display {
    // humantime panics for years of five digits, which a wrong clock can show.
    let seconds = (at.0 / 1_000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds))
}
