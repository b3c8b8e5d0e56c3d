//! Opens a log. The order of the steps makes it safe.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::super::content::FileContents;
use super::super::head_file::{HeadFile, Left, Slots};
use super::super::log::{Envelopes, Head};
use super::super::pack::{self, Value};
use super::super::{Error, directory, files, mounts};
use super::engine::{CloseGuard, Values, engine};
use super::pre_open_copy::{AsFound, BYTES_MAX};
use super::{EPOCH_KEY, FORMAT, FORMAT_KEY, OpenOptions, SledLog, Writer};
use crate::model::ids::{Epoch, Sequence};

/// sled's page cache. The log is read once, in order, and then only at its end.
const CACHE_BYTES: u64 = 8 << 20;
/// sled's threads may hold its own lock for a moment after this process closed it. We hold ours
/// then, so no other process can have it.
const ENGINE_LOCK_WAIT: Duration = Duration::from_secs(5);

pub(super) fn open(dir: &Path, options: &OpenOptions) -> Result<SledLog, Error> {
    if !options.allow_network_filesystem {
        mounts::refuse_network(dir)?;
    }
    directory::finish(dir)?;
    files::make_dir(dir)?;
    let lock = directory::lock(dir)?;
    files::remove_unfinished(dir)?;
    let contents = FileContents::open(&dir.join("content"))?;
    contents.remove_abandoned()?;

    let home = dir.join("sled");
    let found_one = home.exists();
    if !found_one {
        create(dir, &home)?;
    }
    remove_half_made_snapshots(&home)?;
    let as_left = found_one && begin(dir, &home)?;
    let pre_open_copy = (found_one && !as_left)
        .then(|| AsFound::copy(dir, &home))
        .flatten();
    let (opened, found, mut note) = match read(dir, &home) {
        Ok(read) => read,
        Err(error) => {
            if let (Error::Damaged { .. }, Some(copy)) = (&error, pre_open_copy) {
                copy.keep();
            }
            return Err(error);
        }
    };
    drop(pre_open_copy);
    // Readers of the plain files may show everything that was found; it is synced below.
    let before = found.head;
    let epoch = pack::next_epoch(opened.epoch, before);
    let after = Head { epoch, ..before };
    note.leave(Left::Open { before, after }, false)?;
    let writer = Writer {
        data: opened.data,
        db: opened.db,
        meta: opened.meta,
        sync: options.sync.clone(),
        tail: found.tail,
        head: found.head,
        epoch: opened.epoch,
        leads: false,
        poisoned: None,
        note,
        noted: Head::default(),
        noted_at: Instant::now(),
    };
    sync_found(dir, &home, &writer)?;
    Ok(SledLog {
        writer: Mutex::new(writer),
        events: opened.events,
        heads: watch::Sender::new(found.head),
        contents,
        dir: dir.to_owned(),
        lock: Mutex::new(lock),
    })
}

/// What a killed process wrote without a sync may be read now, so it must be durable now; and sled
/// has cleaned up its directory.
fn sync_found(dir: &Path, home: &Path, writer: &Writer) -> Result<(), Error> {
    let data = &writer.data;
    engine("flush", || writer.db.flush().map(drop))?;
    data.sync_data()
        .map_err(Error::io("sync", &home.join("db")))?;
    files::sync_dir(home)?;
    if writer.head == Head::default() {
        // Before the first event is acknowledged, the names that lead to it are made durable: the
        // process that created them may have been killed before it did.
        files::sync_dir(dir)?;
        files::sync_names(dir)?;
    }
    Ok(())
}

/// Removes the mark of a clean end, durably, before anything is written. True if the engine's files
/// are unchanged since that end: sled has nothing to repair, and they need not be copied.
fn begin(dir: &Path, home: &Path) -> Result<bool, Error> {
    let path = dir.join("head");
    let Some(Left::Closed { head, files }) = HeadFile::left(&path)? else {
        return Ok(false);
    };
    let Some((mut note, _)) = HeadFile::open(&path)? else {
        return Ok(false);
    };
    let found = files.map(|_| files::fingerprint(home, BYTES_MAX));
    let found = found.transpose().map_err(Error::io("read", home))?;
    let (before, after) = (head, head);
    note.leave(Left::Open { before, after }, true)?;
    Ok(files.is_some() && found == Some(files))
}

/// Opens the engine, reads everything in it, and compares it with the head file.
fn read(dir: &Path, home: &Path) -> Result<(Opened, Found, HeadFile), Error> {
    let opened = open_engine(dir, home)?;
    let note = HeadFile::open(&dir.join("head"))?;
    let noted = HeadFile::known(&dir.join("head"))?;
    let found = scan(&opened.events, &noted).map_err(|why| damaged(dir, why))?;
    let note = check_note(dir, note, &noted, found.head)?;
    Ok((opened, found, note))
}

fn damaged(dir: &Path, why: String) -> Error {
    let path = dir.to_owned();
    Error::Damaged { path, why }
}

/// The system's refusals, which the engine passes on as text: the disk fails (5), is full (28) or
/// read-only (30), access is denied (13), or no memory (12) or file (23, 24) is left. They say
/// nothing about the files' contents, and nothing needs repair.
const REFUSALS: [i32; 7] = [5, 12, 13, 23, 24, 28, 30];

/// The engine's message helps only its author, so what is wrong comes before it.
fn unreadable(dir: &Path, error: Error) -> Error {
    let is_refusal = |why: &str| {
        REFUSALS.iter().any(|code| {
            let (shown, debugged) = (format!("(os error {code})"), format!("Os {{ code: {code},"));
            why.contains(&shown) || why.contains(&debugged)
        })
    };
    match error {
        // Somebody removed our lock while a process holds the engine's.
        error if is_held(&error) => Error::Held {
            path: dir.to_owned(),
            pid: directory::holder_of(&dir.join("sled/db")).and_then(|holder| holder.pid),
            since: None,
        },
        Error::Engine { ref why, .. } if is_refusal(why) => error,
        error => damaged(dir, in_our_words(error)),
    }
}

fn in_our_words(error: Error) -> String {
    let why = match error {
        Error::Engine { why, .. } => why,
        other => other.to_string(),
    };
    let why = why.replace('\n', " ");
    let why = why.trim();
    format!("the storage engine cannot read its files ({why})")
}

fn config(home: &Path) -> sled::Config {
    sled::Config::new()
        .path(home)
        .cache_capacity(CACHE_BYTES)
        .mode(sled::Mode::HighThroughput)
        .use_compression(false)
        // We flush ourselves; a timer would only add syncs.
        .flush_every_ms(None)
}

/// Creates an empty database under another name and renames it when it is on the disk: sled syncs
/// neither its `conf` nor its directories, and a power cut in between would leave a database that
/// does not open.
fn create(dir: &Path, home: &Path) -> Result<(), Error> {
    let unfinished = dir.join(format!("sled{}", files::UNFINISHED));
    files::make_dir(&unfinished)?;
    engine("make a database", || {
        let db = config(&unfinished).open()?;
        db.open_tree("events")?;
        db.open_tree("meta")?
            .insert(FORMAT_KEY, &FORMAT.to_le_bytes())?;
        db.flush().map(drop)
    })?;
    for entry in fs::read_dir(&unfinished).map_err(Error::io("read", &unfinished))? {
        let path = entry.map_err(Error::io("read", &unfinished))?.path();
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(Error::io("sync", &path))?;
    }
    files::sync_dir(&unfinished)?;
    fs::rename(&unfinished, home).map_err(Error::io("rename", &unfinished))?;
    files::sync_dir(dir)
}

/// sled takes the newest name that begins with `snap.` for its snapshot. A process that died while
/// it wrote one leaves an incomplete file, with which sled would never open again. It can be
/// removed, because the log behind it is complete.
fn remove_half_made_snapshots(home: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(home).map_err(Error::io("read", home))? {
        let path = entry.map_err(Error::io("read", home))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

struct Opened {
    db: CloseGuard<sled::Db>,
    events: CloseGuard<sled::Tree>,
    meta: CloseGuard<sled::Tree>,
    data: File,
    epoch: Epoch,
}

fn open_engine(dir: &Path, home: &Path) -> Result<Opened, Error> {
    let db = wait_for_engine(home).map_err(|error| unreadable(dir, error))?;
    let read = engine("open its trees", || {
        let events = db.share(db.open_tree("events")?);
        let meta = db.share(db.open_tree("meta")?);
        let (format, epoch) = (meta.get(FORMAT_KEY)?, meta.get(EPOCH_KEY)?);
        Ok((events, meta, format, epoch))
    });
    let (events, meta, format, epoch) = read.map_err(|error| unreadable(dir, error))?;
    let format = format.and_then(|bytes| Some(u32::from_le_bytes(bytes.as_ref().try_into().ok()?)));
    match format {
        Some(FORMAT) => {}
        Some(found) => {
            let (path, supported) = (dir.to_owned(), FORMAT);
            return Err(Error::Format {
                path,
                found,
                supported,
            });
        }
        None => {
            return Err(damaged(
                dir,
                "it does not say which format it has".to_owned(),
            ));
        }
    }
    let epoch = match epoch {
        // No process has led yet.
        None => Epoch(0),
        Some(bytes) => match bytes.as_ref().try_into() {
            Ok(bytes) => Epoch(u64::from_le_bytes(bytes)),
            Err(_) => return Err(damaged(dir, "its epoch is not a number".to_owned())),
        },
    };
    let path: PathBuf = home.join("db");
    let data = File::options().read(true).write(true).open(&path);
    let data = data.map_err(Error::io("open", &path))?;
    Ok(Opened {
        db,
        events,
        meta,
        data,
        epoch,
    })
}

/// Another process has the engine's own lock.
fn is_held(error: &Error) -> bool {
    matches!(error, Error::Engine { why, .. } if why.contains("could not acquire lock"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing signals the release of sled's lock; the wait is short, bounded and rare"
)]
fn wait_for_engine(home: &Path) -> Result<CloseGuard<sled::Db>, Error> {
    let deadline = Instant::now() + ENGINE_LOCK_WAIT;
    loop {
        match engine("open", || config(home).open().map(CloseGuard::new)) {
            Err(error)
                if is_held(&error) && Instant::now() < deadline && !is_held_elsewhere(home) =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            opened => return opened,
        }
    }
}

/// True if another process has the engine's lock, because somebody removed ours.
fn is_held_elsewhere(home: &Path) -> bool {
    let holder = directory::holder_of(&home.join("db"));
    let pid = holder.and_then(|holder| holder.pid);
    pid.is_some_and(|pid| pid != std::process::id())
}

/// What reading all events gave.
struct Found {
    head: Head,
    tail: Value,
}

/// Reads every event and checks what its bytes prove: crc, sequence, place in the chain; and that
/// the recorded heads are in the chain. Bodies are not decoded and content files not read: `verify`
/// does that.
fn scan(events: &sled::Tree, noted: &[Head]) -> Result<Found, String> {
    let mut head = Head::default();
    let mut tail = Value::default();
    let mut values = Values::from(events, &[]);
    while let Some((key, value)) = values.next().map_err(in_our_words)? {
        if *key != head.sequence.next().0.to_be_bytes() {
            return Err(format!("event {} is missing", head.sequence.next()));
        }
        for envelope in Envelopes::new(&value) {
            let sequence = head.sequence.next();
            let envelope = envelope.map_err(|why| format!("event {sequence}: {why}"))?;
            head = pack::follow(head, &envelope).map_err(|error| error.to_string())?;
            for note in noted {
                if note.sequence == head.sequence && note.hash != head.hash {
                    return Err(format!("event {} is different than before", head.sequence));
                }
            }
        }
        tail.first = Sequence(u64::from_be_bytes((*key).try_into().unwrap_or_default()));
        tail.bytes.clear();
        tail.bytes.extend_from_slice(&value);
    }
    Ok(Found { head, tail })
}

/// Compares the head file with what was found. The head file is written once in a while, so a log
/// may be longer than it says, but never shorter.
fn check_note(
    dir: &Path,
    note: Option<(HeadFile, Slots)>,
    noted: &[Head],
    found: Head,
) -> Result<HeadFile, Error> {
    let nothing_yet = found == Head::default();
    match note {
        // A crash right after the creation; nothing was ever appended.
        None if nothing_yet => HeadFile::create(&dir.join("head"), found),
        None => Err(damaged(
            dir,
            "the file `head` is missing, so it is not known whether the log is complete".to_owned(),
        )),
        Some((_, [None, None])) => Err(damaged(
            dir,
            "the file `head` is damaged, so it is not known whether the log is complete".to_owned(),
        )),
        Some((file, _)) => {
            let noted = noted.iter().map(|head| head.sequence).max();
            match noted {
                Some(noted) if noted > found.sequence => Err(damaged(
                    dir,
                    format!(
                        "it ends at event {}, but had at least {noted} events",
                        found.sequence
                    ),
                )),
                _ => Ok(file),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(dir: &Path) -> PathBuf {
        let log = SledLog::open(dir, &OpenOptions::default()).unwrap();
        log.close().unwrap();
        dir.join("sled")
    }

    #[test]
    fn a_log_is_copied_only_where_its_end_was_not_clean_or_its_files_are_others() {
        let dir = tempfile::tempdir().unwrap();
        let home = closed(dir.path());
        assert!(begin(dir.path(), &home).unwrap(), "as it was left");
        assert!(!begin(dir.path(), &home).unwrap(), "the mark is gone");

        closed(dir.path());
        let db = home.join("db");
        let mut bytes = fs::read(&db).unwrap();
        bytes[100] ^= 1;
        fs::write(&db, &bytes).unwrap();
        assert!(!begin(dir.path(), &home).unwrap(), "a bit is another");
        bytes[100] ^= 1;
        fs::write(&db, &bytes).unwrap();

        // What a killed writer leaves behind.
        let log = SledLog::open(dir.path(), &OpenOptions::default()).unwrap();
        let killed = tempfile::tempdir().unwrap();
        files::copy_tree(dir.path(), killed.path()).unwrap();
        drop(log);
        assert!(!begin(killed.path(), &killed.path().join("sled")).unwrap());
        assert!(begin(dir.path(), &home).unwrap());
    }
}
