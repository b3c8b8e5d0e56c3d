//! What can go wrong with a log.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::encoding::{DecodeError, EncodeError};
use super::head::Head;
use crate::model::ids::{ContentHash, Epoch, Sequence, Timestamp};

/// The world failed, or the log refuses. After anything but [`Error::Conflict`],
/// [`Error::Fenced`], [`Error::NotNext`], [`Error::Encode`] and [`Error::Oversized`], an append
/// may or may not be on the disk and the log takes no more of them: the process must end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else appended first. Nothing was written.
    #[error("the log ends at event {}, not at {expected}: read the new events and decide again", head.sequence)]
    Conflict {
        /// Where the log really ends.
        head: Head,
        /// Where the caller thought it did.
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
    /// The batch is not what comes next. Nothing was written.
    #[error("event {sequence} cannot be appended: {why}")]
    NotNext {
        /// Position of the event in the log, from 1.
        sequence: Sequence,
        /// What is wrong with it.
        why: String,
    },
    /// An event cannot be written. Nothing was.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A value is larger than the engine keeps safely. Nothing was written.
    #[error("{what} of {bytes} bytes exceeds the limit of {bytes_max}; nothing was written")]
    Oversized {
        /// What was to be written.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// An earlier append failed, so that nobody knows what is on the disk.
    #[error("an earlier append failed ({why}), so it is not known what is on the disk")]
    Poisoned {
        /// The reason, as text for people.
        why: String,
    },
    /// The system refused something.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The storage engine failed.
    #[error("the storage engine failed to {what}: {why}")]
    Engine {
        /// What was tried: a verb.
        what: &'static str,
        /// Its words, or its panic's.
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
    /// There was a log, and it is gone.
    #[error("{} is missing, but {} is a snapshot of its event {sequence}", path.display(), snapshot.display())]
    Lost {
        /// Where the log was.
        path: PathBuf,
        /// What was made of it.
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
        /// Its process, if it has said so yet.
        pid: Option<u32>,
        /// Since when, if it has said so yet.
        since: Option<Timestamp>,
    },
    /// Locks and syncs cannot be relied upon there.
    #[error("{} is on a network file system ({kind}, mounted on {}), where locking and fsync may be unreliable", path.display(), mount.display())]
    NetworkFilesystem {
        /// The data directory.
        path: PathBuf,
        /// Where it is mounted.
        mount: PathBuf,
        /// Its type, as the kernel names it.
        kind: String,
    },
    /// The directory was made by another version.
    #[error("the log in {} has format {found}, but this build reads format {supported}", path.display())]
    Format {
        /// The data directory.
        path: PathBuf,
        /// What stands there.
        found: u32,
        /// What this build knows.
        supported: u32,
    },
    /// An event that is there does not read.
    #[error("event {sequence} cannot be decoded: {source}")]
    Decode {
        /// Position of the event in the log, from 1.
        sequence: Sequence,
        /// Why its bytes cannot be decoded.
        source: DecodeError,
    },
    /// A content file is not there.
    #[error("content file {0} is missing")]
    ContentMissing(ContentHash),
    /// A content file is not what was written.
    #[error("content file {0} was altered: its hash is different")]
    ContentAltered(ContentHash),
    /// A portable log cannot be imported. Nothing was.
    #[error("nothing was imported: {0}")]
    Import(String),
}

impl Error {
    /// True where only a text is lost, and not the event that names it: its content file is missing
    /// or altered.
    pub fn is_lost_text(&self) -> bool {
        matches!(self, Self::ContentMissing(_) | Self::ContentAltered(_))
    }

    /// For `map_err`: the system refused to `what` the file at `path`.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Says who holds a log, as far as is known.
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
    // humantime refuses years of five digits by panicking; a wild clock must not do that.
    let seconds = (at.0 / 1_000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds))
}
