//! Moves the data of an older layout, `.crewlog/data`, to its place in the git directory.
//!
//! Within one file system this is one rename. Otherwise the data is copied under another name,
//! synced and renamed, and then the originals are removed. If the process dies anywhere, the next
//! start continues; at every moment one of the two places has all the data.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Project, cannot};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::failures;
use crate::model::ids::AttemptId;
use crate::queue;
use crate::worker::spool;

/// File in a copy with a fingerprint of the originals. While it exists, the originals may exist too.
const COPIED: &str = "copied-from";

/// Extension of an unfinished copy, and of originals that are being removed.
const MOVING: &str = "moving";

/// Called before each step that changes the disk; tests make one step fail.
type Step<'a> = &'a mut dyn FnMut(&'static str) -> io::Result<()>;

impl Project {
    /// Moves the data to its place, unless it is already there.
    ///
    /// # Errors
    /// [`ExitCode::LogHeld`] if a scheduler or worker of an older version uses the data; I/O errors.
    /// Nothing is lost in either case.
    pub(super) fn migrate(&self) -> Result<(), Error> {
        let (old, new) = (&self.old, &self.home);
        let _held = match old.is_dir() {
            true => self.hold_old()?,
            false => None,
        };
        match go_on(old, new, carry, &mut |_| Ok(())) {
            Ok(true) => Ok(()),
            Ok(false) => Err(two(old, new)),
            Err(error) => Err(cannot("move the project's data to", new, error)),
        }
    }

    /// Makes sure that no process uses the data in its old place, now or during the move.
    fn hold_old(&self) -> Result<Option<queue::Lock>, Error> {
        let log = self.old.join("log");
        let held = match log.is_dir() {
            true => Some(queue::lock(&log).map_err(|error| failures::of_log(&error))?),
            false => None,
        };
        let spooled = spool::after(&self.old, AttemptId(0))
            .map_err(|error| Error::internal("cannot search for living workers", error, ""))?;
        match spooled.iter().find(|(_, held)| *held) {
            None => Ok(held),
            Some((path, _)) => Err(Error::new(
                ExitCode::LogHeld,
                "cannot move the project's data to its new place",
                match queue::holder_of(path).and_then(|holder| holder.pid) {
                    Some(pid) => format!(
                        "worker {pid} of an older version is running in {}",
                        self.old.display()
                    ),
                    None => format!(
                        "a worker of an older version is running: it holds {}",
                        path.display()
                    ),
                },
                "wait until it ends, or end it, then run the command again",
            )),
        }
    }
}

/// Does the remaining steps, wherever an earlier process died. False if there are two logs.
fn go_on(
    old: &Path,
    new: &Path,
    carry: fn(&Path, &Path, Step<'_>) -> io::Result<()>,
    step: Step<'_>,
) -> io::Result<bool> {
    match (old.is_dir(), new.is_dir()) {
        (true, false) => carry(old, new, step)?,
        (_, true) if is_copy(new, old) => drop_originals(old, new, step)?,
        (true, true) => return Ok(!old.join("log").exists()),
        _ => {}
    }
    Ok(true)
}

fn two(old: &Path, new: &Path) -> Error {
    Error::usage(
        "this project has two logs",
        format!(
            "one in {} and one in {}, which an older version created",
            new.display(),
            old.display()
        ),
        "move away the one that you do not want to keep",
    )
}

/// Moves a directory to a free place. If a power cut interrupts the rename, either name leads to the
/// whole directory.
fn carry(old: &Path, new: &Path, step: Step<'_>) -> io::Result<()> {
    let above = parent(new)?;
    make(above, step)?;
    step("rename")?;
    match fs::rename(old, new) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(old, new, step),
        renamed => {
            renamed?;
            step("sync the new name")?;
            sync(above)?;
            step("sync the old name")?;
            sync(parent(old)?)
        }
    }
}

/// Moves a directory to another file system.
fn copy(old: &Path, new: &Path, step: Step<'_>) -> io::Result<()> {
    make(parent(new)?, step)?;
    let half = new.with_added_extension(MOVING);
    step("remove an unfinished copy")?;
    remove(&half)?;
    copy_tree(old, &half, step)?;
    step("note the originals")?;
    let mut note = File::create(half.join(COPIED))?;
    note.write_all(fingerprint(old)?.as_bytes())?;
    note.sync_all()?;
    sync(&half)?;
    step("rename the copy")?;
    fs::rename(&half, new)?;
    sync(parent(new)?)?;
    drop_originals(old, new, step)
}

/// Removes the originals. They are renamed first, so that a remainder is not taken for data.
fn drop_originals(old: &Path, new: &Path, step: Step<'_>) -> io::Result<()> {
    let aside = aside(old);
    if old.exists() {
        step("put the originals aside")?;
        remove(&aside)?;
        fs::rename(old, &aside)?;
        sync(parent(old)?)?;
    }
    step("remove the originals")?;
    remove(&aside)?;
    sync(parent(old)?)?;
    step("forget the originals")?;
    match fs::remove_file(new.join(COPIED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sync(new)
}

/// Whether `new` is a copy of `old` and `old` has not changed since.
fn is_copy(new: &Path, old: &Path) -> bool {
    let noted = fs::read_to_string(new.join(COPIED));
    let gone = !old.exists();
    noted.is_ok_and(|noted| gone || fingerprint(old).is_ok_and(|found| found == noted))
}

/// A text that changes when the log in `data` grows or is replaced.
fn fingerprint(data: &Path) -> io::Result<String> {
    let meta = fs::metadata(data)?;
    let mut text = format!("{} {}\n", meta.dev(), meta.ino());
    for name in ["log/sled/db", "log/head"] {
        let said = match fs::metadata(data.join(name)) {
            Ok(meta) => format!("{} {}.{}", meta.len(), meta.mtime(), meta.mtime_nsec()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "none".to_owned(),
            Err(error) => return Err(error),
        };
        text.push_str(&said);
        text.push('\n');
    }
    Ok(text)
}

fn copy_tree(from: &Path, to: &Path, step: Step<'_>) -> io::Result<()> {
    step("make a directory")?;
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target, step)?;
        } else if kind.is_symlink() {
            step("copy a link")?;
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else if !kind.is_socket() && !kind.is_fifo() {
            step("copy a file")?;
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    sync(to)
}

fn make(dir: &Path, step: Step<'_>) -> io::Result<()> {
    if !dir.is_dir() {
        step("make the directory above")?;
        DirBuilder::new().mode(0o700).create(dir)?;
    }
    sync(parent(dir)?)
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn aside(old: &Path) -> PathBuf {
    old.with_added_extension(MOVING)
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
