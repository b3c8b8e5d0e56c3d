//! One process at a time: advisory locks, which end with the process. There are two, because people
//! delete lock files that they think are stale: the second lock is on the log's directory itself.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::Error;
use crate::model::ids::Timestamp;

/// Length of the note in the lock file: one line of two numbers.
const NOTE_BYTES_MAX: u64 = 100;

/// Both locks, held while this value lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// `None` if directories cannot be locked (some network file systems).
    _directory: Option<File>,
}

/// Takes the locks of the log in `dir` and writes the holder to the lock file: `PID MILLISECONDS`.
/// Never waits: [`Error::Held`] has the other holder's note.
///
/// # Errors
/// Another process has the log, or the system refuses.
pub fn lock(dir: &Path) -> Result<Lock, Error> {
    let path = dir.join("lock");
    let mut file = open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(dir, file)),
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }
    let directory = File::open(dir).map_err(Error::io("open", dir))?;
    let directory = match directory.try_lock() {
        Ok(()) => Some(directory),
        // The file is new: the holder of the log had another one, which was deleted.
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Held {
                path: dir.to_owned(),
                pid: holder_of(dir).and_then(|holder| holder.pid),
                since: None,
            });
        }
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "cannot lock the log's directory; its lock file is held");
            None
        }
    };
    note(&mut file).map_err(Error::io("write", &path))?;
    let _directory = directory;
    Ok(Lock { file, _directory })
}

impl Lock {
    /// Restores the lock file if it is no longer in `dir`.
    pub(in crate::queue) fn restore(&mut self, dir: &Path) -> Result<(), Error> {
        let path = dir.join("lock");
        let same = |found: fs::Metadata, held: fs::Metadata| {
            (found.dev(), found.ino()) == (held.dev(), held.ino())
        };
        if let (Ok(found), Ok(held)) = (fs::metadata(&path), self.file.metadata())
            && same(found, held)
        {
            return Ok(());
        }
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            // Another process is checking whether the log is free; it will see that it is not.
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        note(&mut file).map_err(Error::io("write", &path))?;
        tracing::warn!(path = %path.display(), "the log's lock file was deleted and is restored; no other process had the log");
        self.file = file;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.open(path).map_err(Error::io("open", path))
}

fn note(file: &mut File) -> io::Result<()> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let note = format!("{} {}\n", std::process::id(), since.as_millis());
    file.set_len(0)?;
    file.write_all(note.as_bytes())
}

/// The process that has a log open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, if the kernel shows it here; `None` for a process of another pid namespace.
    pub pid: Option<u32>,
}

/// Which process has the log in `dir` open, from the kernel's list of locks: on the directory, on
/// the lock file, or on the engine's file. Takes no lock and writes nothing. Also `None` if the
/// kernel does not say.
pub fn holder(dir: &Path) -> Option<Holder> {
    holder_of(dir)
        .or_else(|| holder_of(&dir.join("lock")))
        .or_else(|| holder_of(&dir.join("sled/db")))
}

/// The process that has a lock on this file or directory.
pub fn holder_of(path: &Path) -> Option<Holder> {
    let inode = fs::metadata(path).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| locked(line, inode))
}

/// Parses `1: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF`. The device is not compared, because
/// on a file system with subvolumes it differs from the one that `stat` reports.
fn locked(line: &str, wanted: u64) -> Option<Holder> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields[..] else {
        return None;
    };
    let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
    let pid = pid.parse().ok().filter(|pid| *pid > 0);
    (inode == wanted).then_some(Holder { pid })
}

/// The holder's note may still be missing, or be the previous holder's.
fn held(dir: &Path, file: File) -> Error {
    let mut note = String::new();
    let read = file.take(NOTE_BYTES_MAX).read_to_string(&mut note);
    let note = if read.is_ok() { note } else { String::new() };
    let mut numbers = note.split_ascii_whitespace();
    Error::Held {
        path: dir.to_owned(),
        pid: numbers.next().and_then(|number| number.parse().ok()),
        since: numbers
            .next()
            .and_then(|number| number.parse().ok())
            .map(Timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_a_holder_and_a_deleted_file_gives_it_to_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let pid = Some(std::process::id());
        let own = Some(Holder { pid });
        let mut lock = lock(path).expect("the lock");
        assert_eq!(holder(path), own);
        fs::remove_file(path.join("lock")).expect("deleted");
        for _ in 0..2 {
            let other = super::lock(path);
            let held =
                matches!(other, Err(Error::Held { pid, .. }) if pid == Some(std::process::id()));
            assert!(held, "{other:?}");
            lock.restore(path).expect("put back");
        }
        assert_eq!(holder_of(&path.join("lock")), own);
        drop(lock);
        super::lock(path).expect("it is free");
    }

    #[test]
    fn who_has_the_log_is_known_without_asking_for_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let held = lock(dir.path()).unwrap();
        let pid = Some(std::process::id());
        assert_eq!(holder(dir.path()), Some(Holder { pid }));
        drop(held);
        assert_eq!(holder(dir.path()), None);
    }

    #[test]
    fn a_line_of_the_kernels_is_read() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF";
        let pid = Some(4_711);
        assert_eq!(locked(line, 123_456), Some(Holder { pid }));
        assert_eq!(locked(line, 3_456), None);
        let other = "3: FLOCK  ADVISORY  WRITE -1 fd:01:123456 0 EOF";
        assert_eq!(locked(other, 123_456), Some(Holder { pid: None }));
        for other in [
            "",
            "3: POSIX  ADVISORY  WRITE 4711 fd:01:123456 0 EOF",
            "3: FLOCK  ADVISORY  READ 4711 fd:01:123456 0 EOF",
            "3: -> FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF",
        ] {
            assert_eq!(locked(other, 123_456), None, "{other}");
        }
    }
}
