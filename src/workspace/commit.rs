//! Turns a working tree into one commit.

use std::fs;
use std::io;
use std::path::Path;

use super::blueprint::Filters;
use super::parse::{RawEntries, unborn_repository};
use super::places::{exists, remove_any};
use super::repository::commit_id;
use super::worktree::{Committed, Worktree};
use super::{Author, CommitMessage, Error, Result};
use crate::model::ids::CommitId;

/// Nested repositories that an error names; the first ones show what happened.
const NESTED_SHOWN: usize = 20;

/// Nested repositories in discarded work that are turned into plain files, one round each.
const NESTED_ROUNDS: u32 = 100;

/// The mode of an entry that names a commit of another repository.
const GITLINK: &str = "160000";

impl Worktree {
    /// Commits everything in the working tree except ignored files, as one commit on the base;
    /// `None` if there is no difference. May be called again after more work; the result is still
    /// one commit.
    ///
    /// Commits that the agent made are squashed: the working tree decides, wherever the agent left
    /// its `HEAD`. They stay reachable as `refs/crewlog/preserved/<attempt>-agent`.
    ///
    /// # Errors
    /// The work contains a repository, a file cannot be read, or a filter fails.
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
            Err(error) => return Err(error),
        };
        let text = message.text();
        let commit = self.write_commit(&tree, &text, author).await?;
        self.notes.commit = Some(commit.clone());
        self.message = Some((text, author.cloned()));
        self.note().await?;
        let stage = self.places.stage();
        self.present(&commit, &stage).await?;
        Ok(Some(Committed { commit, tree }))
    }

    /// Keeps the work of a discarded attempt, uncommitted files included, and returns the ref under
    /// which it is kept. `None` if there is no work. Afterwards, the worktree may only be removed.
    ///
    /// # Errors
    /// A file cannot be read, or git fails.
    pub async fn preserve(&mut self, reason: &str) -> Result<Option<String>> {
        self.keep_agents_commits().await;
        let there = fs::symlink_metadata(&self.places.dir);
        if there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // The agent deleted it with everything in it; what was committed before is left.
            return match self.notes.commit.clone() {
                Some(commit) => self
                    .repository
                    .preserve(self.attempt, &commit)
                    .await
                    .map(Some),
                None => Ok(None),
            };
        }
        let staged = match self.hung {
            true => None,
            false => Some(self.stage_without_repositories().await),
        };
        let tree = match staged {
            Some(Ok(tree)) => tree,
            Some(Err(error @ (Error::Cancelled { .. } | Error::Killed { .. }))) => {
                return Err(error);
            }
            failed => {
                if let Some(Err(error)) = failed {
                    tracing::warn!(%error, "keeping the work without running filters");
                }
                self.git_dir = self.places.private.join("salvage");
                self.make_git_dir(Filters::Off)?;
                self.stage_without_repositories().await?
            }
        };
        let commit = match (tree, self.notes.commit.clone()) {
            (None, _) => return Ok(None),
            (Some(tree), Some(commit)) if self.repository.tree_of(&commit).await? == tree => commit,
            (Some(tree), _) => {
                let message = CommitMessage::new("Discarded work")
                    .body(reason)
                    .attempt(self.attempt);
                self.write_commit(&tree, &message.text(), None).await?
            }
        };
        let preserved = self.repository.preserve(self.attempt, &commit).await?;
        Ok(Some(preserved))
    }

    /// Like [`stage`](Self::stage), with nested repositories as plain files under another name, so
    /// that everything in them is kept.
    async fn stage_without_repositories(&mut self) -> Result<Option<CommitId>> {
        for round in 1..=NESTED_ROUNDS {
            let paths = match self.stage().await {
                Err(Error::NestedRepository { paths }) => paths,
                staged => return staged,
            };
            for path in paths {
                let inside = self.places.dir.join(path);
                let plain = inside.join(format!("dot-git-{round}"));
                fs::rename(inside.join(".git"), &plain)
                    .map_err(Error::io("keep a nested repository", &inside))?;
            }
        }
        self.stage().await
    }

    /// Stages the working tree into an index, and returns its tree if that differs from the base's.
    ///
    /// If that fails, or what was written cannot be read, a power cut may have left half of the
    /// index or of some of the same objects: they are removed, and everything is written again.
    async fn stage(&mut self) -> Result<Option<CommitId>> {
        match self.stage_once(false).await {
            Err(error @ (Error::TimeLimit { .. } | Error::Cancelled { .. })) => {
                self.hung = true;
                return Err(error);
            }
            Err(
                error @ (Error::NestedRepository { .. }
                | Error::Submodule { .. }
                | Error::Killed { .. }),
            ) => return Err(error),
            Ok((tree, written)) if self.repository.are_whole(&written).await? => return Ok(tree),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "once more"),
        }
        self.repository.remove_torn(&self.notes.base).await?;
        self.stage_once(true).await.map(|(tree, _)| tree)
    }

    /// The tree, and the ids of the contents that it does not share with the base, one per line.
    /// `afresh` reads every file again, whatever the index says.
    async fn stage_once(&mut self, afresh: bool) -> Result<(Option<CommitId>, String)> {
        let (index, stage) = (self.places.index(), self.places.stage());
        remove_any(&stage).map_err(Error::io("add the work", &stage))?;
        if afresh || !exists(&index) {
            // Starts from the base's index: with an empty one, files that are tracked although they
            // are ignored would be missing from the next commit.
            let base = self.notes.base.clone();
            let call = self.call("add the work", &stage)?;
            call.args(["read-tree", base.as_str()]).ok().await?;
        } else {
            fs::copy(&index, &stage).map_err(Error::io("add the work", &stage))?;
        }
        let modules = self.hide_modules(&stage).await?;
        let added = self.add_all(&stage).await;
        self.show_modules(&modules)?;
        added?;
        let salvaging = self.git_dir != self.places.git_dir();
        if !salvaging {
            self.record_modules(&modules, &stage).await?;
        }
        let call = self.call("write the tree", &stage)?.arg("write-tree");
        let (call, output) = call.run_keeping().await?;
        if output.code != 0 {
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
                        let path = String::from_utf8_lossy(&entry.path).into_owned();
                        gitlinks.push((path, entry.id));
                    }
                    (false, _) if entry.mode.starts_with('1') => {
                        written.push_str(entry.id.as_str());
                        written.push('\n');
                    }
                    // The index does not exist.
                    (false, _) => {}
                }
            })
            .await?;
        if !gitlinks.is_empty() {
            let paths = gitlinks.iter().map(|(path, _)| path.clone());
            self.refuse_undeclared(&tree, paths.collect()).await?;
        }
        for (path, id) in gitlinks.iter().filter(|_| !salvaging) {
            let main = self.main_module(path.as_ref(), &stage).await?;
            let theirs = self.git_dir_of(path.as_ref());
            self.carry(path, id, main.as_deref(), &theirs).await?;
        }
        Ok((changed.then_some(tree), written))
    }

    async fn add_all(&mut self, stage: &Path) -> Result<()> {
        let call = self.call("add the work", stage)?;
        // It prints each file, which shows that it is alive.
        let call = call.args(["add", "--all", "--verbose"]);
        let (code, complaint) = call.stream(&mut |_| {}).await?;
        match (code, unborn_repository(&complaint)) {
            (0, _) => Ok(()),
            (_, Some(path)) => Err(Error::NestedRepository { paths: vec![path] }),
            (_, None) => Err(call.stream_failed(code, complaint)),
        }
    }

    /// A submodule is declared in `.gitmodules`. Any other nested repository is a mistake: git
    /// would record a commit id that nobody can resolve.
    async fn refuse_undeclared(&self, tree: &CommitId, mut gitlinks: Vec<String>) -> Result<()> {
        let declared = self
            .object_call("read .gitmodules")
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

    pub(super) async fn write_commit(
        &self,
        tree: &CommitId,
        message: &str,
        author: Option<&Author>,
    ) -> Result<CommitId> {
        let call = self.object_call("write the commit");
        let (call, output) = self
            .repository
            .with_identity(call, author)
            .args(["commit-tree", tree.as_str()])
            .args(["-p", self.notes.base.as_str()])
            .input(message)
            .run_keeping()
            .await?;
        match output.code {
            0 => commit_id(&call, &output),
            _ => Err(call.failed(&output)),
        }
    }
}
