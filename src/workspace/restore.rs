//! Resets the working tree to a commit.

use std::fs;
use std::path::{Path, PathBuf};

use super::Result;
use super::blocking::blocking;
use super::places::remove_any;
use super::worktree::Worktree;
use crate::model::ids::CommitId;

/// What happens to ignored files when the working tree is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored<'a> {
    /// They stay, and so does what is in submodules. A check may pass because of one of them, which
    /// only the next test in a fresh worktree reveals.
    Keep,
    /// They are removed, and submodules are emptied, as in a fresh working tree, except these
    /// patterns, which are written as in `.gitignore`.
    RemoveBut(&'a [String]),
}

impl Worktree {
    /// Resets the working tree to a commit: what differs is overwritten, untracked files are
    /// removed. Only our own checkouts write what the index knows of a file, so every file that the
    /// agent or a check has touched is written again, through the person's filters, as a clone
    /// would get it.
    pub(super) async fn restore(&mut self, commit: &CommitId, ignored: Ignored<'_>) -> Result<()> {
        self.check_out(commit).await?;
        let Ignored::RemoveBut(kept) = ignored else {
            return self.clean(&["-ffdq"], &[]).await;
        };
        if !kept.is_empty() {
            // A call of its own, because the patterns would also keep files that are not ignored.
            self.clean(&["-ffdq"], &[]).await?;
        }
        self.clean(&["-ffdxq"], kept).await?;
        self.empty_submodules().await
    }

    pub(super) async fn check_out(&mut self, commit: &CommitId) -> Result<()> {
        let index = self.places.index();
        let call = self.call("check out the commit", &index)?;
        // Its progress shows that it is alive.
        let call = call.args(["read-tree", "--reset", "-u", "-v", commit.as_str()]);
        call.ok().await.map(drop)
    }

    /// Twice -f: also repositories that a check created inside.
    async fn clean(&mut self, options: &[&str], kept: &[String]) -> Result<()> {
        let index = self.places.index();
        let call = self.call("remove untracked files", &index)?;
        let kept = kept.iter().map(|pattern| format!("--exclude={pattern}"));
        let call = call.arg("clean").args(options).args(kept);
        call.ok().await.map(drop)
    }

    /// A fresh worktree does not check out submodules; `git clean` leaves their contents.
    async fn empty_submodules(&mut self) -> Result<()> {
        let index = self.places.index();
        let links = self.gitlinks(&index).await?;
        let paths: Vec<PathBuf> = links.into_iter().map(|(path, _)| path).collect();
        if paths.is_empty() {
            return Ok(());
        }
        let top = self.path().to_owned();
        blocking("empty the submodules", top, move |top| {
            let inside = paths.iter().filter(|path| is_inside(top, path));
            inside.map(|path| top.join(path)).try_for_each(|dir| {
                remove_any(&dir)?;
                fs::create_dir_all(&dir)
            })
        })
        .await
    }
}

/// Whether a path of the index stays inside: a link in it may lead to other files.
pub(super) fn is_inside(top: &Path, path: &Path) -> bool {
    let plain = |part| matches!(part, std::path::Component::Normal(_));
    let above = path.ancestors().skip(1);
    let mut above = above.filter(|above| !above.as_os_str().is_empty());
    path.components().all(plain)
        && above.all(|dir| fs::symlink_metadata(top.join(dir)).is_ok_and(|meta| meta.is_dir()))
}
