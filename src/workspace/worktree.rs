//! The place where one attempt works.
//!
//! Below the directory of all worktrees, attempt 12 has
//! - `crewlog-a12/`, the linked worktree that the agent works in, with a detached `HEAD`: a branch
//!   would litter the user's list of branches, could collide with theirs, and would need locks
//!   and deleting, while all that a branch gives (the work stays reachable) `HEAD` gives too;
//! - `crewlog-a12.private/`, which the agent must not be able to write: the index that our own
//!   calls use, and what the attempt began with.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::durable::blocking;
use super::repository::Repository;
use super::{Author, Error, Result};
use crate::model::ids::{AttemptId, CommitId};

/// Several `git worktree add` at once stumble over each other's half-made entries now and then.
const CREATE_TRIES: u32 = 6;

/// `HEAD`, `.git` and their like hold one line with a path in it at most.
const LINK_BYTES_MAX: u64 = 8 << 10;

/// What begins the name of everything here.
pub(super) const NAME: &str = "crewlog-a";

/// Work that has become one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The commit.
    pub commit: CommitId,
    /// Its tree.
    pub tree: CommitId,
}

/// The private notes on a worktree, from which whoever finds it can clean up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// Whether nothing in it is worth keeping.
    pub(super) test: bool,
    /// The commit that the attempt stands on.
    pub(super) base: CommitId,
    /// The attempt's work so far.
    pub(super) commit: Option<CommitId>,
    /// The name of git's own directory for this worktree, once it is known.
    pub(super) admin: Option<String>,
}

/// The directories of one attempt.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) dir: PathBuf,
    pub(super) private: PathBuf,
}

impl Places {
    pub(super) fn of(worktrees_dir: &Path, attempt: AttemptId) -> Self {
        Self {
            dir: worktrees_dir.join(format!("{NAME}{}", attempt.0)),
            private: worktrees_dir.join(format!("{NAME}{}.private", attempt.0)),
        }
    }

    pub(super) fn index(&self) -> PathBuf {
        self.private.join("index")
    }

    pub(super) fn read_notes(&self) -> Option<Notes> {
        let bytes = read_line_file(&self.private.join("notes.json"))?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn write_notes(&self, notes: &Notes) -> io::Result<()> {
        replace(
            &self.private.join("notes.json"),
            &serde_json::to_vec(notes)?,
        )
    }
}

/// A worktree of one attempt. Dropping it leaves everything where it is, for
/// [`Repository::sweep`] to find.
#[derive(Debug)]
pub struct Worktree {
    pub(super) repository: Repository,
    pub(super) attempt: AttemptId,
    pub(super) places: Places,
    pub(super) notes: Notes,
    /// Message and author of the commit, to write it again on another base.
    pub(super) message: Option<(String, Option<Author>)>,
}

impl Repository {
    /// Makes a worktree for a coding attempt below `worktrees_dir` (created if absent), with the
    /// files of `base`. Left-overs of an attempt with the same number are cleaned up as
    /// [`Self::sweep`] does it. Any number of processes may do this at the same time.
    ///
    /// # Errors
    /// The directory cannot be written, or the commit does not exist.
    pub async fn create_worktree(
        &self,
        worktrees_dir: &Path,
        attempt: AttemptId,
        base: &CommitId,
    ) -> Result<Worktree> {
        self.create(worktrees_dir, attempt, base, false).await
    }

    /// The same for a testing attempt: what it leaves behind is thrown away without a trace.
    ///
    /// # Errors
    /// As for [`Self::create_worktree`].
    pub async fn create_test_worktree(
        &self,
        worktrees_dir: &Path,
        attempt: AttemptId,
        commit: &CommitId,
    ) -> Result<Worktree> {
        self.create(worktrees_dir, attempt, commit, true).await
    }

    async fn create(
        &self,
        worktrees_dir: &Path,
        attempt: AttemptId,
        base: &CommitId,
        test: bool,
    ) -> Result<Worktree> {
        let doing = "make a worktree";
        let wanted = worktrees_dir.to_owned();
        let worktrees_dir = blocking(doing, wanted, |dir| {
            fs::create_dir_all(dir)?;
            dir.canonicalize()
        });
        let worktrees_dir = worktrees_dir.await?;
        let places = Places::of(&worktrees_dir, attempt);
        if exists(&places.dir) && !exists(&places.private) {
            return Err(Error::NotOurs { path: places.dir });
        }
        if exists(&places.private) {
            self.clean_up(&worktrees_dir, attempt, None).await?;
        }
        let notes = Notes {
            test,
            base: base.clone(),
            commit: None,
            admin: None,
        };
        let (begun, first) = (places.clone(), notes.clone());
        let worktrees = worktrees_dir.clone();
        blocking(doing, places.private.clone(), move |private| {
            fs::create_dir(private)?;
            begun.write_notes(&first)?;
            // By this name the rest is found and cleaned up, so it comes to the disk before it.
            sync_names(&worktrees)
        })
        .await?;
        let mut worktree = Worktree {
            repository: self.clone(),
            attempt,
            places,
            notes,
            message: None,
        };
        match worktree.check_out(base).await {
            Ok(()) => Ok(worktree),
            Err(error) => {
                // There is no work in it yet. What cannot be removed now, a sweep finds.
                let _ = worktree.remove().await;
                Err(error)
            }
        }
    }
}

impl Worktree {
    /// Where the agent works: the top of the working tree, absolute.
    pub fn path(&self) -> &Path {
        &self.places.dir
    }

    /// Whose it is.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The commit that it stands on: where it was cut, or what it was last rebased on.
    pub fn base(&self) -> &CommitId {
        &self.notes.base
    }

    /// The attempt's one commit, if it has been made.
    pub fn commit_id(&self) -> Option<&CommitId> {
        self.notes.commit.as_ref()
    }

    /// git's own directory for this worktree, which the agent's git needs to write, absolute.
    pub fn git_dir(&self) -> PathBuf {
        let admin = self.notes.admin.as_deref().unwrap_or_default();
        self.repository.common_dir().join("worktrees").join(admin)
    }

    async fn check_out(&mut self, base: &CommitId) -> Result<()> {
        let mut tried = 0;
        loop {
            let (call, output) = self
                .repository
                .call("make a worktree")
                .whole_tree()
                // Twice: also where a registered worktree is missing or was locked.
                .args(["worktree", "add", "-q", "-f", "-f", "--detach"])
                .arg(&self.places.dir)
                .arg(base.as_str())
                .run_keeping()
                .await?;
            if output.code == Some(0) {
                break;
            }
            tried += 1;
            if tried >= CREATE_TRIES || !collided(&output.stderr) {
                return Err(call.failed(&output));
            }
            tracing::debug!(
                stderr = output.stderr,
                "worktree add collided, trying again"
            );
            // Different processes have different numbers, so that they do not meet again.
            let wait_ms = 5 * u64::from(tried) + self.attempt.0 % 13;
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        let places = self.places.clone();
        let worktrees = self.repository.common_dir().join("worktrees");
        let mut notes = self.notes.clone();
        let dir = places.dir.clone();
        // Nobody but git has written there so far, so its own links can be believed this once.
        self.notes = blocking("make a worktree", dir, move |dir| {
            let git_dir = linked_to(dir)?;
            let admin = git_dir.file_name().and_then(|name| name.to_str());
            if git_dir.parent() != Some(&worktrees) {
                return Err(io::Error::other(format!("its gitdir is {git_dir:?}")));
            }
            fs::copy(git_dir.join("index"), places.index())?;
            notes.admin = admin.map(str::to_owned);
            places.write_notes(&notes)?;
            Ok(notes)
        })
        .await?;
        Ok(())
    }

    /// A call on the working tree with the private index. `&mut`, because only one may run: a
    /// lock on that index was left by a git of ours that was ended.
    pub(super) fn call(&mut self, doing: &'static str) -> Result<super::git::Call> {
        let dir = &self.places.dir;
        // A link in its place could lead our git to write into somebody's home.
        if !fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
            return Err(Error::WorktreeGone {
                doing,
                path: dir.clone(),
            });
        }
        let index = self.places.index();
        let _ = fs::remove_file(index.with_extension("lock"));
        Ok(self.repository.tree_call(doing, dir, &index))
    }

    pub(super) async fn note(&mut self) -> Result<()> {
        let (places, notes) = (self.places.clone(), self.notes.clone());
        let private = places.private.clone();
        blocking("note the commit", private, move |_| {
            places.write_notes(&notes)
        })
        .await
    }

    /// Makes the linked worktree a sound one at `commit` again, whatever its agent did to `.git`
    /// and git's files for it, so that checks which ask git see the commit that they check.
    pub(super) async fn present(&mut self, commit: &CommitId) -> Result<()> {
        let git_dir = self.git_dir();
        let (index, id) = (self.places.index(), commit.clone());
        let (dir, admin) = (self.places.dir.clone(), git_dir.clone());
        blocking("repair the worktree's links", dir, move |dir| {
            relink(dir, &admin, &index, &id)
        })
        .await?;
        let call = self
            .repository
            .linked_call("set the worktree's HEAD", &git_dir);
        // Without --no-deref, a HEAD that the agent pointed at a branch would move that branch.
        call.args(["update-ref", "--no-deref", "-m", "crewlog: attempt's work"])
            .args(["HEAD", commit.as_str()])
            .ok()
            .await
            .map(drop)
    }

    /// The commit that the worktree's own `HEAD` is at, if that is a commit of the agent's.
    pub(super) async fn agents_commit(&self) -> Result<Option<CommitId>> {
        let git_dir = self.git_dir();
        let Some(head) = read_line_file(&git_dir.join("HEAD")) else {
            // A git that was let at a pipe in its place would wait for ever.
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&head).trim().to_owned();
        let known =
            |id: &CommitId| *id == self.notes.base || Some(id) == self.notes.commit.as_ref();
        if text.parse().is_ok_and(|id| known(&id)) {
            return Ok(None);
        }
        let call = self
            .repository
            .linked_call("look for commits of the agent", &git_dir);
        let (call, output) = call
            .args(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
            .run_keeping()
            .await?;
        if output.code != Some(0) {
            return Ok(None);
        }
        let id = super::repository::commit_id(&call, &output)?;
        Ok((!known(&id)).then_some(id))
    }
}

/// Whether a failure of `worktree add` comes from another one that runs at the same moment.
fn collided(stderr: &str) -> bool {
    ["commondir", "File exists", ".lock'", "/worktrees"]
        .iter()
        .any(|sign| stderr.contains(sign))
}

/// Where a fresh worktree's `.git` file points.
fn linked_to(dir: &Path) -> io::Result<PathBuf> {
    let link = fs::read(dir.join(".git"))?;
    let path = link.strip_prefix(b"gitdir: ").unwrap_or_default();
    let path = Path::new(std::ffi::OsStr::from_bytes(path.trim_ascii_end()));
    dir.join(path).canonicalize()
}

fn relink(dir: &Path, git_dir: &Path, index: &Path, commit: &CommitId) -> io::Result<()> {
    let line = |before: &str, path: &Path| {
        let path = path.as_os_str().as_bytes();
        [before.as_bytes(), path, b"\n"].concat()
    };
    let link = dir.join(".git");
    fs::create_dir_all(git_dir)?;
    set(&link, &line("gitdir: ", git_dir))?;
    set(&git_dir.join("commondir"), b"../..\n")?;
    set(&git_dir.join("gitdir"), &line("", &link))?;
    let head = git_dir.join("HEAD");
    let text = read_line_file(&head).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let id = text.trim().parse::<CommitId>();
    if !text.starts_with("ref: refs/") && !id.is_ok_and(|id| !id.is_none()) {
        // git takes a directory without a sound HEAD for no repository at all.
        replace(&head, format!("{commit}\n").as_bytes())?;
    }
    for lock in ["HEAD.lock", "index.lock"] {
        // The agent and its git are dead by now.
        remove_any(&git_dir.join(lock))?;
    }
    let copy = git_dir.join("index.crewlog");
    remove_any(&copy)?;
    fs::copy(index, &copy)?;
    let theirs = git_dir.join("index");
    if theirs.is_dir() {
        remove_any(&theirs)?;
    }
    fs::rename(&copy, &theirs)
}

fn sync_names(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

fn set(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match read_line_file(path) {
        Some(there) if there == bytes => Ok(()),
        _ => replace(path, bytes),
    }
}

/// Replaces whatever is there by a file, without following links.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("crewlog-new");
    remove_any(&fresh)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&fresh)?;
    file.write_all(bytes)?;
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

/// Reads a small file that an agent may have replaced: by a link, a pipe, or something endless.
fn read_line_file(path: &Path) -> Option<Vec<u8>> {
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
    file.take(LINK_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
