//! One process at a time: an advisory lock that ends with the process, however it ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
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
