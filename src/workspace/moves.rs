//! What others did to the branch: commits added, and commits lost.

use std::collections::BTreeSet;

use super::Result;
use super::error::Error;
use super::repository::Repository;
use crate::model::branch::{BranchMove, NAMED_MAX, NamedCommit};
use crate::model::ids::CommitId;

impl Repository {
    /// The difference between the recorded head and the branch's present one. `merges` are commits
    /// that the branch had; those that it no longer has are [`gone`](BranchMove::gone).
    ///
    /// # Errors
    /// git fails.
    pub async fn explain_move(
        &self,
        from: &CommitId,
        to: &CommitId,
        merges: &[CommitId],
    ) -> Result<BranchMove> {
        let mut explained = BranchMove {
            from: from.clone(),
            to: to.clone(),
            ..BranchMove::default()
        };
        // Rewritten and garbage-collected by git: it cannot be named, but what is left can be
        // compared.
        if self.find_commit(from.as_str()).await?.is_none() {
            for merge in merges {
                if !self.is_in(merge, to).await? {
                    explained.gone.push(merge.clone());
                }
            }
            return Ok(explained);
        }
        (explained.added, explained.added_total) = self.between(from, to).await?;
        (explained.lost, explained.lost_total) = self.between(to, from).await?;
        if explained.lost_total > 0 {
            let lost = self.ids_between(to, from).await?;
            let gone = merges.iter().filter(|merge| lost.contains(*merge));
            explained.gone = gone.cloned().collect();
        }
        Ok(explained)
    }

    /// Where the branch is checked out, or being rebased; `None` if nowhere.
    ///
    /// # Errors
    /// git fails, or another branch is in the way.
    pub async fn checked_out(&self, branch: &str) -> Result<Option<String>> {
        match self.find_branch(branch).await {
            Ok(_) => Ok(None),
            Err(Error::BranchCheckedOut { at, .. }) => Ok(Some(at)),
            Err(error) => Err(error),
        }
    }

    /// The newest commits that `to` has and `from` does not, and their total number.
    async fn between(&self, from: &CommitId, to: &CommitId) -> Result<(Vec<NamedCommit>, u64)> {
        let range = format!("{from}..{to}");
        let counted = self
            .call("count foreign commits")
            .args(["rev-list", "--count", &range]);
        let (call, output) = counted.run_keeping().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(total) = text.trim().parse().ok().filter(|_| output.code == 0) else {
            return Err(call.failed(&output));
        };
        let limit = format!("--max-count={NAMED_MAX}");
        let named = self.call("list foreign commits").args([
            "log",
            "-z",
            "--format=%H%x00%an%x00%s",
            &limit,
            &range,
        ]);
        let (call, output) = named.run_keeping().await?;
        if output.code != 0 {
            return Err(call.failed(&output));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let fields: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
        let commits = fields.chunks_exact(3).filter_map(|fields| {
            let [id, author, subject] = fields else {
                return None;
            };
            Some(NamedCommit::new(id.parse().ok()?, author, subject))
        });
        Ok((commits.collect(), total))
    }

    async fn ids_between(&self, from: &CommitId, to: &CommitId) -> Result<BTreeSet<CommitId>> {
        let range = format!("{from}..{to}");
        let call = self.call("list lost commits").args(["rev-list", &range]);
        let (call, output) = call.run_keeping().await?;
        if output.code != 0 {
            return Err(call.failed(&output));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    async fn is_in(&self, commit: &CommitId, head: &CommitId) -> Result<bool> {
        if self.find_commit(commit.as_str()).await?.is_none() {
            return Ok(false);
        }
        let asked = self.call("search for a merge").args([
            "merge-base",
            "--is-ancestor",
            commit.as_str(),
            head.as_str(),
        ]);
        let (call, output) = asked.run_keeping().await?;
        match output.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(call.failed(&output)),
        }
    }
}
