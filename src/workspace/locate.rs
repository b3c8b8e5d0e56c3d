//! Finds the repository of a directory. git decides what a repository is; if no git answers, its
//! files are read in the way in which git reads them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::git::Git;
use super::repository::not_found;
use super::{Error, Result};

/// A `.git` file is one line with a path; git itself reads no more than the longest path.
const LINK_BYTES_MAX: u64 = 8 << 10;

/// Separates two answers, because paths may contain line feeds. `rev-parse` repeats an option that
/// it does not know.
const THEN: &str = "--crewlog-then";

/// Where a repository keeps its files. All paths are absolute and free of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The git directory of this working tree: `.git`, `.git/worktrees/NAME` of a linked worktree,
    /// or the bare repository.
    pub git_dir: PathBuf,
    /// The directory that all working trees of the repository share.
    pub common_dir: PathBuf,
    /// The top of the working tree; `None` in a bare repository.
    pub top: Option<PathBuf>,
}

impl Location {
    /// Asks git, in one call. `dir` is absolute and free of links.
    ///
    /// # Errors
    /// No git, no repository, or one that git refuses.
    pub async fn ask(dir: &Path) -> Result<Self> {
        let (call, found) = Git::default()
            .call("find the repository")
            .dir(dir)
            .args(["rev-parse", "--absolute-git-dir", THEN, "--git-common-dir"])
            .run_keeping()
            .await?;
        if found.code != 0 {
            return Err(not_found(dir, &call, &found));
        }
        let separator = format!("\n{THEN}\n");
        let (git_dir, common) =
            split(&found.stdout, separator.as_bytes()).ok_or_else(|| call.unexpected(&found))?;
        let common = common.strip_suffix(b"\n").unwrap_or(common);
        Self::of(dir, &path(git_dir), &dir.join(path(common)))
    }

    /// Like `ask` without git, for commands that only read: git may be missing, or end without an
    /// answer. `None` if there is no repository.
    pub fn read(dir: &Path) -> Option<Self> {
        let device = fs::metadata(dir).ok()?.dev();
        for above in dir.ancestors() {
            // git does not look for a repository beyond the file system.
            if fs::metadata(above).ok()?.dev() != device {
                return None;
            }
            let found = linked(above).or_else(|| is_git_dir(above).then(|| above.to_owned()));
            if let Some(git_dir) = found {
                return Self::of(dir, &git_dir, &common_of(&git_dir)).ok();
            }
        }
        None
    }

    fn of(dir: &Path, git_dir: &Path, common: &Path) -> Result<Self> {
        let real = |path: &Path| {
            path.canonicalize()
                .map_err(Error::io("find the repository", path))
        };
        let (git_dir, common_dir) = (real(git_dir)?, real(common)?);
        let leads_here = |above: &&Path| {
            let link = linked(above).and_then(|link| link.canonicalize().ok());
            link.is_some_and(|link| link == git_dir)
        };
        let top = dir.ancestors().find(leads_here).map(Path::to_owned);
        Ok(Self {
            git_dir,
            common_dir,
            top,
        })
    }

    /// The directory that people know the repository by: the top of the working tree, or the bare
    /// repository itself.
    pub fn home(&self) -> &Path {
        self.top.as_deref().unwrap_or(&self.git_dir)
    }
}

fn split<'t>(text: &'t [u8], separator: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = text
        .windows(separator.len())
        .position(|part| part == separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The git directory that a directory's entry `.git` is or names.
fn linked(dir: &Path) -> Option<PathBuf> {
    let entry = dir.join(".git");
    if is_git_dir(&entry) {
        return Some(entry);
    }
    let named = dir.join(line(&entry, b"gitdir: ")?);
    is_git_dir(&named).then_some(named)
}

/// The text after `begin` in a file of one line.
fn line(file: &Path, begin: &[u8]) -> Option<PathBuf> {
    let meta = fs::metadata(file).ok()?;
    if !meta.is_file() || meta.len() > LINK_BYTES_MAX {
        return None;
    }
    let bytes = fs::read(file).ok()?;
    let rest = bytes.strip_prefix(begin)?;
    let end = rest.iter().rposition(|byte| !b"\r\n".contains(byte))?;
    Some(path(rest.get(..=end)?))
}

fn common_of(git_dir: &Path) -> PathBuf {
    match line(&git_dir.join("commondir"), b"") {
        Some(common) => git_dir.join(common),
        None => git_dir.to_owned(),
    }
}

fn is_git_dir(dir: &Path) -> bool {
    let common = common_of(dir);
    // A detached or symbolic head; a dangling link was a head once.
    dir.join("HEAD").symlink_metadata().is_ok()
        && common.join("objects").is_dir()
        && common.join("refs").is_dir()
}
