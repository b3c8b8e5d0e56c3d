//! The paths of one attempt's files, and the notes with which any process can clean them up.
//!
//! Below the directory of all attempts, attempt 12 has `a12/` with
//! - `tree/`, the working tree, with a git directory of its own;
//! - `private/`, which the agent must not be able to write: the worker's own git directory, its
//!   index files, and what the attempt began with;
//! - `job/` and `tmp/`, the job's files and the agent's directory for temporary ones.
//!
//! Earlier versions had `crewlog-a12/`, a linked worktree, `crewlog-a12.private/` and `job-a12/`.
//! They are still cleaned up.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::model::ids::{AttemptId, CommitId};

/// `HEAD`, a ref, the notes and the like are a few lines at most.
const SMALL_BYTES_MAX: u64 = 8 << 10;

/// Prefix of the name of an attempt's directory.
pub(super) const NAME: &str = "a";

/// Prefix in earlier versions.
pub(super) const OLD_NAME: &str = "crewlog-a";

/// Prefix of the name of an attempt's job in earlier versions.
pub(super) const OLD_JOB: &str = "job-a";

/// Prefix of the name of an attempt's directory that is not complete yet.
pub(super) const FRESH: &str = ".crewlog-new-a";

/// The private notes on an attempt's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// True if nothing in it is worth keeping.
    pub(super) test: bool,
    /// The commit that the attempt is based on.
    pub(super) base: CommitId,
    /// The attempt's work so far.
    pub(super) commit: Option<CommitId>,
    /// True once the files were checked out, so that there may be work.
    #[serde(default)]
    pub(super) ready: bool,
    /// In earlier versions, git's own directory for the linked worktree, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) admin: Option<String>,
}

/// The directories of one attempt.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// The attempt's directory; `None` in the layout of an earlier version.
    pub(super) root: Option<PathBuf>,
    /// The working tree.
    pub(super) dir: PathBuf,
    pub(super) private: PathBuf,
}

impl Places {
    pub(super) fn of(worktrees_dir: &Path, attempt: AttemptId) -> Self {
        Self::at(worktrees_dir.join(format!("{NAME}{}", attempt.0)))
    }

    pub(super) fn at(root: PathBuf) -> Self {
        Self {
            dir: root.join("tree"),
            private: root.join("private"),
            root: Some(root),
        }
    }

    /// The directory of all attempts; `None` in the layout of an earlier version.
    pub(super) fn all(&self) -> Option<&Path> {
        self.root.as_deref().and_then(Path::parent)
    }

    /// The paths in earlier versions.
    pub(super) fn old(worktrees_dir: &Path, attempt: AttemptId) -> Self {
        Self {
            root: None,
            dir: worktrees_dir.join(format!("{OLD_NAME}{}", attempt.0)),
            private: worktrees_dir.join(format!("{OLD_NAME}{}.private", attempt.0)),
        }
    }

    /// Whether something that Crewlog created exists there.
    pub(super) fn are_ours(&self) -> bool {
        match self.root {
            Some(_) => exists(&self.private.join(NOTES)),
            None => exists(&self.private),
        }
    }

    /// The index of our own checkouts. Nothing else writes it.
    pub(super) fn index(&self) -> PathBuf {
        self.private.join("index")
    }

    /// The index into which the work is staged.
    pub(super) fn stage(&self) -> PathBuf {
        self.private.join("stage")
    }

    /// The worker's own git directory.
    pub(super) fn git_dir(&self) -> PathBuf {
        self.private.join("git")
    }

    /// Temporary files of our own git and its filters.
    pub(super) fn tmp(&self) -> PathBuf {
        self.private.join("tmp")
    }

    /// Creates the directories of a new attempt, under another name first: a directory with the
    /// final name certainly has durable notes.
    pub(super) fn begin(&self, worktrees_dir: &Path, notes: &Notes) -> io::Result<()> {
        let Some((root, name)) = self
            .root
            .as_ref()
            .and_then(|it| Some((it, it.file_name()?)))
        else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let number = name.to_string_lossy();
        let number = number.trim_start_matches(NAME);
        let fresh = format!("{FRESH}{number}-{}", ulid::Ulid::generate());
        let fresh = worktrees_dir.join(fresh);
        let made = Self::at(fresh.clone());
        let made = made.fill(&fresh, notes).and_then(|()| {
            if exists(root) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(&fresh, root)?;
            sync_names(worktrees_dir)
        });
        if made.is_err() {
            // What stays is found by its name.
            let _ = remove_any(&fresh);
        }
        made
    }

    fn fill(&self, fresh: &Path, notes: &Notes) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(fresh)?;
        for name in ["tree", "private", "private/tmp", "job", "tmp"] {
            builder.create(fresh.join(name))?;
        }
        self.write_notes(notes)?;
        sync_names(&self.private)?;
        sync_names(fresh)
    }

    pub(super) fn read_notes(&self) -> Option<Notes> {
        let bytes = read_small(&self.private.join(NOTES))?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn write_notes(&self, notes: &Notes) -> io::Result<()> {
        replace(&self.private.join(NOTES), &serde_json::to_vec(notes)?)
    }
}

const NOTES: &str = "notes.json";

pub(super) fn sync_names(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Replaces whatever is there by a durable file, without following links.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("crewlog-new");
    remove_any(&fresh)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        remove_any(path)?;
    }
    fs::rename(&fresh, path)
}

pub(super) fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Deletes a tree, even if an agent made its directories read-only.
pub(super) fn delete(dir: &Path) -> io::Result<()> {
    match remove_any(dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(dir)?;
            remove_any(dir)
        }
        // Another process may be deleting it, too.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_up(top: &Path) -> io::Result<()> {
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Reads a small file that an agent may have replaced by a link, a pipe, or something endless.
pub(super) fn read_small(path: &Path) -> Option<Vec<u8>> {
    read_plain(path, SMALL_BYTES_MAX)
}

/// Like `read_small`, for a larger file. Reads at most `bytes_max`.
pub(super) fn read_plain(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).ok()?)
        .open(path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
