//! A copy of the engine's files as they were found, kept until they are known to be complete: after
//! an unclean end, or if they changed since. sled repairs while it opens: it cuts its log at the
//! first bytes that do not check, and overwrites what follows, which may be all that is left of
//! later events.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::directory::PRE_OPEN_COPY as NAME;
use super::super::files;

/// More is not copied: it would take longer than a quarter of a second. Two million events, or the
/// backlog of a hundred thousand long features, are less.
pub(super) const BYTES_MAX: u64 = 256 << 20;

/// A copy that is removed with this value, unless it is kept.
pub(super) struct AsFound {
    copy: PathBuf,
    name: PathBuf,
}

impl AsFound {
    /// Copies `home`, the engine's directory in `dir`. `None` if a copy exists, the log is too
    /// long, or the copy fails; opening continues without it.
    pub fn copy(dir: &Path, home: &Path) -> Option<Self> {
        let name = dir.join(NAME);
        if name.exists() || bytes(home).ok()? > BYTES_MAX {
            return None;
        }
        let copy = dir.join(format!("{NAME}{}", files::UNFINISHED));
        let copied = Self { copy, name };
        match files::copy_tree(home, &copied.copy) {
            Ok(()) => Some(copied),
            Err(error) => {
                // A full disk, probably. The rest is removed with this value.
                tracing::debug!(%error, "cannot copy the log before opening it");
                None
            }
        }
    }

    /// The log is damaged: the copy stays.
    pub fn keep(self) {
        if let Err(error) = fs::rename(&self.copy, &self.name) {
            tracing::warn!(%error, "cannot keep a copy of the damaged log");
        }
    }
}

impl Drop for AsFound {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_dir_all(&self.copy);
    }
}

fn bytes(home: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(home)? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}
