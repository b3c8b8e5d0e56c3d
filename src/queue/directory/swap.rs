//! Replaces a log by a new one: created beside it, and renamed when complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::{Error, files};

/// Where a new log is created that will replace the one in `dir`. Removes what an earlier process
/// left there, because it can be created again.
pub(in crate::queue) fn begin(dir: &Path) -> Result<PathBuf, Error> {
    let unfinished = sibling(dir, &format!("{REPAIRED}{}", files::UNFINISHED));
    remove(&unfinished)?;
    remove(&sibling(dir, REPAIRED))?;
    Ok(unfinished)
}

/// Puts the new, closed log in the place of an empty one or of none.
pub(in crate::queue) fn install(dir: &Path) -> Result<(), Error> {
    let unfinished = sibling(dir, &format!("{REPAIRED}{}", files::UNFINISHED));
    rename(&unfinished, &sibling(dir, REPAIRED))?;
    remove(dir)?;
    finish(dir)
}

/// Removes the unfinished new log.
pub(in crate::queue) fn give_up(dir: &Path) -> Result<(), Error> {
    begin(dir).map(drop)
}

/// The name of a log that is ready to replace the damaged one.
pub(in crate::queue) const REPAIRED: &str = "repaired";

/// Whether there is a log in `dir`, or one that is about to be renamed to it.
pub fn exists(dir: &Path) -> bool {
    dir.exists() || sibling(dir, REPAIRED).exists()
}

/// Finishes a repair whose process died before its last step.
pub(in crate::queue) fn finish(dir: &Path) -> Result<(), Error> {
    let repaired = sibling(dir, REPAIRED);
    if dir.exists() || !repaired.exists() {
        return Ok(());
    }
    match rename(&repaired, dir) {
        // Another process was faster.
        Err(_) if dir.exists() => Ok(()),
        renamed => renamed,
    }
}

/// `log` and a suffix: `log.suffix`, in the same directory.
pub(in crate::queue) fn sibling(dir: &Path, word: &str) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    dir.with_file_name(format!("{name}.{word}"))
}

pub(in crate::queue) fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

/// Renames, and syncs both directories.
pub(in crate::queue) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::io("rename", from))?;
    files::sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Where the log of `dir` is: beside it if a repair died between its renames.
pub(in crate::queue) fn place(dir: &Path) -> PathBuf {
    let repaired = sibling(dir, REPAIRED);
    match !dir.exists() && repaired.exists() {
        true => repaired,
        false => dir.to_owned(),
    }
}
