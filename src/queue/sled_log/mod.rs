//! The durable log on sled. Used naively, sled loses what it acknowledged; these steps prevent
//! that:
//!
//! 1. Opening (see `open`) takes our own lock first. It removes an unfinished snapshot of sled, and
//!    copies sled's files, because sled repairs what it opens (unless they are unchanged since the
//!    log was closed). Then it opens sled, catches its panics, reads every event, checks the chain,
//!    and compares the head file. The copy is removed if all is well.
//! 2. One writer calls `insert` or `apply_batch`, then `flush`, which on Linux is no fsync, then
//!    `fdatasync` of the database's file through a handle of our own, and only then answers.
//! 3. Values have at most 4 KiB; longer bodies are content files.
//! 4. After each sync, and before the answer, it checks that the synced file still has the name
//!    under which the next start will look for it.
//! 5. After an error or a panic of sled, or a failed sync, nothing is appended any more.
//!
//! On disk: `lock`, `head`, `sled/` (one tree `events`, keyed by the big-endian sequence of the
//! first envelope in the value; one tree `meta`), `content/`. Several envelopes share a value: a
//! batch that fits is added to the last value, which is written again, because sled's cost is per
//! key.

mod engine;
mod open;
mod pre_open_copy;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags};
use tokio::sync::watch;

use self::engine::{CloseGuard, Values, engine};
use super::Error;
use super::content::{Contents, FileContents};
use super::directory::Lock;
use super::files;
use super::head_file::{HeadFile, Left};
use super::log::{Chunk, Envelopes, EventLog, Head};
use super::pack::{self, Encoded, Value};
use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};

/// Keys of `meta`.
const EPOCH_KEY: &[u8] = b"epoch";
const FORMAT_KEY: &[u8] = b"format";
/// Version of how this module uses sled; raised when an older build would misread the directory.
const FORMAT: u32 = 1;
/// How often the head file is written: it costs a sync of its own.
const HEAD_NOTE_EVERY: Duration = Duration::from_secs(1);
/// More than any reader asks for at once, so that a wrong argument does not allocate much.
const READ_BYTES_MAX: usize = 16 << 20;

/// Syncs a file's bytes. Replaced in tests.
pub type SyncFile = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// How to open a log.
#[derive(Clone)]
pub struct OpenOptions {
    /// Open it even on a network file system, at the user's own risk.
    pub allow_network_filesystem: bool,
    /// How the database's file is synced: `File::sync_data`, except in tests.
    pub sync: SyncFile,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            allow_network_filesystem: false,
            sync: Arc::new(File::sync_data),
        }
    }
}

/// A log in a directory, held by this process while the value lives.
pub struct SledLog {
    writer: Mutex<Writer>,
    events: CloseGuard<sled::Tree>,
    heads: watch::Sender<Head>,
    contents: FileContents,
    dir: PathBuf,
    /// Released last: fields are dropped in this order.
    lock: Mutex<Lock>,
}

/// What only the appending thread needs.
struct Writer {
    db: CloseGuard<sled::Db>,
    meta: CloseGuard<sled::Tree>,
    /// The database's file, opened a second time to sync it.
    data: File,
    sync: SyncFile,
    /// The last value under its key; the next append fills it.
    tail: Value,
    head: Head,
    epoch: Epoch,
    leads: bool,
    /// Why nothing is appended any more.
    poisoned: Option<String>,
    note: HeadFile,
    noted: Head,
    noted_at: Instant,
}

impl std::fmt::Debug for SledLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (dir, head) = (&self.dir, self.head());
        f.debug_struct("SledLog")
            .field("dir", dir)
            .field("head", &head)
            .finish_non_exhaustive()
    }
}

impl SledLog {
    /// Opens the log in `dir`, or creates it, and reads all of it: every event's checksum, sequence
    /// and place in the chain is checked.
    ///
    /// Fails with [`Error::Held`], [`Error::Damaged`], [`Error::NetworkFilesystem`],
    /// [`Error::Format`], or the system's error.
    pub fn open(dir: &Path, options: &OpenOptions) -> Result<Self, Error> {
        open::open(dir, options)
    }

    /// Takes over the log with an epoch also greater than `used`, for epochs that neither this log
    /// nor its events know.
    pub(super) fn lead_after(&self, used: Epoch) -> Result<Epoch, Error> {
        let mut writer = self.writer()?;
        writer.check_usable()?;
        let epoch = pack::next_epoch(writer.epoch.max(used), writer.head);
        let stored = writer.store_epoch(epoch);
        stored.map_err(|error| writer.poison(error))?;
        Ok(epoch)
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The content files of the log; outputs are stored there too.
    pub fn files(&self) -> &FileContents {
        &self.contents
    }

    /// Records the head and closes. Dropping does the same, without reporting errors.
    pub fn close(self) -> Result<(), Error> {
        let mut writer = self.writer()?;
        writer.check_usable()?;
        let written = writer.note_head();
        writer.flush_and_sync(false).and(written)
    }

    /// Checks that the log's files are still where they were opened, and restores the lock file if
    /// somebody deleted it. For a holder that does not append; costs two system calls.
    ///
    /// # Errors
    /// [`Error::Vanished`]; nothing is appended after it.
    pub fn check_place(&self) -> Result<(), Error> {
        // An append checks this itself, and may wait for the disk for long.
        let Ok(mut writer) = self.writer.try_lock() else {
            return Ok(());
        };
        let placed = self.is_in_place(&writer.data);
        placed.map_err(|error| writer.poison(error))?;
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.restore(&self.dir)
    }

    fn is_in_place(&self, data: &File) -> Result<(), Error> {
        let path = self.dir.join("sled/db");
        let held = identity(data, "").map_err(Error::io("look at", &path))?;
        let what = match identity(rustix::fs::CWD, &path) {
            Ok(found) if found.file == held.file => return Ok(()),
            Ok(_) => "another file has its name",
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("look at", &path)(error));
            }
            Err(_) if held.links == 0 => "it was deleted",
            Err(_) => "it no longer exists; its directory may have been moved",
        };
        Err(Error::Vanished { path, what })
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        self.writer.lock().map_err(|_| {
            let why = "the writer panicked".to_owned();
            Error::Poisoned { why }
        })
    }

    fn commit(&self, writer: &mut Writer, encoded: Encoded) -> Result<Head, Error> {
        for long in &encoded.long {
            self.contents.put(&long.bytes)?;
        }
        let mut values = pack::pack(&writer.tail, &encoded)?;
        writer.announce(encoded.head)?;
        let written = write(&self.events, &values);
        let written = written.and_then(|()| writer.flush_and_sync(values.len() > 1));
        let written = written.and_then(|()| self.is_in_place(&writer.data));
        written.map_err(|error| writer.poison(error))?;
        writer.tail = values.pop().unwrap_or_default();
        writer.head = encoded.head;
        self.heads.send_replace(writer.head);
        if writer.noted_at.elapsed() >= HEAD_NOTE_EVERY {
            writer.note_head().map_err(|error| writer.poison(error))?;
        }
        Ok(writer.head)
    }
}

/// The identity of a file behind a name or a handle.
struct Identity {
    /// Device (major, minor) and inode.
    file: (u32, u32, u64),
    links: u32,
}

/// Asks only for the inode and its links. A call that also asks for the times, as `File::metadata`
/// does, makes Linux (6.13 and later, multigrain timestamps) give the next write a new time, and
/// its sync then commits the inode as well: an append takes half as long again.
fn identity(dir: impl AsFd, path: impl rustix::path::Arg) -> io::Result<Identity> {
    let mask = StatxFlags::INO | StatxFlags::NLINK;
    let found = rustix::fs::statx(dir, path, AtFlags::EMPTY_PATH, mask)?;
    Ok(Identity {
        file: (found.stx_dev_major, found.stx_dev_minor, found.stx_ino),
        links: found.stx_nlink,
    })
}

/// Hands values to sled; nothing is durable yet.
fn write(events: &sled::Tree, values: &[Value]) -> Result<(), Error> {
    // Checked again at the last moment: a power cut would lose a longer value.
    values
        .iter()
        .try_for_each(|value| pack::check_value(&value.bytes))?;
    engine("append", || match values {
        [value] => {
            let (key, bytes) = (value.first.0.to_be_bytes(), value.bytes.as_slice());
            events.insert(key, bytes).map(drop)
        }
        values => {
            let mut batch = sled::Batch::default();
            for value in values {
                batch.insert(&value.first.0.to_be_bytes(), value.bytes.as_slice());
            }
            events.apply_batch(batch)
        }
    })
}

impl Writer {
    fn check_usable(&self) -> Result<(), Error> {
        match &self.poisoned {
            Some(why) => Err(Error::Poisoned { why: why.clone() }),
            None => Ok(()),
        }
    }

    fn check(&self, expected: Sequence, epoch: Epoch) -> Result<(), Error> {
        self.check_usable()?;
        pack::check_turn(self.head, self.epoch, self.leads, expected, epoch)
    }

    /// Refuses every later append.
    fn poison(&mut self, error: Error) -> Error {
        self.poisoned = Some(error.to_string());
        error
    }

    /// Makes everything durable that was written so far. `flush` hands sled's buffer to the system
    /// and waits until it is in the device's cache; only the sync makes the device write it, and
    /// the file's new length with it.
    fn flush_and_sync(&self, is_batch: bool) -> Result<(), Error> {
        match is_batch {
            true => engine::flush_batch(&self.db)?,
            false => engine("flush", || self.db.flush().map(drop))?,
        }
        (self.sync)(&self.data).map_err(|error| Error::Engine {
            what: "sync its file",
            why: error.to_string(),
        })
    }

    /// Announces that a batch up to `after` is being written, so that a reader of the plain files
    /// shows all of it or nothing. Not synced: it is for readers while this process lives or after
    /// it was killed. The next start trusts what the engine returns.
    fn announce(&mut self, after: Head) -> Result<(), Error> {
        let before = self.head;
        let left = Left::Open { before, after };
        let said = self.note.leave(left, false);
        said.map_err(|error| self.poison(error))
    }

    /// Records that the log is closed, with the fingerprint of its files. `home` is the engine's
    /// directory, which the engine has closed.
    fn say_closed(&mut self, home: &Path) -> Result<(), Error> {
        self.data
            .sync_data()
            .map_err(Error::io("sync", &home.join("db")))?;
        let files = files::fingerprint(home, pre_open_copy::BYTES_MAX);
        let files = files.map_err(Error::io("read", home))?;
        let head = self.head;
        self.note.leave(Left::Closed { head, files }, true)
    }

    /// Records how far the log reaches; everything up to there is durable already.
    fn note_head(&mut self) -> Result<(), Error> {
        self.noted_at = Instant::now();
        if self.noted == self.head {
            return Ok(());
        }
        self.note.write(self.head)?;
        self.noted = self.head;
        Ok(())
    }

    fn store_epoch(&mut self, epoch: Epoch) -> Result<(), Error> {
        engine("store the epoch", || {
            self.meta
                .insert(EPOCH_KEY, &epoch.0.to_le_bytes())
                .map(drop)
        })?;
        self.flush_and_sync(false)?;
        (self.epoch, self.leads) = (epoch, true);
        Ok(())
    }
}

impl Drop for SledLog {
    fn drop(&mut self) {
        let Ok(writer) = self.writer.get_mut() else {
            return;
        };
        if writer.poisoned.is_some() {
            return;
        }
        if let Err(error) = writer.note_head() {
            tracing::warn!(%error, "cannot write the log's head file");
            return;
        }
        // The engine writes until its last handle is dropped.
        let closed = self.events.close() && writer.meta.close() && writer.db.close();
        if closed && let Err(error) = writer.say_closed(&self.dir.join("sled")) {
            tracing::warn!(%error, "cannot mark the log as closed; nothing is lost");
        }
    }
}

impl EventLog for SledLog {
    fn lead(&self) -> Result<Epoch, Error> {
        self.lead_after(Epoch(0))
    }

    fn head(&self) -> Head {
        *self.heads.borrow()
    }

    fn append(
        &self,
        batch: &[Recorded],
        expected_head: Sequence,
        epoch: Epoch,
    ) -> Result<Head, Error> {
        let mut writer = self.writer()?;
        writer.check(expected_head, epoch)?;
        if batch.is_empty() {
            return Ok(writer.head);
        }
        let encoded = pack::encode(batch, writer.head, epoch)?;
        self.commit(&mut writer, encoded)
    }

    fn append_copied(
        &self,
        envelopes: &[u8],
        expected_head: Sequence,
        epoch: Epoch,
    ) -> Result<Head, Error> {
        let mut writer = self.writer()?;
        writer.check(expected_head, epoch)?;
        if envelopes.is_empty() {
            return Ok(writer.head);
        }
        let encoded = pack::copy(envelopes, writer.head)?;
        self.commit(&mut writer, encoded)
    }

    fn read(&self, from: Sequence, bytes_max: usize) -> Result<Chunk, Error> {
        let mut chunk = Chunk::empty(from.max(Sequence(1)));
        // Values may contain events whose sync is pending or failed; readers must not see them.
        let head = self.head().sequence;
        if chunk.first > head {
            return Ok(chunk);
        }
        let bytes_max = bytes_max.min(READ_BYTES_MAX);
        let key = chunk.first.0.to_be_bytes();
        let start = engine("read", || match self.events.get(key)? {
            Some(_) => Ok(Some(sled::IVec::from(&key))),
            None => Ok(self.events.get_lt(key)?.map(|(key, _)| key)),
        })?;
        let start = start.ok_or_else(|| self.missing(chunk.first))?;
        let mut values = Values::from(&self.events, &start);
        while chunk.next() <= head {
            let (_, value) = values.next()?.ok_or_else(|| self.missing(chunk.next()))?;
            if !take(&mut chunk, &value, head, bytes_max)? {
                break;
            }
        }
        Ok(chunk)
    }

    fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    fn contents(&self) -> &dyn Contents {
        &self.contents
    }
}

impl SledLog {
    fn missing(&self, sequence: Sequence) -> Error {
        Error::Damaged {
            path: self.dir.clone(),
            why: format!("event {sequence} is missing"),
        }
    }
}

/// Adds the wanted part of a value to the chunk; false if nothing more is wanted.
fn take(chunk: &mut Chunk, value: &[u8], head: Sequence, bytes_max: usize) -> Result<bool, Error> {
    for envelope in Envelopes::new(value) {
        let sequence = chunk.next();
        let envelope = envelope.map_err(|source| Error::Decode { sequence, source })?;
        if envelope.sequence < sequence {
            continue;
        }
        let full = chunk.bytes.len() + envelope.bytes.len() > bytes_max && chunk.count > 0;
        if full || envelope.sequence > head {
            return Ok(false);
        }
        if envelope.sequence > sequence {
            let why = format!("event {} is in its place", envelope.sequence);
            return Err(Error::NotNext { sequence, why });
        }
        chunk.bytes.extend_from_slice(envelope.bytes);
        chunk.count += 1;
    }
    Ok(true)
}
