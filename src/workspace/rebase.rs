//! Rebases an attempt's commit onto a new head.

use super::repository::commit_id;
use super::restore::Ignored;
use super::version::Version;
use super::worktree::{Committed, Worktree};
use super::{Result, parse};
use crate::model::ids::CommitId;

/// Result of a [`Worktree::rebase`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebase {
    /// The commit is on top of the new head, and the working tree has its files.
    Clean(Committed),
    /// There are conflicts. The attempt, its commit and its working tree are unchanged.
    Conflict {
        /// The files in conflict, at most 200; bytes that are not UTF-8 are replaced.
        files: Vec<String>,
        /// git's message about them, shortened.
        detail: String,
    },
}

enum Merged {
    Tree(CommitId),
    Conflict { files: Vec<String>, detail: String },
}

impl Worktree {
    /// Puts the attempt's commit on top of `onto`, as one new commit with the same message, and
    /// updates the working tree: untracked files are removed, and ignored ones as `ignored` says. A
    /// worktree without a commit just moves to `onto`. If the commit is already on top of `onto`,
    /// only the working tree is cleaned.
    ///
    /// The commit is durable when this returns, so a durable result may name it.
    ///
    /// A commit whose changes are all in `onto` already becomes empty, so that the merge still has
    /// a commit that names its attempt.
    ///
    /// # Errors
    /// `onto` does not exist, a merge driver or filter fails, or the disk does.
    pub async fn rebase(&mut self, onto: &CommitId, ignored: Ignored<'_>) -> Result<Rebase> {
        let Some(commit) = self.notes.commit.clone() else {
            return self.settle(onto, onto.clone(), None, ignored).await;
        };
        if self.notes.base == *onto {
            let tree = self.repository.tree_of(&commit).await?;
            self.restore(&commit, ignored).await?;
            let index = self.places.index();
            self.present(&commit, &index).await?;
            self.hold(onto, &commit).await?;
            return Ok(Rebase::Clean(Committed { commit, tree }));
        }
        let merged = if self.repository.version() >= Version::MERGE_TREE {
            self.merge_tree(onto, &commit).await?
        } else {
            self.merge_in_place(onto, &commit).await?
        };
        let tree = match merged {
            Merged::Tree(tree) => tree,
            Merged::Conflict { files, detail } => return Ok(Rebase::Conflict { files, detail }),
        };
        let (message, author) = self.message.clone().unwrap_or_default();
        self.notes.base = onto.clone();
        let rebased = self.write_commit(&tree, &message, author.as_ref()).await?;
        self.hold(onto, &rebased).await?;
        self.settle(onto, rebased, Some(tree), ignored).await
    }

    /// Makes a commit durable, and keeps it until the attempt is over.
    async fn hold(&self, onto: &CommitId, commit: &CommitId) -> Result<()> {
        self.repository.sync_commit(onto, commit).await?;
        let pinned = self.repository.pin(&self.places, self.attempt, commit);
        pinned.await
    }

    async fn settle(
        &mut self,
        onto: &CommitId,
        commit: CommitId,
        tree: Option<CommitId>,
        ignored: Ignored<'_>,
    ) -> Result<Rebase> {
        self.notes.base = onto.clone();
        self.notes.commit = tree.is_some().then(|| commit.clone());
        self.note().await?;
        self.restore(&commit, ignored).await?;
        let index = self.places.index();
        self.present(&commit, &index).await?;
        let tree = match tree {
            Some(tree) => tree,
            None => self.repository.tree_of(&commit).await?,
        };
        Ok(Rebase::Clean(Committed { commit, tree }))
    }

    /// Merges in the object database, without touching any file.
    async fn merge_tree(&self, onto: &CommitId, commit: &CommitId) -> Result<Merged> {
        let base = format!("--merge-base={}", self.notes.base);
        let (call, output) = self
            .object_call("rebase the work")
            .whole_tree()
            .args(["merge-tree", "--write-tree", "-z", "--name-only", &base])
            .args([onto.as_str(), commit.as_str()])
            .run_keeping()
            .await?;
        let parse::MergedTree {
            tree,
            files,
            detail,
        } = parse::merge_tree(&output.stdout);
        match output.code {
            0 => tree
                .map(Merged::Tree)
                .ok_or_else(|| call.unexpected(&output)),
            1 => Ok(Merged::Conflict { files, detail }),
            _ => Err(call.failed(&output)),
        }
    }

    /// The same with an older git, in the working tree, which is restored after a conflict.
    async fn merge_in_place(&mut self, onto: &CommitId, commit: &CommitId) -> Result<Merged> {
        self.restore(onto, Ignored::Keep).await?;
        let index = self.places.index();
        let (call, output) = self
            .call("rebase the work", &index)?
            .args(["merge-recursive", self.notes.base.as_str(), "--"])
            .args([onto.as_str(), commit.as_str()])
            .run_keeping()
            .await?;
        match output.code {
            0 => {
                let call = self.call("write the tree", &index)?.arg("write-tree");
                let (call, written) = call.run_keeping().await?;
                match written.code {
                    0 => commit_id(&call, &written).map(Merged::Tree),
                    _ => Err(call.failed(&written)),
                }
            }
            1 => {
                let call = self.call("list the conflicts", &index)?;
                let listed = call.args(["ls-files", "--unmerged", "-z"]).ok().await?;
                let files = parse::unmerged(&listed.stdout);
                let detail = parse::conflicts(output.text().lines());
                self.restore(commit, Ignored::Keep).await?;
                Ok(Merged::Conflict { files, detail })
            }
            _ => {
                self.restore(commit, Ignored::Keep).await?;
                Err(call.failed(&output))
            }
        }
    }
}
