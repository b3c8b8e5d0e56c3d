//! Removes objects that a power cut left half-written.
//!
//! Our own git calls sync the objects that they write. An agent's git and the user's do not: after
//! a power cut, an object of theirs may exist by name and be empty or torn. git believes that it
//! exists, so the same work could never be committed again.

use std::fs;
use std::path::PathBuf;

use super::Result;
use super::blocking::blocking;
use super::repository::Repository;
use crate::model::ids::CommitId;

/// How `git fsck` ends a line about a file whose contents do not match its name.
const SIGN: &str = ": object corrupt or missing: ";

impl Repository {
    /// Whether each of these objects, one per line, can be read completely.
    ///
    /// # Errors
    /// git cannot be started.
    pub(super) async fn are_whole(&self, ids: &str) -> Result<bool> {
        if ids.is_empty() {
            return Ok(true);
        }
        let call = self
            .call("read what was written")
            .args(["cat-file", "--batch", "--buffer"])
            .input(ids)
            .whole_tree();
        let (code, complaint) = call.stream(&mut |_| {}).await?;
        Ok(code == 0 && complaint.is_empty())
    }

    /// Removes loose objects that git cannot read, so that they are written again. A file that the
    /// *disk* cannot read is left alone. Checks every loose object, so call it only after a
    /// failure.
    ///
    /// # Errors
    /// git cannot be started, or a file cannot be removed.
    pub(super) async fn remove_torn(&self, base: &CommitId) -> Result<()> {
        let checked = self
            .compare_call("search for damaged objects")
            .args(["fsck", "--no-full", "--no-dangling", "--no-reflogs"])
            .args(["--no-progress"])
            // With a starting point, it does not go through the whole history.
            .arg(format!("{base}^{{tree}}"))
            .whole_tree()
            .run()
            .await?;
        let torn = checked.stderr.lines().filter_map(|line| {
            let (id, _) = line.strip_prefix("error: ")?.split_once(SIGN)?;
            let hex = id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let (fan, name) = id.split_at_checked(2).filter(|_| hex)?;
            Some(PathBuf::from(fan).join(name))
        });
        let torn: Vec<PathBuf> = torn.collect();
        let dir = self.common_dir().join("objects");
        blocking("remove a damaged object", dir, move |dir| {
            for name in &torn {
                let file = dir.join(name);
                if fs::read(&file).is_ok() {
                    tracing::warn!(file = %file.display(), "removing an incomplete object");
                    fs::remove_file(&file)?;
                }
            }
            Ok(())
        })
        .await
    }
}
