//! What can still be read of a log whose engine refuses it, or gives less than there was.
//!
//! An event proves itself: it has a checksum, and names the hash of the one before it. So the
//! engine's files are searched for events as plain bytes, whatever the engine makes of them, and
//! those that were found are put together by their hashes. The files are read and never written:
//! sled repairs what it opens, and what it repairs away is gone.

mod scan;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use self::scan::Found;
use super::content::{Contents, FileContents};
use super::encoding::{ChainHash, DecodeError};
use super::head_file::HeadFile;
use super::log::{Chunk, EventLog, Head};
use super::{Error, sled_log};
use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};

/// Events that begin like one and are broken, of which a note is kept; only the first that is
/// missing is asked for.
const BROKEN_MAX: usize = 100_000;
/// Files of the engine that are searched: its log and a few for long values, of which we have
/// none.
const FILES_MAX: usize = 10_000;

/// Where a copy of an event was found.
#[derive(Clone, Copy, Debug)]
struct Place {
    previous: ChainHash,
    epoch: Epoch,
    file: u32,
    length: u32,
    offset: u64,
    /// The last event of the longest chain that follows this one.
    reach: Sequence,
}

type Places = BTreeMap<(Sequence, ChainHash), Place>;

/// The events of a log that can be read and follow each other from the first one on. A log that
/// can only be read: appending to it fails.
pub struct Salvage {
    heads: watch::Sender<Head>,
    chain: Vec<Place>,
    strays: Vec<(Sequence, Place)>,
    files: Vec<File>,
    contents: FileContents,
    /// The event after the last, and what is wrong with it; none when nothing says that there was
    /// one.
    pub bad: Option<(Sequence, String)>,
    /// How far the log is known to have reached: by its note, or by what was found.
    pub known: Sequence,
    /// The greatest epoch that anything here tells of.
    pub epoch: Epoch,
    /// Nobody else has the log meanwhile.
    _lock: File,
}

impl Salvage {
    /// Searches the log in `dir`, which nobody else may have open: [`Error::Held`]. Makes nothing
    /// and changes nothing but the lock's note.
    pub fn search(dir: &Path) -> Result<Self, Error> {
        let lock = sled_log::lock(dir)?;
        let contents = FileContents::at(&dir.join("content"));
        let mut files = Vec::new();
        for home in ["sled", sled_log::AS_FOUND] {
            for path in engine_files(&dir.join(home))? {
                files.push(File::open(&path).map_err(Error::io("open", &path))?);
            }
        }
        let mut search = Search::default();
        for (index, file) in (0..).zip(&files) {
            scan::scan(file, |found| search.take(index, found));
        }
        let noted = HeadFile::read(&dir.join("head"))?;
        let noted: Vec<Head> = noted.into_iter().flatten().collect();
        let (chain, head, bad) = search.chain(&noted);
        let next = head.sequence.next();
        let after = search.places.range((next, ChainHash::default())..);
        // Epochs never descend: what has a lesser one is of a history that was taken back.
        let after = after.filter(|(_, place)| place.epoch >= head.epoch);
        let strays: Vec<_> = after.map(|(key, place)| (key.0, *place)).collect();
        let noted_last = noted.iter().map(|head| head.sequence).max();
        let known = strays.last().map(|(sequence, _)| *sequence).max(noted_last);
        let known = known.unwrap_or_default().max(head.sequence);
        let noted_epoch = noted.iter().map(|head| head.epoch).max();
        let seen = search.places.values().map(|place| place.epoch).max();
        let missing = || (known >= next).then(|| (next, search.why(next, head)));
        Ok(Self {
            bad: bad.or_else(missing),
            heads: watch::Sender::new(head),
            chain,
            strays,
            files,
            contents,
            known,
            epoch: seen.max(noted_epoch).unwrap_or_default(),
            _lock: lock,
        })
    }

    /// The same with the events from `bad` on left out: something is wrong with that one which
    /// its envelope does not show.
    pub fn cut(&mut self, bad: Sequence, why: String) -> Result<(), Error> {
        let kept = Sequence(bad.0.saturating_sub(1));
        let head = match kept {
            Sequence(0) => Head::default(),
            kept => self.head_at(kept)?,
        };
        let at = usize::try_from(kept.0).unwrap_or(usize::MAX);
        let dropped = self.chain.split_off(at.min(self.chain.len()));
        let mut strays: Vec<_> = (bad.0..).map(Sequence).zip(dropped).collect();
        strays.append(&mut self.strays);
        self.strays = strays;
        self.bad = Some((bad, why));
        self.heads.send_replace(head);
        Ok(())
    }

    /// Leaves out everything after `head`, if that is among the events. False otherwise.
    pub fn end_at(&mut self, head: Head) -> Result<bool, Error> {
        let here = head.sequence <= self.head().sequence;
        if head != Head::default() && (!here || self.head_at(head.sequence)? != head) {
            return Ok(false);
        }
        let kept = usize::try_from(head.sequence.0).unwrap_or(usize::MAX);
        self.chain.truncate(kept);
        self.strays.clear();
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

    /// How many readable events there are beyond the last. Nothing proves what they follow.
    pub fn strays(&self) -> usize {
        self.strays.len()
    }

    /// The first of those, as far as they read.
    pub fn first_strays(&self, count: usize) -> Vec<Recorded> {
        let strays = self.strays.iter().take(count);
        let read = strays.filter_map(|(sequence, place)| {
            let mut chunk = Chunk::empty(*sequence);
            self.add(&mut chunk, place).ok()?;
            chunk.events(&self.contents).ok()?.pop()
        });
        read.collect()
    }

    /// Reads one event to the end of the chunk.
    fn add(&self, chunk: &mut Chunk, place: &Place) -> Result<(), Error> {
        let start = chunk.bytes.len();
        chunk.bytes.resize(start + place.length as usize, 0);
        let into = chunk.bytes.get_mut(start..).unwrap_or_default();
        let file = self.files.get(place.file as usize);
        let read = file.map(|file| file.read_exact_at(into, place.offset));
        let read = read.transpose().map(drop);
        read.map_err(Error::io("read", Path::new("the log's files")))?;
        chunk.count += 1;
        Ok(())
    }
}

/// The files in which the engine keeps values, its log first. None when there are none.
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

/// What a search finds.
#[derive(Default)]
struct Search {
    places: Places,
    broken: BTreeMap<Sequence, DecodeError>,
}

impl Search {
    fn take(&mut self, file: u32, found: Found<'_>) {
        match found {
            Found::Whole(offset, envelope) => {
                let place = Place {
                    previous: envelope.previous,
                    epoch: envelope.epoch,
                    file,
                    // At most 4 KiB: the window is no longer.
                    length: envelope.bytes.len() as u32,
                    offset,
                    reach: envelope.sequence,
                };
                // The engine rewrites values and leaves old copies behind: one is enough.
                let key = (envelope.sequence, envelope.hash());
                self.places.entry(key).or_insert(place);
            }
            Found::Broken(sequence, why) => {
                if self.broken.len() < BROKEN_MAX {
                    self.broken.entry(sequence).or_insert(why);
                }
            }
        }
    }

    /// Puts the events together, from the first one on.
    ///
    /// Where the log was cut and written on, by a power cut or by sled, there are two histories
    /// from there on. Every writer has a greater epoch than those before it and has seen what was
    /// in the log when it began, so an event is of the past history if one at its place or before
    /// has a greater epoch. What is left is decided by the longer chain.
    fn chain(&mut self, noted: &[Head]) -> (Vec<Place>, Head, Option<(Sequence, String)>) {
        self.reach();
        let (mut chain, mut head) = (Vec::new(), Head::default());
        let mut epoch = Epoch(0);
        loop {
            let next = head.sequence.next();
            let here = self.places.range(all_of(next));
            let newest = here.clone().map(|(_, place)| place.epoch).max();
            epoch = epoch.max(newest.unwrap_or_default());
            let follows =
                here.filter(|(_, place)| place.previous == head.hash && place.epoch == epoch);
            let longest = follows.max_by_key(|(_, place)| place.reach);
            let Some((&(sequence, hash), place)) = longest else {
                return (chain, head, None);
            };
            let other = |note: &Head| note.sequence == sequence && note.hash != hash;
            if noted.iter().any(other) {
                let why = "it is another than the log's note says it was".to_owned();
                return (chain, head, Some((sequence, why)));
            }
            chain.push(*place);
            head = Head {
                sequence,
                hash,
                epoch,
            };
        }
    }

    /// How far each event is followed by others, the last ones first.
    fn reach(&mut self) {
        let keys: Vec<_> = self.places.keys().copied().collect();
        for key in keys.into_iter().rev() {
            let Some(&Place {
                previous, reach, ..
            }) = self.places.get(&key)
            else {
                continue;
            };
            let before = (Sequence(key.0.0.saturating_sub(1)), previous);
            if let Some(place) = self.places.get_mut(&before) {
                place.reach = place.reach.max(reach);
            }
        }
    }

    fn why(&self, sequence: Sequence, head: Head) -> String {
        if self.places.range(all_of(sequence)).next().is_some() {
            return format!("it does not follow event {}", head.sequence);
        }
        match self.broken.get(&sequence) {
            Some(why) => why.to_string(),
            None => "it is missing".to_owned(),
        }
    }
}

/// Every event with this sequence.
fn all_of(sequence: Sequence) -> std::ops::RangeInclusive<(Sequence, ChainHash)> {
    (sequence, ChainHash([0; 32]))..=(sequence, ChainHash([255; 32]))
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
        for place in self.chain.iter().skip(skipped) {
            let length = chunk.bytes.len() + place.length as usize;
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
