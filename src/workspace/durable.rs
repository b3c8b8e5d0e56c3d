//! Makes commits and refs durable.
//!
//! Our own git calls sync what they write, but git never syncs directories, nor what an agent's own
//! git wrote before. Without this module, the log could record a pass whose commit a power cut has
//! destroyed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::blocking::blocking;
use super::parse::CommitObjects;
use super::repository::Repository;
use super::{Error, Result};
use crate::model::ids::CommitId;

/// Each file costs a system call or two. Above this number it is cheaper to sync the file system.
const FILES_MAX: usize = 5_000;

impl Repository {
    /// Syncs `commit` and every object that it adds to `onto`.
    ///
    /// # Errors
    /// The commit's only parent is not `onto`, or the disk fails.
    pub(super) async fn sync_commit(&self, onto: &CommitId, commit: &CommitId) -> Result<()> {
        let objects = self.new_objects(onto, commit).await?;
        self.sync_objects(objects).await
    }

    /// Syncs `commit` and everything that it reaches and no branch does, whoever created it.
    ///
    /// # Errors
    /// Some of it is missing, or the disk fails.
    pub(super) async fn sync_history(&self, commit: &CommitId) -> Result<()> {
        let call = self
            .call("list what the commit brings")
            .args(["rev-list", "--objects", commit.as_str()])
            .args(["--not", "--branches"]);
        let listed = call.ok().await?.text();
        // A path may follow the id.
        let ids = listed.lines().filter_map(|line| line.split(' ').next());
        let objects = ids.chain([commit.as_str()]).map(str::to_owned).collect();
        self.sync_objects(objects).await
    }

    async fn sync_objects(&self, objects: BTreeSet<String>) -> Result<()> {
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
                // An object that is not loose is in a pack, which git does sync.
                if sync_if_there(&fan.join(name))? {
                    dirs.insert(fan);
                }
            }
            dirs.iter().try_for_each(|dir| sync_if_there(dir).map(drop))
        })
        .await
    }

    /// Syncs the repository as its user left it, before something of ours builds on it: loose
    /// objects and refs, which git does not sync, and the few files that make it a repository.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) async fn sync_all(&self) -> Result<()> {
        let dir = self.common_dir().to_owned();
        blocking("sync the repository", dir, move |dir| {
            let mut files: Vec<PathBuf> = ["HEAD", "config", "packed-refs"]
                .map(|name| dir.join(name))
                .into();
            let mut dirs = vec![dir.join("objects/pack"), dir.to_owned()];
            let mut unseen = vec![dir.join("refs"), dir.join("objects")];
            while let Some(dir) = unseen.pop() {
                for entry in std::fs::read_dir(&dir)? {
                    let entry = entry?;
                    // Packs are synced by git, and are large.
                    let pack = entry.file_name() == "pack" && dir.ends_with("objects");
                    match entry.file_type()?.is_dir() {
                        true if pack => {}
                        true => unseen.push(entry.path()),
                        false => files.push(entry.path()),
                    }
                }
                dirs.push(dir);
            }
            if files.len() > FILES_MAX {
                return Ok(rustix::fs::syncfs(File::open(dir)?)?);
            }
            dirs.extend(dir.parent().map(Path::to_owned));
            files.extend(dirs);
            files
                .iter()
                .try_for_each(|file| sync_if_there(file).map(drop))
        })
        .await
    }

    /// The commit and the trees and blobs that differ from its parent's. The work is in proportion
    /// to the change, not to the tree.
    pub(super) async fn new_objects(
        &self,
        onto: &CommitId,
        commit: &CommitId,
    ) -> Result<BTreeSet<String>> {
        let call = self
            .compare_call("list what the commit brings")
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
        let (code, complaint) = call
            .stream(&mut |bytes| reader.feed(bytes, &mut note))
            .await?;
        if code != 0 {
            return Err(call.stream_failed(code, complaint));
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

    /// Syncs a ref and its directories, for every way of storing refs.
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

/// False if the file does not exist.
fn sync_if_there(path: &Path) -> io::Result<bool> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        // If refs are stored in tables, a file is where the directory of branches would be.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
