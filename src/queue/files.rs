//! Files that survive a power cut: written under a temporary name, synced and renamed, with the
//! directories of the names synced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Error;

/// A fingerprint of files that changes with any of their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The sum of their sizes.
    pub bytes: u64,
    /// The crc32 of their names and bytes, in the order of the names.
    pub crc: u32,
}

/// Reads all files in `dir` and below. `None` if they have more than `bytes_max`.
pub(super) fn fingerprint(dir: &Path, bytes_max: u64) -> io::Result<Option<Fingerprint>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    let mut bytes = 0;
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => dirs.push(entry.path()),
                false => {
                    bytes += entry.metadata()?.len();
                    files.push(entry.path());
                }
            }
        }
    }
    if bytes > bytes_max {
        return Ok(None);
    }
    files.sort();
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; FINGERPRINT_BUFFER_BYTES];
    for path in files {
        let name = path.strip_prefix(dir).unwrap_or(&path);
        hasher.update(name.as_os_str().as_encoded_bytes());
        let mut file = File::open(&path)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
    }
    let crc = hasher.finalize();
    Ok(Some(Fingerprint { bytes, crc }))
}

/// Bytes of a file that are read at once for its fingerprint.
const FINGERPRINT_BUFFER_BYTES: usize = 1 << 20;

/// Copies a directory with its contents. A missing one becomes an empty one. Not synced.
pub(super) fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_tree(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

/// Suffix of a file that is being written. A left-over is meaningless.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Syncs the names in `dir`.
pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    let synced = File::open(dir).and_then(|opened| opened.sync_all());
    synced.map_err(Error::io("sync", dir))
}

/// Creates `dir` and its parents, for this user only, and syncs every directory that got a new
/// name. Existing ones stay as they are.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    // The parent of a relative name of one part is the current directory.
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_dir(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        // Another process was faster.
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(Error::io("create the directory", dir)(error)),
        Ok(()) => sync_dir(parent),
    }
}

/// Like `make_dir`, for the last part only: its parent must exist.
pub(super) fn make_last_dir(dir: &Path) -> Result<(), Error> {
    let parent = dir.parent().unwrap_or(Path::new("."));
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(Error::io("create the directory", dir)(error)),
        Ok(()) => sync_dir(parent),
    }
}

/// Syncs the names of `dir` and of all its parents, whoever created them. A directory that this
/// user cannot open was not created by this user.
pub(super) fn sync_names(dir: &Path) -> Result<(), Error> {
    let absolute = dir.canonicalize().map_err(Error::io("find", dir))?;
    for above in absolute.ancestors().skip(1) {
        match File::open(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            opened => {
                let synced = opened.and_then(|opened| opened.sync_all());
                synced.map_err(Error::io("sync", above))?;
            }
        }
    }
    Ok(())
}

/// Writes a whole file at once: a reader finds all of `parts` under `path`, or the previous
/// contents, even after a power cut. The directory must exist.
pub(super) fn write_atomically(path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let unfinished = dir.join(format!("{name}.{process}.{count}{UNFINISHED}"));
    let written = write_synced(&unfinished, parts).and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = written {
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&unfinished);
        return Err(Error::io("write", path)(error));
    }
    sync_dir(dir)
}

fn write_synced(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// A file is finished within seconds, so an older unfinished one was left behind.
const UNFINISHED_AGE: Duration = Duration::from_secs(3_600);

/// Removes what killed processes left unfinished in `dir`, to which no other process writes: files,
/// and directories with their contents. A missing `dir` is no error.
///
/// # Errors
/// The system's error.
pub fn remove_unfinished(dir: &Path) -> Result<(), Error> {
    remove_unfinished_older(dir, Duration::ZERO)
}

/// Like [`remove_unfinished`], while living workers may be writing: only old files are removed.
pub(super) fn remove_abandoned(dir: &Path) -> Result<(), Error> {
    remove_unfinished_older(dir, UNFINISHED_AGE)
}

fn remove_unfinished_older(dir: &Path, least: Duration) -> Result<(), Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("read", dir))?,
    };
    for entry in entries {
        let path = entry.map_err(Error::io("read", dir))?.path();
        if !path.to_string_lossy().ends_with(UNFINISHED) || !is_older(&path, least) {
            continue;
        }
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

/// A time in the future, from before a clock was set back, has no age.
fn is_older(path: &Path, least: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let age = modified.ok().and_then(|time| time.elapsed().ok());
    least.is_zero() || age.is_some_and(|age| age > least)
}
