//! One process at a time: an advisory lock that ends with the process, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::Error;
use crate::model::ids::Timestamp;

/// The note in the lock file is one line of two numbers; what is longer is not read.
const NOTE_BYTES_MAX: u64 = 100;

/// Takes the lock of the data directory `dir` and notes in it who holds it: `PID MILLISECONDS`.
/// Never waits: [`Error::Held`] tells the other one's note.
pub(in crate::queue) fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let mut file = options.open(&path).map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(dir, file)),
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let note = format!("{} {}\n", std::process::id(), since.as_millis());
    let noted = file
        .set_len(0)
        .and_then(|()| file.write_all(note.as_bytes()));
    noted.map_err(Error::io("write", &path))?;
    Ok(file)
}

/// Who has a log open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process, where the kernel names it here; none for one of another pid namespace.
    pub pid: Option<u32>,
}

/// Who has the log in `dir` open, by what the kernel says of locks on its files: the lock file, or
/// the engine's, should somebody have removed that one. Takes no lock and writes nothing, so that
/// it disturbs nobody. `None` also where the kernel does not tell.
pub fn holder(dir: &Path) -> Option<Holder> {
    holder_of(&dir.join("lock")).or_else(|| holder_of(&dir.join("sled/db")))
}

/// Who has a lock on this file.
pub(super) fn holder_of(path: &Path) -> Option<Holder> {
    let inode = fs::metadata(path).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| locked(line, inode))
}

/// Reads `1: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF`. The device is not compared: where a
/// file system has subvolumes, the kernel names another one here than `stat` does.
fn locked(line: &str, wanted: u64) -> Option<Holder> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields[..] else {
        return None;
    };
    let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
    let pid = pid.parse().ok().filter(|pid| *pid > 0);
    (inode == wanted).then_some(Holder { pid })
}

/// The holder's note may be missing still, or be that of the holder before.
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
