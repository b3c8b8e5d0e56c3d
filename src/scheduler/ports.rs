//! What of the world the loop needs, as traits: git, processes, spool files. The simulator
//! replaces these and nothing else.

use std::future::Future;
use std::pin::Pin;

use crate::model::branch::BranchMove;
use crate::model::event::ProcessIdentity;
use crate::model::ids::{AttemptId, CommitId};
use crate::model::report::AttemptReport;
use crate::workspace::{self, Advance, Repository};

/// A future that a trait object returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the integration branch is after a merge was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The branch contains the commit.
    pub merged: bool,
    /// Its head.
    pub head: CommitId,
}

/// Why the branch could not be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitFailure {
    /// Somebody has it checked out there.
    CheckedOut {
        /// The worktree.
        at: String,
    },
    /// git failed.
    Failed {
        /// Where the branch is, when that could be read and no git is on its way to move it.
        head: Option<CommitId>,
    },
}

/// The one place where the integration branch moves.
pub trait Integration: Send + Sync {
    /// Where the branch is.
    fn head(&self) -> Answer<'_, Result<CommitId, workspace::Error>>;

    /// Where the branch is, once no git is on its way to move it any more.
    fn head_at_rest(&self) -> Answer<'_, Result<CommitId, workspace::Error>>;

    /// Moves the branch from `onto` to `commit`, unless it contains `commit` already or is
    /// somewhere else. Asking twice is the same as asking once.
    fn merge<'a>(
        &'a self,
        onto: &'a CommitId,
        commit: &'a CommitId,
    ) -> Answer<'a, Result<Merged, workspace::Error>>;

    /// What lies between the head that was recorded and the one that the branch has, and which of
    /// `merges` it has no longer.
    fn explain<'a>(
        &'a self,
        from: &'a CommitId,
        to: &'a CommitId,
        merges: &'a [CommitId],
    ) -> Answer<'a, Result<BranchMove, workspace::Error>>;
}

/// The integration branch of a git repository.
pub struct GitBranch {
    /// The repository.
    pub repository: Repository,
    /// The branch, without `refs/heads/`.
    pub branch: String,
}

impl Integration for GitBranch {
    fn head(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        Box::pin(self.repository.head(&self.branch))
    }

    fn head_at_rest(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        Box::pin(self.repository.head_at_rest(&self.branch))
    }

    fn merge<'a>(
        &'a self,
        onto: &'a CommitId,
        commit: &'a CommitId,
    ) -> Answer<'a, Result<Merged, workspace::Error>> {
        Box::pin(async move {
            // Whoever has it checked out would find an index and files that are not the branch's.
            if let Some(at) = self.repository.checked_out(&self.branch).await? {
                let branch = self.branch.clone();
                return Err(workspace::Error::BranchCheckedOut { branch, at });
            }
            match self.advance(onto, commit).await {
                // An agent shares its refs with us, and may have deleted this one.
                Err(workspace::Error::BranchMissing { .. }) => {
                    let branch = &self.branch;
                    let repository = &self.repository;
                    repository.ensure_branch_from(branch, Some(onto)).await?;
                    self.advance(onto, commit).await
                }
                answer => answer,
            }
        })
    }

    fn explain<'a>(
        &'a self,
        from: &'a CommitId,
        to: &'a CommitId,
        merges: &'a [CommitId],
    ) -> Answer<'a, Result<BranchMove, workspace::Error>> {
        Box::pin(self.repository.explain_move(from, to, merges))
    }
}

impl GitBranch {
    async fn advance(
        &self,
        onto: &CommitId,
        commit: &CommitId,
    ) -> Result<Merged, workspace::Error> {
        let advance = self
            .repository
            .advance(&self.branch, onto, commit, "crewlog: merge");
        let head = match advance.await {
            Ok(Advance::Moved) => {
                let head = commit.clone();
                return Ok(Merged { merged: true, head });
            }
            Ok(Advance::Refused { head }) => head,
            // Such a commit has never been merged and never will be.
            Err(workspace::Error::NotOnHead { .. }) => {
                let head = self.repository.head(&self.branch).await?;
                return Ok(Merged {
                    merged: false,
                    head,
                });
            }
            Err(error) => return Err(error),
        };
        let merged = self.repository.contains(&self.branch, commit).await?;
        Ok(Merged { merged, head })
    }
}

/// Processes of workers and of their agents.
pub trait Processes: Send + Sync {
    /// Resolves when the process is gone for certain; at once if it is gone already.
    fn gone(&self, process: ProcessIdentity) -> Answer<'static, ()>;

    /// Ends the process; `gone` tells when it is.
    fn kill(&self, process: &ProcessIdentity);

    /// Ends whatever a dead worker's attempt has left behind, and returns when nothing is left.
    fn reap(&self, attempt: AttemptId) -> Answer<'static, ()>;
}

/// Where workers write results down.
pub trait Spool: Send + Sync {
    /// The result of an attempt whose worker is gone.
    fn read(&self, attempt: AttemptId) -> Option<AttemptReport>;
}
