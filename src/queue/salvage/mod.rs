//! Reads what is left of a log whose engine refuses it, or returns less than was written.
//!
//! An event proves itself: it has a checksum, and the hash of the one before it. So the engine's
//! files are searched for events as plain bytes, and the events are put together by their hashes.
//! The files are never written: sled repairs what it opens, and deletes what it cannot repair.

pub(super) mod index;
mod scan;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use self::index::{Index, Place};
use super::content::{Contents, FileContents};
use super::head_file::HeadFile;
use super::log::{Chunk, EventLog, Head};
use super::{Error, directory};
use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};

/// Files of the engine that are searched: its log, and a few for long values, of which we have
/// none.
const FILES_MAX: usize = 10_000;

/// The readable events of a log that follow each other from the first one on. It is read-only:
/// appending fails.
pub struct Salvage {
    heads: watch::Sender<Head>,
    index: Index,
    chain: Vec<u32>,
    unlinked_events: Vec<u32>,
    files: Vec<File>,
    contents: FileContents,
    /// The event after the last, and what is wrong with it; `None` if nothing shows that it
    /// existed.
    pub bad: Option<(Sequence, String)>,
    /// The last event that the log is known to have had, by its note or by what was found.
    pub known: Sequence,
    /// The greatest epoch that was found anywhere.
    pub epoch: Epoch,
    /// Keeps other processes from the log; `None` after `look`.
    lock: Option<directory::Lock>,
}

/// Searches the engine's files in `dir` for events from `from` on.
pub(super) fn search(dir: &Path, from: Sequence) -> Result<(Index, Vec<File>), Error> {
    let mut files = Vec::new();
    for home in ["sled", directory::PRE_OPEN_COPY] {
        for path in engine_files(&dir.join(home))? {
            match File::open(&path) {
                // The engine has removed it since.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                opened => files.push(opened.map_err(Error::io("open", &path))?),
            }
        }
    }
    let mut index = Index::new(from);
    for (number, file) in (0..).zip(&files) {
        scan::scan(file, |found| index.take(number, found));
    }
    Ok((index, files))
}

impl Salvage {
    /// Searches the log in `dir`, which no other process may have open ([`Error::Held`]). Creates
    /// nothing and changes only the lock's note.
    pub fn search(dir: &Path) -> Result<Self, Error> {
        let lock = directory::lock(dir)?;
        let mut salvage = Self::look(dir)?;
        salvage.lock = Some(lock);
        Ok(salvage)
    }

    /// Like `search`, without taking the lock: for readers, and for a log at rest. Writes nothing
    /// at all.
    pub fn look(dir: &Path) -> Result<Self, Error> {
        let contents = FileContents::at(&dir.join("content"));
        let (index, files) = search(dir, Sequence(1))?;
        let noted = HeadFile::known(&dir.join("head"))?;
        let chain = index.chain(Some(0), &noted);
        let mut salvage = Self {
            heads: watch::Sender::new(Head::default()),
            index,
            chain: chain.places,
            unlinked_events: Vec::new(),
            files,
            contents,
            bad: None,
            known: Sequence(0),
            epoch: Epoch(0),
            lock: None,
        };
        let kept = Sequence(salvage.chain.len() as u64);
        let head = match kept {
            Sequence(0) => Head::default(),
            kept => salvage.head_at(kept)?,
        };
        salvage.heads.send_replace(head);
        salvage.judge(&noted, head, chain.bad);
        Ok(salvage)
    }

    /// Finds out whether something is missing after `head`.
    fn judge(&mut self, noted: &[Head], head: Head, other: Option<Sequence>) {
        let next = head.sequence.next();
        self.unlinked_events = self.index.after(head.sequence, head.epoch);
        let last = self
            .unlinked_events
            .last()
            .and_then(|last| self.index.place(*last));
        let noted_last = noted.iter().map(|head| head.sequence).max();
        let known = last.map(|place| place.sequence).max(noted_last);
        self.known = known.unwrap_or_default().max(head.sequence);
        let noted_epoch = noted.iter().map(|head| head.epoch).max();
        self.epoch = self.index.epoch.max(noted_epoch.unwrap_or_default());
        self.bad = match other {
            Some(bad) => Some((
                bad,
                "it differs from what the log's head file says".to_owned(),
            )),
            None => (self.known >= next).then(|| (next, self.index.why(next, head.sequence))),
        };
    }

    /// True if no other process can open the log.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Leaves out the events from `bad` on: something is wrong with that one which its envelope
    /// does not show.
    pub fn cut(&mut self, bad: Sequence, why: String) -> Result<(), Error> {
        let kept = Sequence(bad.0.saturating_sub(1));
        let head = match kept {
            Sequence(0) => Head::default(),
            kept => self.head_at(kept)?,
        };
        let at = usize::try_from(kept.0).unwrap_or(usize::MAX);
        let mut unlinked_events = self.chain.split_off(at.min(self.chain.len()));
        unlinked_events.append(&mut self.unlinked_events);
        self.unlinked_events = unlinked_events;
        self.bad = Some((bad, why));
        self.heads.send_replace(head);
        Ok(())
    }

    /// Leaves out everything after `head`. False if `head` is not among the events.
    pub fn end_at(&mut self, head: Head) -> Result<bool, Error> {
        let here = head.sequence <= self.head().sequence;
        if head != Head::default() && (!here || self.head_at(head.sequence)? != head) {
            return Ok(false);
        }
        let kept = usize::try_from(head.sequence.0).unwrap_or(usize::MAX);
        self.chain.truncate(kept);
        self.unlinked_events.clear();
        self.heads.send_replace(head);
        Ok(true)
    }

    fn head_at(&self, sequence: Sequence) -> Result<Head, Error> {
        let chunk = self.read(sequence, 1)?;
        let first = chunk.envelopes().next().transpose();
        let first = first.map_err(|source| Error::Decode { sequence, source })?;
        Ok(first.map_or_else(Head::default, |envelope| Head {
            sequence: envelope.sequence,
            hash: envelope.hash(),
            epoch: envelope.epoch,
        }))
    }

    /// Number of readable events beyond the last. Nothing proves what they follow.
    pub fn unlinked_events(&self) -> usize {
        self.unlinked_events.len()
    }

    /// The first of those events, as far as they can be decoded.
    pub fn first_unlinked(&self, count: usize) -> Vec<Recorded> {
        let unlinked_events = self.unlinked_events.iter().take(count);
        let places = unlinked_events.filter_map(|index| self.index.place(*index));
        let read = places.filter_map(|place| {
            let mut chunk = Chunk::empty(place.sequence);
            self.add(&mut chunk, place).ok()?;
            chunk.events(&self.contents).ok()?.pop()
        });
        read.collect()
    }

    /// Appends one event to the chunk.
    fn add(&self, chunk: &mut Chunk, place: &Place) -> Result<(), Error> {
        let path = Path::new("the log's files");
        let read = place.read(&self.files, &mut chunk.bytes);
        if !read.map_err(Error::io("read", path))? {
            let (sequence, why) = (
                place.sequence,
                "it was overwritten while it was being read".to_owned(),
            );
            return Err(Error::NotNext { sequence, why });
        }
        chunk.count += 1;
        Ok(())
    }
}

/// The engine's files with values, its log first. Empty if there are none.
fn engine_files(home: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut dirs = vec![home.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(Error::io("read", &dir))?,
        };
        for entry in entries.take(FILES_MAX) {
            let entry = entry.map_err(Error::io("read", &dir))?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read_only<T>() -> Result<T, Error> {
    let why = "it is damaged and can only be read".to_owned();
    Err(Error::Poisoned { why })
}

impl EventLog for Salvage {
    fn lead(&self) -> Result<Epoch, Error> {
        read_only()
    }

    fn head(&self) -> Head {
        *self.heads.borrow()
    }

    fn append(&self, _: &[Recorded], _: Sequence, _: Epoch) -> Result<Head, Error> {
        read_only()
    }

    fn append_copied(&self, _: &[u8], _: Sequence, _: Epoch) -> Result<Head, Error> {
        read_only()
    }

    fn read(&self, from: Sequence, bytes_max: usize) -> Result<Chunk, Error> {
        let mut chunk = Chunk::empty(from.max(Sequence(1)));
        let skipped = usize::try_from(chunk.first.0 - 1).unwrap_or(usize::MAX);
        let chain = self.chain.iter().skip(skipped);
        for place in chain.filter_map(|index| self.index.place(*index)) {
            let length = chunk.bytes.len() + usize::from(place.length);
            if chunk.count > 0 && length > bytes_max {
                break;
            }
            self.add(&mut chunk, place)?;
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
