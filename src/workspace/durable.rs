//! Bringing a commit and a ref to the disk.
//!
//! What our own calls of git write, git syncs, because it is told to; but it never syncs the
//! directories, nor what an agent's own git has written before. After a power cut the log would
//! speak of a pass whose commit is gone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::answers::CommitObjects;
use super::repository::Repository;
use super::{Error, Result};
use crate::model::ids::CommitId;

/// Each file costs a system call or two. Beyond so many it is cheaper to sync the file system.
const FILES_MAX: usize = 5_000;

impl Repository {
    /// Syncs `commit` and every object that it adds to `onto`.
    ///
    /// # Errors
    /// The commit's only parent is not `onto`, or the disk fails.
    pub(super) async fn sync_commit(&self, onto: &CommitId, commit: &CommitId) -> Result<()> {
        let objects = self.new_objects(onto, commit).await?;
        let dir = self.common_dir().join("objects");
        blocking("sync the commit", dir, move |dir| {
            if objects.len() > FILES_MAX {
                return Ok(rustix::fs::syncfs(File::open(dir)?)?);
            }
            let mut dirs = BTreeSet::from([dir.to_owned()]);
            for object in &objects {
                let Some((fan, name)) = object.split_at_checked(2) else {
                    continue;
                };
                let fan = dir.join(fan);
                // An object that is not loose is in a pack, which git does sync, by itself.
                dirs.insert(match sync_if_there(&fan.join(name))? {
                    true => fan,
                    false => dir.join("pack"),
                });
            }
            dirs.iter().try_for_each(|dir| sync_if_there(dir).map(drop))
        })
        .await
    }

    /// The commit and the trees and blobs that differ from its parent's; work in proportion to
    /// the change, not to the tree.
    pub(super) async fn new_objects(
        &self,
        onto: &CommitId,
        commit: &CommitId,
    ) -> Result<BTreeSet<String>> {
        let call = self
            .call("list what the commit brings")
            .args(["diff-tree", "-r", "-t", "-z", "--raw", "--no-abbrev"])
            .args(["--no-renames", "--no-ext-diff", "--root", "--always"])
            .args(["--pretty=format:%T %P"])
            .arg(commit.as_str())
            .arg("--");
        let mut objects = BTreeSet::from([commit.as_str().to_owned()]);
        let mut reader = CommitObjects::default();
        let mut note = |id: CommitId| {
            objects.insert(id.to_string());
        };
        let (status, complaint) = call
            .stream(&mut |bytes| reader.feed(bytes, &mut note))
            .await?;
        if !status.success() {
            return Err(call.failed(&super::git::Output {
                code: status.code(),
                stdout: Vec::new(),
                stderr: complaint,
            }));
        }
        // A commit that changes nothing prints its header without an end.
        reader.feed(b"\0", &mut note);
        match reader.parents() {
            Some(parents) if parents == onto.as_str() => Ok(objects),
            _ => Err(Error::NotOnHead {
                commit: commit.to_string(),
                onto: onto.to_string(),
            }),
        }
    }

    /// Syncs a ref and the directories that it lies in, whichever way refs are stored.
    pub(super) async fn sync_ref(&self, reference: &str) -> Result<()> {
        let common_dir = self.common_dir().to_owned();
        let file = common_dir.join(reference);
        blocking("sync the branch", file, move |file| {
            sync_if_there(file)?;
            let ours = file.ancestors().skip(1);
            for dir in ours.take_while(|dir| *dir != common_dir) {
                sync_if_there(dir)?;
            }
            let tables = common_dir.join("reftable");
            if let Ok(entries) = std::fs::read_dir(&tables) {
                for entry in entries {
                    sync_if_there(&entry?.path())?;
                }
                sync_if_there(&tables)?;
            }
            Ok(())
        })
        .await
    }
}

/// False when there is no such file.
fn sync_if_there(path: &Path) -> io::Result<bool> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        // Where refs are stored in tables, a file is where the directory of branches would be.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

/// Does disk work on a path where it may wait.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let name = path.clone();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    let result = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map_err(Error::io(doing, &name))
}

#[cfg(test)]
mod tests;
