//! Reads a log without its engine. It writes, locks, copies and creates nothing, so it works on a
//! read-only or full disk, beside a writer, and while that writer is stopped.
//!
//! The engine's files are searched for events as plain bytes ([`super::salvage`]), and the chain of
//! hashes shows which of them follow each other. A writer may be at work: the engine may move
//! events between two looks, and a batch may be only partly there. So
//!
//! - a search that misses an event which is known to be durable is repeated;
//! - a batch that is being written counts only once it is complete (the head file says where it
//!   begins and ends);
//! - before a reader gets an event of a log that was not closed, the engine's file is synced, so
//!   that what the reader has seen stays.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::content::FileContents;
use super::head_file::{HeadFile, Left};
use super::log::{Chunk, Head};
use super::salvage::index::{Chain, Index, Place};
use super::{Error, directory, encoding, files, salvage};
use crate::model::ids::{Epoch, Sequence};

/// How often a search that missed something is repeated. Each takes as long as reading the files,
/// and the engine moves an event about once in some thousand appends.
const SEARCHES_MAX: usize = 6;
/// A disk that does not answer must not keep a reader from what is in memory.
const SYNC_MAX: Duration = Duration::from_secs(2);

/// How the writer left a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A writer has it open, or was killed, or an older build closed it.
    Open,
    /// It was closed, and the engine's files are unchanged since, or too large to check.
    Closed,
    /// It was closed, and the engine's files have changed since; or the engine has refused them.
    /// Every event can still be read.
    Altered,
}

/// A log's events from one position on, as they were when it was opened.
pub struct LogReader {
    dir: PathBuf,
    index: Index,
    chain: Vec<u32>,
    files: Vec<File>,
    contents: FileContents,
    from: Sequence,
    head: Head,
    left: Option<Left>,
}

impl LogReader {
    /// Searches the log in `dir` for its events from `from` on; 0 and 1 are the first. Earlier ones
    /// take no memory, so a reader with a snapshot needs little.
    ///
    /// [`Error::Damaged`] if an event is missing that is known to have existed.
    pub fn open(dir: &Path, from: Sequence) -> Result<Self, Error> {
        Self::after(dir, from, None)
    }

    /// Like `open`, with the hash of the event before `from`, if it is known.
    fn after(dir: &Path, from: Sequence, hash: Option<u64>) -> Result<Self, Error> {
        let dir = directory::place(dir);
        let from = from.max(Sequence(1));
        let hash = hash.or((from == Sequence(1)).then_some(0));
        let mut tries = 1..=SEARCHES_MAX;
        loop {
            tries.next();
            match Self::search(&dir, from, hash) {
                Err(Error::Damaged { .. }) if !tries.is_empty() && is_written(&dir) => {}
                searched => return searched,
            }
        }
    }

    fn search(dir: &Path, from: Sequence, hash: Option<u64>) -> Result<Self, Error> {
        // A log that vanishes at this moment is not an empty one.
        fs::metadata(dir).map_err(Error::io("open", dir))?;
        let note = dir.join("head");
        // Read before the search, so the search must find all of it, however much is appended
        // since.
        let (before, noted) = (HeadFile::left(&note)?, HeadFile::known(&note)?);
        let (index, files) = salvage::search(dir, from)?;
        let left = HeadFile::left(&note)?;
        let chain = index.chain(hash, &noted);
        let mut reader = Self {
            contents: FileContents::at(&dir.join("content")),
            dir: dir.to_owned(),
            index,
            chain: Vec::new(),
            files,
            from,
            head: Head::default(),
            left,
        };
        reader.judge(chain, &noted, before)?;
        if !matches!(left, Some(Left::Closed { .. })) {
            reader.sync();
        }
        Ok(reader)
    }

    /// Takes the durable part of the chain, and reports what is missing.
    fn judge(&mut self, chain: Chain, noted: &[Head], before: Option<Left>) -> Result<(), Error> {
        let damaged = |why: String| {
            let path = self.dir.clone();
            Err(Error::Damaged { path, why })
        };
        if let Some(bad) = chain.bad {
            return damaged(format!("event {bad} is different than before"));
        }
        if noted.is_empty() && !chain.places.is_empty() {
            let why = "the file `head` is missing or damaged";
            return damaged(format!(
                "{why}, so it is not known whether the log is complete"
            ));
        }
        self.chain = chain.places;
        self.forget_taken_back();
        let known = noted.iter().map(|head| head.sequence).max();
        let known = known.unwrap_or_default();
        let skipped = Sequence(self.from.0 - 1);
        let reached = match self.chain.len() as u64 {
            0 => skipped.min(known),
            count => Sequence(skipped.0 + count),
        };
        let known = known.max(self.last_stray(reached, before));
        let earlier = self.index.missing_before(known.max(reached));
        let later = (known > reached && known >= self.from).then(|| reached.next());
        if let Some(missing) = earlier.or(later) {
            let why = self.index.why(missing, Sequence(missing.0 - 1));
            let (path, known) = (self.dir.clone(), known.max(reached));
            let why = format!("event {missing}: {why}; the log had at least {known} events");
            return Err(Error::Damaged { path, why });
        }
        let last = whole_batch(reached, [self.left, before]);
        self.chain
            .truncate((last.0 + 1).saturating_sub(self.from.0) as usize);
        self.head = self.last(noted)?;
        Ok(())
    }

    /// Leaves out what a power cut took back but is still in the engine's files: the present writer
    /// has not seen it, and its own events have a greater epoch.
    fn forget_taken_back(&mut self) {
        let Some(left) = self.left else {
            return;
        };
        let keeps = |index: &u32| {
            let place = self.index.place(*index);
            place.is_some_and(|place| !left.is_beyond(place))
        };
        let kept = self.chain.iter().take_while(|index| keeps(index)).count();
        self.chain.truncate(kept);
    }

    /// The last event that was found and follows no other found event. The written part of an
    /// unfinished batch does not count.
    fn last_stray(&self, reached: Sequence, before: Option<Left>) -> Sequence {
        let written = [self.left, before].into_iter().flatten().map(Left::end);
        let written = written.max().unwrap_or_default().max(reached);
        let last = self.chain.last().and_then(|last| self.index.place(*last));
        let epoch = last.map_or(Epoch(0), |place| place.epoch);
        let after = self.index.after(written, epoch);
        let places = after.iter().filter_map(|index| self.index.place(*index));
        let mut unlinked_events =
            places.filter(|place| !self.left.is_some_and(|left| left.is_beyond(place)));
        unlinked_events
            .next_back()
            .map_or(Sequence(0), |place| place.sequence)
    }

    /// The last of the events, or of those before them.
    fn last(&self, noted: &[Head]) -> Result<Head, Error> {
        let Some(place) = self.chain.last().and_then(|last| self.index.place(*last)) else {
            let before = noted.iter().filter(|head| head.sequence < self.from);
            let last = before.max_by_key(|head| head.sequence);
            return Ok(last.copied().unwrap_or_default());
        };
        let mut bytes = Vec::new();
        let read = place.read(&self.files, &mut bytes);
        read.map_err(Error::io("read", &self.dir))?;
        let (sequence, epoch) = (place.sequence, place.epoch);
        let envelope = encoding::decode(&bytes);
        let envelope = envelope.map_err(|source| Error::Decode { sequence, source })?;
        let hash = envelope.hash();
        Ok(Head {
            sequence,
            hash,
            epoch,
        })
    }

    /// Syncs what was found, for a limited time, because the disk may be what has stopped the
    /// writer. On a read-only disk there is nothing to sync.
    fn sync(&self) {
        let files: Vec<_> = self
            .files
            .iter()
            .filter_map(|it| it.try_clone().ok())
            .collect();
        let (done, synced) = mpsc::channel();
        let syncing = std::thread::Builder::new().name("log-sync".to_owned());
        let syncing = syncing.spawn(move || {
            for file in files {
                let _ = file.sync_data();
            }
            let _ = done.send(());
        });
        if let Ok(syncing) = syncing
            && synced.recv_timeout(SYNC_MAX).is_ok()
        {
            // The thread has finished: it leaves nothing behind.
            let _ = syncing.join();
        }
    }

    /// The last event that can be read.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The store of long bodies and outputs.
    pub fn contents(&self) -> &FileContents {
        &self.contents
    }

    /// How the log was left. Reads the engine's files again if it was closed.
    pub fn ending(&self) -> Result<Ending, Error> {
        if self.dir.join(directory::PRE_OPEN_COPY).exists() {
            return Ok(Ending::Altered);
        }
        let Some(Left::Closed { files, .. }) = self.left else {
            return Ok(Ending::Open);
        };
        let home = self.dir.join("sled");
        let found = files.map(|_| files::fingerprint(&home, u64::MAX));
        let found = found.transpose().map_err(Error::io("read", &home))?;
        // A writer may have begun since.
        Ok(match HeadFile::left(&self.dir.join("head"))? {
            now if now != self.left => Ending::Open,
            _ if found == Some(files) || files.is_none() => Ending::Closed,
            _ => Ending::Altered,
        })
    }

    /// The envelopes from `from` on, as many as fit into `bytes_max`, but at least one if one
    /// exists. Searches again if the engine has moved them.
    pub fn read(&mut self, from: Sequence, bytes_max: usize) -> Result<Chunk, Error> {
        for _ in 0..SEARCHES_MAX {
            let mut chunk = Chunk::empty(from.max(self.from));
            if self.fill(&mut chunk, bytes_max)? || !chunk.is_empty() {
                return Ok(chunk);
            }
            let at = (chunk.first.0 - self.from.0) as usize;
            let before = at.checked_sub(1).and_then(|at| self.chain.get(at));
            let before = before.and_then(|index| self.index.place(*index));
            let before = before.map(|place| place.hash);
            *self = Self::after(&self.dir, chunk.first, before)?;
        }
        let path = self.dir.clone();
        let why = format!("event {from} keeps moving while it is read; try again");
        Err(Error::Damaged { path, why })
    }

    /// False if an event is no longer in its place.
    fn fill(&self, chunk: &mut Chunk, bytes_max: usize) -> Result<bool, Error> {
        let skipped = usize::try_from(chunk.first.0 - self.from.0).unwrap_or(usize::MAX);
        for index in self.chain.iter().skip(skipped) {
            let Some(place) = self.index.place(*index) else {
                return Ok(false);
            };
            let start = chunk.bytes.len();
            if chunk.count > 0 && start + usize::from(place.length) > bytes_max {
                break;
            }
            let read = place.read(&self.files, &mut chunk.bytes);
            if !read.map_err(Error::io("read", &self.dir))? {
                chunk.bytes.truncate(start);
                return Ok(false);
            }
            chunk.count += 1;
        }
        Ok(true)
    }
}

impl Left {
    /// The last event that its writer has announced.
    fn end(self) -> Sequence {
        match self {
            Self::Open { after, .. } => after.sequence,
            Self::Closed { head, .. } => head.sequence,
        }
    }

    /// True for an event that follows the last one and is not from its writer.
    fn is_beyond(&self, place: &Place) -> bool {
        match self {
            Self::Open { after, .. } => {
                place.sequence > after.sequence && place.epoch < after.epoch
            }
            Self::Closed { head, .. } => place.sequence > head.sequence,
        }
    }
}

/// The last event at or before `reached` that ended a batch, as far as is known. The later note
/// comes first.
fn whole_batch(reached: Sequence, notes: [Option<Left>; 2]) -> Sequence {
    let ends = notes.into_iter().flatten().flat_map(|left| match left {
        Left::Open { before, after } => [after.sequence, before.sequence],
        Left::Closed { head, .. } => [head.sequence; 2],
    });
    let mut ends = ends.peekable();
    match ends.peek() {
        // Anything after the last finished batch was announced but not written.
        Some(last) if reached <= *last => {}
        _ => return reached,
    }
    ends.find(|end| *end <= reached).unwrap_or(reached)
}

/// Whether a process has the log open now.
fn is_written(dir: &Path) -> bool {
    directory::holder(dir).is_some()
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader")
            .field("dir", &self.dir)
            .field("from", &self.from)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: u64) -> Head {
        Head {
            sequence: Sequence(sequence),
            ..Head::default()
        }
    }

    #[test]
    fn a_batch_is_shown_whole_or_not_at_all() {
        let open = |before, after| {
            let (before, after) = (head(before), head(after));
            Some(Left::Open { before, after })
        };
        let closed = Some(Left::Closed {
            head: head(30),
            files: None,
        });
        let table = [
            // The batch from 11 to 20: partly written, complete, and followed by unannounced
            // events.
            (15, open(10, 20), open(10, 20), 10),
            (10, open(10, 20), open(10, 20), 10),
            (20, open(10, 20), open(10, 20), 20),
            (23, open(10, 20), open(10, 20), 23),
            // More was written while the files were searched.
            (15, open(20, 30), open(10, 20), 10),
            (20, open(20, 30), open(10, 20), 20),
            (25, open(20, 30), open(10, 20), 20),
            (30, open(20, 30), open(10, 20), 30),
            (30, closed, open(20, 30), 30),
            // An older build does not announce batches.
            (15, None, None, 15),
        ];
        for (reached, left, before, expected) in table {
            let last = whole_batch(Sequence(reached), [left, before]);
            assert_eq!(last.0, expected, "{reached} {left:?} {before:?}");
        }
    }
}
