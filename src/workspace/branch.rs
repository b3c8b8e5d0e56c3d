//! The integration branch: where it is, and the only way to move it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::move_lock::MoveLock;
use super::repository::Repository;
use super::{Error, Result};
use crate::model::ids::CommitId;

/// git holds a ref's lock for the milliseconds in which it writes one line. An older lock was left
/// by a git that was killed, and would block the run until a person deletes it.
const STALE_LOCK: Duration = Duration::from_secs(10);

/// Result of an [`advance`](Repository::advance).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The branch is at the commit, durably.
    Moved,
    /// The branch is somewhere else and was not touched.
    Refused {
        /// The branch's commit.
        head: CommitId,
    },
}

fn full_name(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

impl Repository {
    /// Makes sure that the integration branch (for example `crewlog/main`) exists, and returns its
    /// commit. A missing one is created at the commit that the user has checked out.
    ///
    /// # Errors
    /// The name is invalid, another branch is in its way, or the branch is checked out or being
    /// rebased in some worktree.
    pub async fn ensure_branch(&self, branch: &str) -> Result<CommitId> {
        self.ensure_branch_from(branch, None).await
    }

    /// Like [`ensure_branch`](Self::ensure_branch), for a branch that existed before: if somebody
    /// deleted it, it is restored at its last known commit, because merged work is only there.
    ///
    /// # Errors
    /// As for [`ensure_branch`](Self::ensure_branch).
    pub async fn ensure_branch_from(
        &self,
        branch: &str,
        known: Option<&CommitId>,
    ) -> Result<CommitId> {
        let reference = full_name(branch);
        let call = self.call("check the name of the branch");
        let (call, checked) = call
            .args(["check-ref-format", &reference])
            .run_keeping()
            .await?;
        if !matches!(checked.code, 0 | 1) {
            return Err(call.failed(&checked));
        }
        if checked.code != 0 || branch.starts_with('-') {
            return Err(Error::BranchName {
                name: branch.to_owned(),
            });
        }
        if let Some(head) = self.find_branch(branch).await? {
            return Ok(head);
        }
        let known = match known {
            Some(known) => self.find_commit(known.as_str()).await?,
            None => None,
        };
        let start = match known {
            Some(known) => {
                tracing::warn!(branch, at = %known, "the branch was deleted and is restored");
                known
            }
            None => self.user_head().await?,
        };
        self.sync_all().await?;
        let there = self
            .create_ref("create the integration branch", &reference, &start)
            .await?;
        self.sync_ref(&reference).await?;
        Ok(there.unwrap_or(start))
    }

    /// The branch's commit if it exists and is not checked out; an error if something is in its
    /// way.
    pub(super) async fn find_branch(&self, branch: &str) -> Result<Option<CommitId>> {
        let first = branch.split('/').next().unwrap_or(branch);
        let listed = self
            .call("find the integration branch")
            .args(["for-each-ref", "--format"])
            .arg("%(refname)%00%(objectname)%00%(worktreepath)%00")
            .arg(full_name(first))
            .run_keeping();
        let (call, output) = listed.await?;
        if output.code != 0 {
            return Err(call.failed(&output));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let fields: Vec<&str> = text.split('\0').collect();
        let mut head = None;
        for found in fields.chunks_exact(3) {
            let &[name, id, worktree] = found else {
                continue;
            };
            let name = name.trim_start().trim_start_matches("refs/heads/");
            if name == branch && !worktree.is_empty() {
                return Err(Error::BranchCheckedOut {
                    branch: branch.to_owned(),
                    at: worktree.to_owned(),
                });
            } else if name == branch {
                head = Some(id.parse().map_err(|_| call.unexpected(&output))?);
            } else if is_below(name, branch) || is_below(branch, name) {
                return Err(Error::BranchBlocked {
                    branch: branch.to_owned(),
                    by: name.to_owned(),
                });
            }
        }
        if head.is_some()
            && let Some(at) = self.being_rebased(branch)
        {
            return Err(Error::BranchCheckedOut {
                branch: branch.to_owned(),
                at,
            });
        }
        Ok(head)
    }

    /// The worktree in which a rebase of the branch is in progress. git detaches `HEAD` during the
    /// rebase, and moves the branch at the end.
    fn being_rebased(&self, branch: &str) -> Option<String> {
        let linked = fs::read_dir(self.common_dir().join("worktrees"));
        let linked = linked.into_iter().flatten().flatten().map(|dir| dir.path());
        let reference = full_name(branch);
        std::iter::once(self.common_dir().to_owned())
            .chain(linked)
            .find(|dir| {
                ["rebase-merge", "rebase-apply"].iter().any(|state| {
                    let name = fs::read_to_string(dir.join(state).join("head-name"));
                    name.is_ok_and(|name| name.trim_end() == reference)
                })
            })
            .map(|dir| format!("{} (a rebase of it is in progress)", dir.display()))
    }

    /// The integration branch's commit.
    ///
    /// # Errors
    /// The branch does not exist.
    pub async fn head(&self, branch: &str) -> Result<CommitId> {
        let head = self.read_ref(&full_name(branch)).await?;
        head.ok_or_else(|| Error::BranchMissing {
            branch: branch.to_owned(),
        })
    }

    /// The integration branch's commit while no git is moving it, so that it stays until somebody
    /// moves it.
    ///
    /// # Errors
    /// The branch does not exist, or a git of an earlier call still lives.
    pub async fn head_at_rest(&self, branch: &str) -> Result<CommitId> {
        let _lock = MoveLock::take(self.common_dir()).await?;
        self.head(branch).await
    }

    /// Whether the branch contains the commit. A commit that does not exist (any more) is in no
    /// branch. Recovery asks only this.
    ///
    /// # Errors
    /// The branch does not exist.
    pub async fn contains(&self, branch: &str, commit: &CommitId) -> Result<bool> {
        let reference = full_name(branch);
        let (call, output) = self
            .call("search for a commit in the branch")
            .args(["merge-base", "--is-ancestor", commit.as_str(), &reference])
            .run_keeping()
            .await?;
        match output.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => {
                self.head(branch).await?;
                match self.find_commit(commit.as_str()).await? {
                    Some(_) => Err(call.failed(&output)),
                    None => Ok(false),
                }
            }
        }
    }

    /// Moves the branch from `onto` to `commit`, which must be one commit on top of it, if the
    /// branch is still at `onto`. A branch that is already at `commit` is
    /// [`Moved`](Advance::Moved), so the call can be repeated. `reason` goes to the branch's
    /// reflog.
    ///
    /// On return of `Moved`, the commit, all that it adds, and the branch's new position are
    /// synced: neither git's defaults nor an agent's `git add` guarantee that.
    ///
    /// # Errors
    /// The commit is not on top of `onto`, the branch does not exist, git's locks stay held, or the
    /// disk fails. The branch has not moved then, unless the error is about syncing it.
    pub async fn advance(
        &self,
        branch: &str,
        onto: &CommitId,
        commit: &CommitId,
        reason: &str,
    ) -> Result<Advance> {
        let reference = full_name(branch);
        self.sync_commit(onto, commit).await?;
        let lock = MoveLock::take(self.common_dir()).await?;
        let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
        let reason = format!("crewlog: {reason}");
        let mut tried = 0;
        loop {
            let (call, output) = self
                .call("move the branch")
                .args(["update-ref", "--no-deref", "--create-reflog", "-m", &reason])
                .args([&reference, commit.as_str(), onto.as_str()])
                .holding(&lock)
                .run_keeping()
                .await?;
            if output.code != 0 {
                let head = self.head(branch).await?;
                if head != *commit && head != *onto {
                    return Ok(Advance::Refused { head });
                }
                if head == *onto {
                    tried += 1;
                    self.wait_for_lock(&call, &output, &reference, tried)
                        .await?;
                    continue;
                }
            }
            self.sync_ref(&reference).await?;
            return Ok(Advance::Moved);
        }
    }

    /// Deletes the lock of one of our own refs if a killed git left it.
    pub(super) fn clear_stale_lock(&self, reference: &str) {
        let lock = lock_of(self.common_dir(), reference);
        let modified = fs::symlink_metadata(&lock).and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > STALE_LOCK) {
            tracing::warn!(lock = %lock.display(), "removing the lock file of a killed git");
            // Another process may remove it at the same time; both are right.
            let _ = fs::remove_file(&lock);
        }
    }
}

fn lock_of(common_dir: &Path, reference: &str) -> PathBuf {
    common_dir.join(format!("{reference}.lock"))
}

/// Whether `name` is below `above` as a directory.
fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('/'))
}
