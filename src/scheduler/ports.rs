//! The world that the loop needs, as traits: git, processes, spool files. The simulation replaces
//! only these.

use std::future::Future;
use std::pin::Pin;

use crate::model::branch::BranchMove;
use crate::model::event::ProcessIdentity;
use crate::model::ids::{AttemptId, CommitId};
use crate::model::report::AttemptReport;
use crate::workspace::{self, Advance, Repository};

/// A future that a trait object returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the integration branch is after a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Whether the branch contains the commit.
    pub merged: bool,
    /// The branch's commit.
    pub head: CommitId,
}

/// Why the branch could not be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitFailure {
    /// The branch is checked out.
    CheckedOut {
        /// The worktree that has it checked out.
        at: String,
    },
    /// git failed at it.
    Failed {
        /// The branch's commit, if it could be read and no git is moving it.
        head: Option<CommitId>,
    },
}

/// The only place where the integration branch moves.
pub trait Integration: Send + Sync {
    /// Reads the branch.
    fn head(&self) -> Answer<'_, Result<CommitId, workspace::Error>>;

    /// Reads the branch as soon as no git is moving it any more.
    fn head_at_rest(&self) -> Answer<'_, Result<CommitId, workspace::Error>>;

    /// Moves the branch from `onto` to `commit`, unless it already contains `commit` or is
    /// somewhere else. The call can be repeated.
    fn merge<'a>(
        &'a self,
        onto: &'a CommitId,
        commit: &'a CommitId,
    ) -> Answer<'a, Result<Merged, workspace::Error>>;

    /// The commits between the recorded head and the branch, and which of `merges` the branch no
    /// longer has.
    fn explain<'a>(
        &'a self,
        from: &'a CommitId,
        to: &'a CommitId,
        merges: &'a [CommitId],
    ) -> Answer<'a, Result<BranchMove, workspace::Error>>;
}

/// The integration branch of a git repository.
pub struct GitBranch {
    /// The repository with the branch.
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
            // The worktree that has it checked out would have an index and files of another commit.
            if let Some(at) = self.repository.checked_out(&self.branch).await? {
                let branch = self.branch.clone();
                return Err(workspace::Error::BranchCheckedOut { branch, at });
            }
            match self.advance(onto, commit).await {
                // Agents share the refs, and may have deleted this one.
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
            // Such a commit was never merged.
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
    /// Resolves when the process has certainly ended; at once if it already has.
    fn gone(&self, process: ProcessIdentity) -> Answer<'static, ()>;

    /// Ends the process; `gone` resolves when it has ended.
    fn kill(&self, process: &ProcessIdentity);

    /// Ends everything that a dead worker's attempt left behind. Returns when nothing is left.
    fn reap(&self, attempt: AttemptId) -> Answer<'static, ()>;
}

/// Reads workers' spool files.
pub trait Spool: Send + Sync {
    /// The result of an attempt whose worker has ended.
    fn read(&self, attempt: AttemptId) -> Option<AttemptReport>;
}
