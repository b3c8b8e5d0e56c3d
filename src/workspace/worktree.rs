//! The working tree of one attempt: a repository of its own, with a detached `HEAD`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::blocking::blocking;
use super::blueprint::{Blueprint, Filters};
use super::git::{Call, Limits};
use super::gitdir::{make_below, packed_refs};
use super::places::{Notes, Places, delete, exists, remove_any};
use super::repository::Repository;
use super::{Author, Changes, Error, Result};
use crate::model::ids::{AttemptId, CommitId};

/// Work that has become one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Object id of the commit.
    pub commit: CommitId,
    /// Object id of its tree.
    pub tree: CommitId,
}

/// The working tree of one attempt. Dropping it changes nothing on the disk; [`Repository::sweep`]
/// finds it.
#[derive(Debug)]
pub struct Worktree {
    pub(super) repository: Repository,
    pub(super) attempt: AttemptId,
    pub(super) places: Places,
    pub(super) notes: Notes,
    /// The worker's own git directory for it.
    pub(super) git_dir: PathBuf,
    pub(super) blueprint: Blueprint,
    /// The refs of its own repository; `None` until it exists.
    pub(super) refs: Option<Vec<u8>>,
    /// True after a filter hung, so that none runs again.
    pub(super) hung: bool,
    /// Message and author of the commit, to write it again on another base.
    pub(super) message: Option<(String, Option<Author>)>,
}

impl Repository {
    /// Creates the directory and repository of a coding attempt below `worktrees_dir` (created if
    /// absent), with the files of `base`. Left-overs of an attempt with the same number are cleaned
    /// up as in [`Self::sweep`]. Any number of processes may do this at the same time.
    ///
    /// # Errors
    /// The directory cannot be written, something else is in its place, or the commit does not
    /// exist.
    pub async fn create_worktree(
        &self,
        worktrees_dir: &Path,
        attempt: AttemptId,
        base: &CommitId,
    ) -> Result<Worktree> {
        self.create(worktrees_dir, attempt, base, false).await
    }

    /// Like [`Self::create_worktree`], for a testing attempt: what it leaves behind is discarded.
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
        let doing = "create a worktree";
        let wanted = worktrees_dir.to_owned();
        let worktrees_dir = blocking(doing, wanted, |dir| {
            fs::create_dir_all(dir)?;
            dir.canonicalize()
        });
        let worktrees_dir = worktrees_dir.await?;
        let places = Places::of(&worktrees_dir, attempt);
        let old = Places::old(&worktrees_dir, attempt);
        if places.are_ours() || old.are_ours() {
            self.clean_up(&worktrees_dir, attempt, None).await?;
        }
        let root = places.root.clone().unwrap_or_default();
        if exists(&root) {
            return Err(Error::NotOurs { path: root });
        }
        let notes = Notes {
            test,
            base: base.clone(),
            commit: None,
            ready: false,
            admin: None,
        };
        let blueprint = self.blueprint().await?;
        let (begun, first) = (places.clone(), notes.clone());
        let making = blocking(doing, root, move |_| begun.begin(&worktrees_dir, &first));
        making.await?;
        let mut worktree = Worktree {
            repository: self.clone(),
            attempt,
            git_dir: places.git_dir(),
            places,
            notes,
            blueprint,
            refs: None,
            hung: false,
            message: None,
        };
        match worktree.fill(base).await {
            Ok(()) => Ok(worktree),
            Err(error) => {
                // It contains no work yet. What cannot be removed now, a sweep finds.
                let _ = worktree.remove().await;
                Err(error)
            }
        }
    }

    /// Tags and branches as a clone has them, for an attempt's own repository. They are a
    /// convenience, for example for `git describe`: if git cannot list them, there are none.
    async fn refs_of_a_clone(&self) -> Result<Vec<u8>> {
        let listed = self
            .call("list the refs")
            .args(["for-each-ref", "--format=%(objectname) %(refname)"])
            .args(["refs/tags", "refs/heads"])
            .ok()
            .await;
        match listed {
            Ok(listed) => Ok(packed_refs(&listed.text())),
            Err(error @ (Error::Failed { .. } | Error::OutputLimit { .. })) => {
                tracing::warn!(%error, "cannot copy refs to the attempt's repository");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

impl Worktree {
    /// The agent's working directory: the top of the working tree, absolute.
    pub fn path(&self) -> &Path {
        &self.places.dir
    }

    /// The attempt that it belongs to.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The commit that it is based on: the one it was created at, or was last rebased onto.
    pub fn base(&self) -> &CommitId {
        &self.notes.base
    }

    /// The attempt's one commit, if it has been made.
    pub fn commit_id(&self) -> Option<&CommitId> {
        self.notes.commit.as_ref()
    }

    /// Sets the limits of its git calls.
    pub fn set_limits(&mut self, limits: Limits) {
        self.repository = self.repository.within(limits);
    }

    /// The limits of its git calls.
    pub fn limits(&self) -> &Limits {
        self.repository.limits()
    }

    /// Compares two commits, as [`Repository::changes`] does.
    ///
    /// # Errors
    /// One of them does not exist.
    pub async fn changes(&self, onto: &CommitId, commit: &CommitId) -> Result<Changes> {
        self.repository.changes(onto, commit).await
    }

    async fn fill(&mut self, base: &CommitId) -> Result<()> {
        self.make_git_dir(Filters::Run)?;
        self.check_out(base).await?;
        let index = self.places.index();
        self.present(base, &index).await?;
        self.notes.ready = true;
        self.note().await
    }

    /// Makes the worker's own git directory.
    pub(super) fn make_git_dir(&self, filters: Filters) -> Result<()> {
        let made = self.blueprint.make_workers(&self.git_dir, filters);
        made.map_err(Error::io("prepare a git directory", &self.git_dir))?;
        let tmp = self.places.tmp();
        let made = make_below(&self.places.private, "tmp".as_ref());
        made.map_err(Error::io("prepare a git directory", &tmp))
    }

    /// A call on the working tree with an index of ours. `&mut`, because only one may run: an
    /// existing lock on that index was left by a git of ours that was ended.
    pub(super) fn call(&mut self, doing: &'static str, index: &Path) -> Result<Call> {
        let dir = &self.places.dir;
        // A link in its place could make our git write into somebody's home.
        if !fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
            return Err(Error::WorktreeGone {
                doing,
                path: dir.clone(),
            });
        }
        let _ = fs::remove_file(index.with_extension("lock"));
        let call = self.object_call(doing).work_tree(dir);
        Ok(call.env("GIT_INDEX_FILE", index))
    }

    /// A call of the worker's own git on objects.
    pub(super) fn object_call(&self, doing: &'static str) -> Call {
        let call = self.repository.own_call(doing, &self.git_dir);
        let call = call.env("TMPDIR", self.places.tmp());
        match self.blueprint.ssh_command() {
            Some(ssh) => call.env("GIT_SSH_COMMAND", ssh),
            None => call,
        }
    }

    pub(super) async fn note(&mut self) -> Result<()> {
        let (places, notes) = (self.places.clone(), self.notes.clone());
        let private = places.private.clone();
        blocking("record the commit", private, move |_| {
            places.write_notes(&notes)
        })
        .await
    }

    /// Replaces the git directory of the working tree by a new one at `commit`, whatever the agent
    /// did to the old one: checks that ask git see the commit that they check, and nothing that the
    /// agent wrote into configuration, attributes or hooks.
    pub(super) async fn present(&mut self, commit: &CommitId, index: &Path) -> Result<()> {
        let refs = match self.refs.take() {
            Some(refs) => refs,
            None => self.repository.refs_of_a_clone().await?,
        };
        let (fresh, link) = (
            self.places.private.join("new"),
            self.places.dir.join(".git"),
        );
        let made = self.blueprint.make_agents(&fresh, commit, &refs, index);
        let doing = "create the worktree's repository";
        self.refs = Some(refs);
        made.map_err(Error::io(doing, &fresh))?;
        blocking(doing, link, move |link| put(&fresh, link)).await
    }
}

/// Moves a new git directory to its place, and the old one away, in one step.
fn put(fresh: &Path, link: &Path) -> io::Result<()> {
    if exists(link) {
        let aside = fresh.with_extension("old");
        remove_any(&aside)?;
        fs::rename(link, &aside)?;
        delete(&aside)?;
    }
    fs::rename(fresh, link)
}
