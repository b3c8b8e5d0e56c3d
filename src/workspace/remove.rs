//! Removes worktrees, and finds left-over ones.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::blocking::blocking;
use super::blueprint::Filters;
use super::places::{FRESH, NAME, Notes, OLD_JOB, OLD_NAME, Places, delete, exists, remove_any};
use super::repository::Repository;
use super::worktree::Worktree;
use super::{Error, Result};
use crate::model::ids::AttemptId;

/// Prefix of the name of a directory that is being deleted.
const TRASH: &str = ".crewlog-trash-";

/// An attempt has two entries. A directory with more than this is not one of worktrees.
const ENTRIES_MAX: usize = 100_000;

/// What a [`sweep`](Repository::sweep) did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Attempts whose left-overs were removed, ascending.
    pub removed: Vec<AttemptId>,
    /// Attempts with work that would have been lost, and the ref that keeps it.
    pub preserved: Vec<(AttemptId, String)>,
    /// Attempts whose left-overs still exist, and why. Nothing was deleted that could not be
    /// preserved.
    pub failed: Vec<(AttemptId, Error)>,
}

impl Worktree {
    /// Removes the worktree with everything in it. To keep its work, call
    /// [`preserve`](Self::preserve) first.
    ///
    /// # Errors
    /// The disk fails. [`Repository::sweep`] finds what is left.
    pub async fn remove(self) -> Result<()> {
        discard(
            &self.repository,
            self.attempt,
            self.places,
            Some(self.notes),
        )
        .await
    }
}

impl Repository {
    /// Removes what finished attempts left behind: those with a number below `before` that are not
    /// in `live`. Preserves their uncommitted work first, and their committed work unless `branch`
    /// contains it. `before` is the log's next sequence at the time of `live`, so that later
    /// attempts are safe.
    ///
    /// # Errors
    /// The directory cannot be read. What goes wrong with one attempt is in [`Swept::failed`], and
    /// does not stop the sweep.
    pub async fn sweep(
        &self,
        worktrees_dir: &Path,
        live: &[AttemptId],
        before: AttemptId,
        branch: &str,
    ) -> Result<Swept> {
        let mut swept = Swept::default();
        if !exists(worktrees_dir) {
            return Ok(swept);
        }
        let doing = "search for leftover worktrees";
        let absolute = worktrees_dir.canonicalize();
        let worktrees_dir = absolute.map_err(Error::io(doing, worktrees_dir))?;
        let (attempts, trash) = blocking(doing, worktrees_dir.clone(), list).await?;
        let over = |attempt: AttemptId| attempt < before && !live.contains(&attempt);
        let trash = trash.into_iter().filter(|(of, _)| of.is_none_or(over));
        for (_, dir) in trash {
            let deleted = blocking("delete a removed worktree", dir, delete).await;
            if let Err(error) = deleted {
                tracing::warn!(%error, "the next sweep tries again");
            }
        }
        for attempt in attempts.into_iter().filter(|&attempt| over(attempt)) {
            match self.clean_up(&worktrees_dir, attempt, Some(branch)).await {
                Ok(preserved) => {
                    swept.removed.push(attempt);
                    swept
                        .preserved
                        .extend(preserved.map(|name| (attempt, name)));
                }
                Err(error) => swept.failed.push((attempt, error)),
            }
        }
        if let Err(error) = self.unpin_all(&worktrees_dir, over).await {
            tracing::warn!(%error, "the next sweep tries again");
        }
        let registered = self.common_dir().join("worktrees");
        for (attempt, git_dir) in orphans(&registered, &worktrees_dir) {
            if over(attempt) {
                let doing = "remove git's directory of a missing worktree";
                blocking(doing, git_dir, remove_any).await?;
            }
        }
        Ok(swept)
    }

    /// Removes git's own directories for worktrees of finished attempts that a power cut left
    /// incomplete: while one exists, git refuses to look at any branch. `live` and `before` as for
    /// [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// One cannot be removed.
    pub async fn forget_torn(&self, live: &[AttemptId], before: AttemptId) -> Result<()> {
        let registered = self.common_dir().join("worktrees");
        for (attempt, git_dir) in half_created(&registered) {
            if attempt < before && !live.contains(&attempt) {
                let doing = "remove the remains of a worktree's directory in git";
                blocking(doing, git_dir, remove_any).await?;
            }
        }
        Ok(())
    }

    /// Preserves the work in one left-over worktree, unless `branch` contains it, and removes it.
    /// For a worker that finds what a dead one of the same project left.
    ///
    /// # Errors
    /// What could not be preserved still exists.
    pub async fn clean_up(
        &self,
        worktrees_dir: &Path,
        attempt: AttemptId,
        branch: Option<&str>,
    ) -> Result<Option<String>> {
        let mut preserved = None;
        let all = [
            Places::of(worktrees_dir, attempt),
            Places::old(worktrees_dir, attempt),
        ];
        for places in all.into_iter().filter(Places::are_ours) {
            let notes = places.read_notes();
            if let Some(mut notes) = notes.clone().filter(|notes| !notes.test) {
                self.forget_lost_commit(&mut notes).await?;
                let merged = match (&notes.commit, branch) {
                    (Some(commit), Some(branch)) => self.contains(branch, commit).await?,
                    _ => false,
                };
                let rescued = self.rescue(attempt, &places, notes, merged).await?;
                preserved = preserved.or(rescued);
            }
            discard(self, attempt, places, notes).await?;
        }
        let job = worktrees_dir.join(format!("{OLD_JOB}{}", attempt.0));
        if is_old_job(&job) {
            blocking("remove a job's directory", job, remove_any).await?;
        }
        Ok(preserved)
    }

    /// A power cut may have left the notes and destroyed the commit that they name, which is
    /// durable only once a result names it. The files exist, and are the same work.
    async fn forget_lost_commit(&self, notes: &mut Notes) -> Result<()> {
        let Some(commit) = &notes.commit else {
            return Ok(());
        };
        match self.find_commit(commit.as_str()).await {
            Ok(Some(_)) => Ok(()),
            Err(error @ (Error::Cancelled { .. } | Error::Killed { .. })) => Err(error),
            lost => {
                tracing::warn!(%commit, ?lost, "an attempt's commit is lost; its files are kept");
                notes.commit = None;
                Ok(())
            }
        }
    }

    async fn rescue(
        &self,
        attempt: AttemptId,
        places: &Places,
        mut notes: Notes,
        merged: bool,
    ) -> Result<Option<String>> {
        // Before the checkout ended, no agent had begun.
        if !notes.ready && notes.admin.is_none() {
            return Ok(None);
        }
        let there = fs::symlink_metadata(&places.dir).is_ok_and(|meta| meta.is_dir());
        if !there {
            return match notes.commit.filter(|_| !merged) {
                Some(commit) => self.preserve(attempt, &commit).await.map(Some),
                None => Ok(None),
            };
        }
        if merged {
            // What is merged needs no rescue, only what came after it.
            notes.base = notes.commit.take().unwrap_or(notes.base);
        }
        let mut worktree = Worktree {
            repository: self.clone(),
            attempt,
            git_dir: places.private.join("salvage"),
            places: places.clone(),
            notes,
            blueprint: self.blueprint().await?,
            refs: None,
            hung: false,
            message: None,
        };
        // Bytes as they are: a filter may be what killed the worker.
        worktree.make_git_dir(Filters::Off)?;
        worktree.preserve("Found after its worker had ended.").await
    }
}

/// The attempts that have something here; and directories that are being deleted or created, the
/// latter with their attempt.
fn list(worktrees_dir: &Path) -> io::Result<(BTreeSet<AttemptId>, Leftovers)> {
    let (mut attempts, mut leftovers) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(worktrees_dir)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(TRASH) {
            leftovers.push((None, entry.path()));
        }
        if let Some((number, _)) = name.strip_prefix(FRESH).and_then(|it| it.split_once('-')) {
            let attempt = number.parse().ok().map(AttemptId);
            leftovers.extend(attempt.map(|it| (Some(it), entry.path())));
        }
        let old = name.strip_prefix(OLD_NAME);
        let old = old.map(|rest| rest.strip_suffix(".private").unwrap_or(rest));
        let number = old.or_else(|| name.strip_prefix(NAME));
        let attempt = number.and_then(|number| number.parse().ok()).map(AttemptId);
        // A directory without private notes was not created by us.
        let ours = attempt.filter(|attempt| {
            let of = [Places::of, Places::old].map(|places| places(worktrees_dir, *attempt));
            of.iter().any(Places::are_ours)
        });
        attempts.extend(ours);
        let job = name.strip_prefix(OLD_JOB).and_then(|it| it.parse().ok());
        attempts.extend(job.map(AttemptId).filter(|_| is_old_job(&entry.path())));
    }
    Ok((attempts, leftovers))
}

type Leftovers = Vec<(Option<AttemptId>, PathBuf)>;

/// Whether this is the directory of an attempt's job in an earlier version's layout, with nothing
/// else in it.
fn is_old_job(dir: &Path) -> bool {
    const KNOWN: [&str; 4] = ["job.json", "prompt.md", "verdict.json", "tmp"];
    let known = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|it| KNOWN.iter().any(|known| it.file_name() == *known))
    };
    fs::read_dir(dir).is_ok_and(|entries| entries.into_iter().all(known))
}

/// git's own directories for our worktrees that no longer exist: a git that was killed while it
/// created one leaves its directory registered before there are notes of it.
fn orphans(registered: &Path, worktrees_dir: &Path) -> Vec<(AttemptId, PathBuf)> {
    let entries = fs::read_dir(registered).into_iter().flatten().flatten();
    let orphan = |entry: fs::DirEntry| {
        let git_dir = entry.path();
        let back = fs::read(git_dir.join("gitdir")).ok()?;
        let back = Path::new(std::ffi::OsStr::from_bytes(back.trim_ascii_end()));
        let dir = back.parent()?;
        let ours = dir.parent() == Some(worktrees_dir) && !exists(dir);
        let number = dir.file_name()?.to_str()?.strip_prefix(OLD_NAME)?;
        ours.then_some((AttemptId(number.parse().ok()?), git_dir))
    };
    entries.take(ENTRIES_MAX).filter_map(orphan).collect()
}

/// git's own directories for our worktrees that lack files which git needs.
fn half_created(registered: &Path) -> Vec<(AttemptId, PathBuf)> {
    let entries = fs::read_dir(registered).into_iter().flatten().flatten();
    let half_created = |entry: fs::DirEntry| {
        let (name, git_dir) = (entry.file_name(), entry.path());
        let number = name.to_str()?.strip_prefix(OLD_NAME)?.parse().ok()?;
        let lacks = |file: &str| {
            fs::metadata(git_dir.join(file)).is_ok_and(|meta| meta.len() == 0)
                || !exists(&git_dir.join(file))
        };
        let incomplete = ["commondir", "gitdir", "HEAD"].into_iter().any(lacks);
        incomplete.then_some((AttemptId(number), git_dir))
    };
    entries.take(ENTRIES_MAX).filter_map(half_created).collect()
}

/// Deletes a worktree in an order that can be interrupted anywhere: first its directory is moved
/// aside in one step, so that a half-deleted one is never mistaken for work; the notes are deleted
/// last.
async fn discard(
    repository: &Repository,
    attempt: AttemptId,
    places: Places,
    notes: Option<Notes>,
) -> Result<()> {
    // First, because nothing leads to it once the directory is deleted.
    repository.unpin(&places, attempt).await?;
    let worktrees = repository.common_dir().join("worktrees");
    let dir = places.root.clone().unwrap_or(places.dir);
    blocking("remove a worktree", dir, move |dir| {
        let Some(parent) = dir.parent() else {
            return Ok(());
        };
        let trash = parent.join(format!("{TRASH}{}", ulid::Ulid::generate()));
        match fs::rename(dir, &trash) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(admin) = notes.and_then(|notes| notes.admin) {
            forget(&worktrees, &admin, dir)?;
        }
        delete(&trash)?;
        match places.root {
            Some(_) => Ok(()),
            None => remove_any(&places.private),
        }
    })
    .await
}

/// Removes git's own directory for a worktree. Not with `git worktree remove`, which refuses if an
/// agent touched the links, nor with `prune`, which also removes the user's worktrees on a disk
/// that is not mounted.
fn forget(worktrees: &Path, admin: &str, dir: &Path) -> io::Result<()> {
    // We noted the name; this is for damaged notes.
    if !admin.starts_with(OLD_NAME) || admin.contains('/') {
        return Ok(());
    }
    let git_dir = worktrees.join(admin);
    let back = fs::read(git_dir.join("gitdir")).unwrap_or_default();
    let back = Path::new(std::ffi::OsStr::from_bytes(back.trim_ascii_end()));
    // Another project's worktree may have got the name after an agent had pruned this one.
    let elsewhere = back.is_absolute() && back.exists() && !back.starts_with(dir);
    if elsewhere {
        return Ok(());
    }
    remove_any(&git_dir)
}
