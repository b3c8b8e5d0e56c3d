//! Repairs a damaged log: finds what is wrong, and writes a new log of every event that can be
//! verified.
//!
//! A repair deletes nothing and changes nothing in place. It writes a new log beside the damaged
//! one, syncs and verifies it, and then swaps the two by renames:
//!
//! 1. `log.repaired.unfinished` is written, verified, and renamed to `log.repaired`;
//! 2. `log` is renamed to a name that the caller gives, so it is kept;
//! 3. `log.repaired` is renamed to `log`;
//! 4. snapshots that do not belong to the new log are moved beside the damaged one.
//!
//! The process may die anywhere. Between 2 and 3 there is no `log`: the next process that opens it
//! (`finish`) takes the third step. Otherwise the repair starts again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::content::{self, CONTENT_BYTES_MAX, FileContents};
use super::directory::{REPAIRED, begin, exists, finish, remove, rename, sibling};
use super::encoding::DecodeError;
use super::log::{EventLog, Head, hash_at};
use super::salvage::Salvage;
use super::snapshot::{self, ValidSnapshot};
use super::verify::LostText;
use super::{Ending, Error, LogReader, OpenOptions, SledLog, directory, files, verify};
use crate::model::ids::{ContentHash, Epoch, Sequence};

/// Bytes of events that are read and appended at once: some thousand events share a sync.
const CHUNK_BYTES: usize = 1 << 20;
/// How far the epoch is raised above every known one. A leader that recorded nothing leaves no
/// trace in the events, and nobody starts a scheduler that often without a trace.
const EPOCH_LEAP: u64 = 1_000;

/// What an examination found.
pub struct Findings {
    /// The verified events, from the first one on.
    pub salvage: Salvage,
    /// The first bad event and what is wrong with it; `None` if nothing is missing.
    pub bad: Option<(Sequence, String)>,
    /// The last event that the log is known to have had.
    pub known: Sequence,
    /// Why the storage engine does not return all events, in its own words.
    pub engine: Option<String>,
    /// Snapshots of events that are not among the verified ones.
    pub foreign_snapshots: Vec<PathBuf>,
    /// Texts that are missing or altered; the events that name them are verified.
    pub lost: Vec<LostText>,
}

impl Findings {
    /// The last verified event.
    pub fn head(&self) -> Head {
        self.salvage.head()
    }

    /// True if there is nothing to repair. Missing texts cannot be repaired.
    pub fn is_whole(&self) -> bool {
        self.has_all_events() && self.altered().next().is_none()
    }

    /// True if every event exists and the engine returns it: at most texts are damaged.
    pub fn has_all_events(&self) -> bool {
        self.bad.is_none() && self.engine.is_none() && self.foreign_snapshots.is_empty()
    }

    /// Texts that are not what was written.
    pub fn altered(&self) -> impl Iterator<Item = &LostText> {
        self.lost.iter().filter(|lost| lost.altered)
    }
}

/// Searches the files of the log in `dir` for events and verifies them. Writes nothing, takes no
/// lock, and does not open the engine, so it works on any disk.
///
/// Fails with [`Error::Decode`] if a newer build wrote an event, or with the system's error.
pub fn look(dir: &Path, snapshots: &Path) -> Result<Findings, Error> {
    let snapshots = sound(snapshots)?;
    let mut findings = prove(Salvage::look(dir)?)?;
    findings.engine = altered(dir)?;
    findings.compare(snapshots)?;
    Ok(findings)
}

/// Like [`look`], for a log that no other process has open; also opens a copy of its files with the
/// engine. If that succeeds, and no snapshot is ahead of it, the log is complete.
///
/// Fails with [`Error::Held`] as well.
pub fn examine(dir: &Path, snapshots: &Path) -> Result<Findings, Error> {
    finish(dir)?;
    let mut findings = prove(Salvage::search(dir)?)?;
    let snapshots = sound(snapshots)?;
    let newest = snapshots.iter().map(|sound| sound.sequence).max();
    match engine_says(dir)? {
        // Anything else in the files was never acknowledged, or was taken back.
        Ok(head) if newest <= Some(head.sequence) && findings.salvage.end_at(head)? => {
            findings.bad = None;
            findings.known = head.sequence;
            findings.engine = altered(dir)?;
        }
        Ok(head) if head.sequence >= findings.head().sequence => {}
        Ok(head) => findings.engine = Some(format!("it ends at event {}", head.sequence)),
        Err(why) => findings.engine = Some(why),
    }
    findings.compare(snapshots)?;
    Ok(findings)
}

fn prove(mut salvage: Salvage) -> Result<Findings, Error> {
    let mut lost = Vec::new();
    match verify(&salvage) {
        Ok(verified) => lost = verified.lost,
        Err(fault) if is_cure_elsewhere(&fault.why) => return Err(fault.why),
        Err(fault) => salvage.cut(fault.sequence, fault.why.to_string())?,
    }
    Ok(Findings {
        bad: salvage.bad.take(),
        known: salvage.known,
        engine: None,
        foreign_snapshots: Vec::new(),
        lost,
        salvage,
    })
}

/// What is wrong with the engine's files although every event can be read.
fn altered(dir: &Path) -> Result<Option<String>, Error> {
    let ending = LogReader::open(dir, Sequence(u64::MAX)).and_then(|reader| reader.ending());
    match ending {
        Ok(Ending::Altered) => {
            let why = "the storage engine's files changed after the log was closed";
            Ok(Some(why.to_owned()))
        }
        Ok(Ending::Open | Ending::Closed) | Err(Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// True for errors that are not damage and that a repair does not fix.
fn is_cure_elsewhere(why: &Error) -> bool {
    match why {
        Error::Decode { source, .. } => matches!(
            source,
            DecodeError::UnknownType(_) | DecodeError::NewerVersion { .. }
        ),
        Error::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
        _ => false,
    }
}

impl Findings {
    /// Snapshots contain only what is on the disk, so one from beyond the end proves that events
    /// are missing.
    fn compare(&mut self, snapshots: Vec<ValidSnapshot>) -> Result<(), Error> {
        let head = self.head().sequence;
        for sound in snapshots {
            if hash_at(&self.salvage, sound.sequence)? != Some(sound.chain_hash)
                && sound.sequence > head
            {
                self.known = self.known.max(sound.sequence);
                self.foreign_snapshots.push(sound.path);
            }
        }
        if self.bad.is_none() && self.known > head {
            self.bad = Some((head.next(), "it is missing".to_owned()));
        }
        Ok(())
    }
}

/// The snapshots that are unchanged since they were written.
fn sound(snapshots: &Path) -> Result<Vec<ValidSnapshot>, Error> {
    let stored = snapshot::all(snapshots)?;
    let sound = stored.iter().map(snapshot::check);
    Ok(sound.filter_map(Result::ok).collect())
}

/// The end of the log according to the engine, or its complaint, from a copy of the files.
fn engine_says(dir: &Path) -> Result<Result<Head, String>, Error> {
    let copy = sibling(dir, &format!("check{}", files::UNFINISHED));
    remove(&copy)?;
    files::make_dir(&copy)?;
    let copied = files::copy_tree(&dir.join("sled"), &copy.join("sled")).and_then(|()| {
        match fs::copy(dir.join("head"), copy.join("head")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    });
    let said = copied.map_err(Error::io("copy", dir)).map(|()| {
        // The copy is not a log that anybody uses, so its place matters little.
        let options = OpenOptions {
            allow_network_filesystem: true,
            ..OpenOptions::default()
        };
        match SledLog::open(&copy, &options) {
            Ok(log) => Ok(log.head()),
            Err(Error::Damaged { why, .. }) => Err(why),
            Err(error) => Err(error.to_string()),
        }
    });
    remove(&copy)?;
    said
}

/// What a repair did.
#[derive(Debug)]
pub struct Repaired {
    /// The end of the new log.
    pub head: Head,
    /// Content files that were altered and stay with the damaged log.
    pub altered: u64,
}

/// Replaces the log in `dir` by one of the events that were found, byte for byte. The damaged log,
/// and the snapshots that do not belong to the new one, move to `aside`, which must not exist and
/// must be in the same directory.
pub fn repair(
    findings: Findings,
    dir: &Path,
    snapshots: &Path,
    aside: &Path,
    options: &OpenOptions,
) -> Result<Repaired, Error> {
    let repaired = sibling(dir, REPAIRED);
    let unfinished = begin(dir)?;
    let altered = link_contents(&dir.join("content"), &unfinished.join("content"))?;
    let head = write(&findings.salvage, &unfinished, options)?;
    // Held until the new log is in its place, so that no other process takes it.
    let held = directory::lock(&unfinished)?;
    rename(&unfinished, &repaired)?;
    rename(dir, aside)?;
    rename(&repaired, dir)?;
    drop(held);
    if !findings.foreign_snapshots.is_empty() {
        let kept = aside.join("snapshots");
        files::make_dir(&kept)?;
        for path in &findings.foreign_snapshots {
            let name = path.file_name().unwrap_or_default();
            rename(path, &kept.join(name))?;
        }
        files::sync_dir(snapshots)?;
    }
    Ok(Repaired { head, altered })
}

/// Moves the altered texts of the log in `dir` below `aside`, so that the true ones can be stored
/// again. Everything else stays. Returns their number.
pub fn set_texts_aside(findings: &Findings, dir: &Path, aside: &Path) -> Result<u64, Error> {
    let contents = FileContents::at(&dir.join("content"));
    let kept = FileContents::at(&aside.join("content"));
    let mut moved = 0;
    for lost in findings.altered() {
        let (from, to) = (contents.path(&lost.content), kept.path(&lost.content));
        let (Some(left), Some(into)) = (from.parent(), to.parent()) else {
            continue;
        };
        files::make_dir(into)?;
        rename(&from, &to)?;
        files::sync_dir(left)?;
        moved += 1;
    }
    Ok(moved)
}

/// [`Error::Lost`] if there is no log, but a valid snapshot of one.
pub fn lost(dir: &Path, snapshots: &Path) -> Result<Option<Error>, Error> {
    if exists(dir) {
        return Ok(None);
    }
    let newest = sound(snapshots)?.into_iter().max_by_key(|it| it.sequence);
    Ok(newest.map(|snapshot| Error::Lost {
        path: dir.to_owned(),
        sequence: snapshot.sequence,
        snapshot: snapshot.path,
    }))
}

/// Writes the events into a new log in `dir`, and verifies it.
fn write(events: &Salvage, dir: &Path, options: &OpenOptions) -> Result<Head, Error> {
    let log = SledLog::open(dir, options)?;
    let used = Epoch(events.epoch.0.saturating_add(EPOCH_LEAP));
    let epoch = log.lead_after(used)?;
    let end = events.head();
    while log.head().sequence < end.sequence {
        let at = log.head().sequence;
        let chunk = events.read(at.next(), CHUNK_BYTES)?;
        log.append_copied(&chunk.bytes, at, epoch)?;
    }
    let verified = verify(&log).map_err(|fault| fault.why)?;
    if verified.head != end {
        let why = "the new log does not have the events that were written".to_owned();
        let path = dir.to_owned();
        return Err(Error::Damaged { path, why });
    }
    log.close()?;
    Ok(end)
}

/// Links the content files into the new log. Altered ones stay behind and are counted.
fn link_contents(from: &Path, to: &Path) -> Result<u64, Error> {
    files::make_dir(to)?;
    let mut altered = 0;
    for dir in entries(from)?.into_iter().filter(|path| path.is_dir()) {
        let into = to.join(dir.file_name().unwrap_or_default());
        files::make_dir(&into)?;
        for file in entries(&dir)? {
            if !is_as_named(&file) {
                altered += 1;
                continue;
            }
            let name = into.join(file.file_name().unwrap_or_default());
            let linked = fs::hard_link(&file, &name);
            // Not every file system supports hard links.
            if linked.is_err() {
                let bytes = fs::read(&file).map_err(Error::io("read", &file))?;
                files::write_atomically(&name, &[&bytes])?;
            }
        }
        files::sync_dir(&into)?;
    }
    files::sync_dir(to)?;
    Ok(altered)
}

/// True if a content file's bytes match its name.
fn is_as_named(file: &Path) -> bool {
    let first = file.parent().and_then(Path::file_name).unwrap_or_default();
    let rest = file.file_name().unwrap_or_default();
    let name = format!("{}{}", first.to_string_lossy(), rest.to_string_lossy());
    let small = fs::metadata(file).is_ok_and(|meta| meta.len() <= CONTENT_BYTES_MAX as u64);
    let hash = |bytes: Vec<u8>| ContentHash::to_string(&content::hash(&bytes));
    small && fs::read(file).is_ok_and(|bytes| hash(bytes) == name)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("read", dir))?,
    };
    let paths = entries.map(|entry| Ok(entry.map_err(Error::io("read", dir))?.path()));
    paths.collect()
}
