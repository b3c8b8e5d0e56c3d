//! From what lies in the working tree to one commit.

use std::fs;
use std::io;

use super::answers::{RawEntries, unborn_repository};
use super::repository::commit_id;
use super::worktree::{Committed, Worktree};
use super::{Author, CommitMessage, Error, Result};
use crate::model::ids::CommitId;

/// Repositories inside the work that an error names; the first ones show what happened.
const NESTED_SHOWN: usize = 20;

/// Repositories inside thrown-away work that are turned into plain files, one round each.
const NESTED_ROUNDS: u32 = 100;

/// The mode of an entry that names a commit of another repository.
const GITLINK: &str = "160000";

impl Worktree {
    /// Makes one commit on the base of everything in the working tree but ignored files; `None`
    /// when there is no difference. May be called again after more work; it is one commit still.
    ///
    /// Commits that the agent made on the way are squashed: the working tree decides, wherever
    /// the agent left its `HEAD`. They stay reachable as `refs/crewlog/preserved/<attempt>-agent`.
    ///
    /// # Errors
    /// There is a repository inside the work, a file cannot be read, or a filter fails.
    pub async fn commit(
        &mut self,
        message: &CommitMessage,
        author: Option<&Author>,
    ) -> Result<Option<Committed>> {
        self.keep_agents_commits().await;
        let tree = match self.stage().await {
            Ok(Some(tree)) => tree,
            Ok(None) => {
                self.notes.commit = None;
                self.message = None;
                self.note().await?;
                return Ok(None);
            }
            Err(error) => {
                if matches!(error, Error::NestedRepository { .. }) {
                    self.reset_index().await?;
                }
                return Err(error);
            }
        };
        let text = message.text();
        let commit = self.write_commit(&tree, &text, author).await?;
        self.notes.commit = Some(commit.clone());
        self.message = Some((text, author.cloned()));
        self.note().await?;
        self.present(&commit).await?;
        Ok(Some(Committed { commit, tree }))
    }

    /// Keeps the work of an attempt that is thrown away, uncommitted files included, and says
    /// under which ref. `None` when there is none. The worktree is fit only to be removed then.
    ///
    /// # Errors
    /// A file cannot be read, or git fails.
    pub async fn preserve(&mut self, reason: &str) -> Result<Option<String>> {
        self.keep_agents_commits().await;
        let there = fs::symlink_metadata(&self.places.dir);
        if there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // The agent took it away with everything in it; what was committed before is left.
            return match self.notes.commit.clone() {
                Some(commit) => self
                    .repository
                    .preserve(self.attempt, &commit)
                    .await
                    .map(Some),
                None => Ok(None),
            };
        }
        let mut rounds = 0;
        let tree = loop {
            match self.stage().await {
                Err(Error::NestedRepository { paths }) if rounds < NESTED_ROUNDS => {
                    rounds += 1;
                    // As plain files under another name, everything in them is kept.
                    for path in paths {
                        let inside = self.places.dir.join(path);
                        let plain = inside.join(format!("dot-git-{rounds}"));
                        fs::rename(inside.join(".git"), &plain)
                            .map_err(Error::io("keep a nested repository", &inside))?;
                    }
                    self.reset_index().await?;
                }
                staged => break staged?,
            }
        };
        let commit = match (tree, self.notes.commit.clone()) {
            (None, _) => return Ok(None),
            (Some(tree), Some(commit)) if self.repository.tree_of(&commit).await? == tree => commit,
            (Some(tree), _) => {
                let message = CommitMessage::new("Work that was thrown away")
                    .body(reason)
                    .attempt(self.attempt);
                self.write_commit(&tree, &message.text(), None).await?
            }
        };
        let preserved = self.repository.preserve(self.attempt, &commit).await?;
        Ok(Some(preserved))
    }

    /// A courtesy to people who look for what the agent did: without it the work is still whole,
    /// so a failure is no reason to lose the attempt.
    async fn keep_agents_commits(&self) {
        let kept = match self.agents_commit().await {
            Ok(None) => return,
            Ok(Some(commit)) => {
                let name = format!("{}-agent", self.attempt.0);
                self.repository.preserve_as(&name, &commit).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(attempt = %self.attempt, %error, "the agent's own commits are not kept");
        }
    }

    /// Brings the working tree into the index, and tells its tree if that differs from the base's.
    ///
    /// Where that fails, or what was written does not read, a power cut may have left a half of
    /// the index or of some of the same objects: they are removed, and all is written once more.
    async fn stage(&mut self) -> Result<Option<CommitId>> {
        match self.stage_once().await {
            Err(error @ Error::NestedRepository { .. }) => return Err(error),
            Ok((tree, written)) if self.repository.are_whole(&written).await? => return Ok(tree),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "once more"),
        }
        self.repository.remove_torn(&self.notes.base).await?;
        // The base's index knows nothing of the files, so that they are all read again.
        let _ = fs::remove_file(self.places.index());
        self.reset_index().await?;
        self.stage_once().await.map(|(tree, _)| tree)
    }

    /// The tree, and the ids of the contents that it does not share with the base, in lines.
    async fn stage_once(&mut self) -> Result<(Option<CommitId>, String)> {
        let call = self.call("add the work")?.args(["add", "--all"]);
        let (call, output) = call.run_keeping().await?;
        if output.code != Some(0) {
            return Err(match unborn_repository(&output.stderr) {
                Some(path) => Error::NestedRepository { paths: vec![path] },
                None => call.failed(&output),
            });
        }
        let call = self.call("write the tree")?.arg("write-tree");
        let (call, output) = call.run_keeping().await?;
        if output.code != Some(0) {
            return Err(call.failed(&output));
        }
        let tree = commit_id(&call, &output)?;
        let (mut changed, mut entries) = (false, RawEntries::default());
        let (mut gitlinks, mut written) = (Vec::new(), String::new());
        let base = self.notes.base.clone();
        self.repository
            .differences("compare with the base", "--raw", &base, &tree, |field| {
                changed = true;
                let Some(entry) = entries.field(field) else {
                    return;
                };
                match (entry.mode == GITLINK, entry.old_mode == GITLINK) {
                    (true, true) => {}
                    (true, false) => {
                        gitlinks.push(String::from_utf8_lossy(&entry.path).into_owned())
                    }
                    (false, _) if entry.mode.starts_with('1') => {
                        written.push_str(entry.id.as_str());
                        written.push('\n');
                    }
                    // It is gone.
                    (false, _) => {}
                }
            })
            .await?;
        if !gitlinks.is_empty() {
            self.refuse_undeclared(&tree, gitlinks).await?;
        }
        Ok((changed.then_some(tree), written))
    }

    /// A submodule is declared in `.gitmodules`; any other repository inside is a mishap, of
    /// which git would record a commit id that nobody can resolve.
    async fn refuse_undeclared(&self, tree: &CommitId, mut gitlinks: Vec<String>) -> Result<()> {
        let declared = self
            .repository
            .call("read .gitmodules")
            .args(["config", "-z", "--blob"])
            .arg(format!("{tree}:.gitmodules"))
            .args(["--get-regexp", "^submodule\\..*\\.path$"])
            .run()
            .await?;
        let text = String::from_utf8_lossy(&declared.stdout).into_owned();
        let paths: Vec<&str> = text
            .split('\0')
            .filter_map(|pair| Some(pair.split_once('\n')?.1))
            .collect();
        gitlinks.retain(|path| !paths.contains(&path.as_str()));
        gitlinks.truncate(NESTED_SHOWN);
        match gitlinks.is_empty() {
            true => Ok(()),
            false => Err(Error::NestedRepository { paths: gitlinks }),
        }
    }

    /// Makes the index the base's again, as after a mishap in it. The base's, not an empty one:
    /// files that are tracked although they are ignored would be missing from the next commit.
    pub(super) async fn reset_index(&mut self) -> Result<()> {
        let base = self.notes.base.clone();
        let call = self.call("reset the index")?;
        let reset = call.args(["read-tree", "--reset", base.as_str()]).ok();
        reset.await.map(drop)
    }

    pub(super) async fn write_commit(
        &self,
        tree: &CommitId,
        message: &str,
        author: Option<&Author>,
    ) -> Result<CommitId> {
        let (call, output) = self
            .repository
            .commit_call("write the commit", author)
            .args([tree.as_str(), "-p", self.notes.base.as_str()])
            .input(message)
            .run_keeping()
            .await?;
        match output.code {
            Some(0) => commit_id(&call, &output),
            _ => Err(call.failed(&output)),
        }
    }
}
