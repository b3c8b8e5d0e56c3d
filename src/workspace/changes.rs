//! What a commit changes.

use super::Result;
use super::parse::{self, Fields};
use super::repository::Repository;
use crate::model::event::MergeStarted;
use crate::model::ids::CommitId;

/// The differences between two commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first [`MergeStarted::TOUCHED_MAX`] files that differ, in git's order; a rename counts
    /// as both of its names. Bytes that are not UTF-8 are replaced.
    pub touched: Vec<String>,
    /// Number of files that differ.
    pub total: u32,
    /// Lines that were added, in text files.
    pub insertions: u64,
    /// Lines that were removed, in text files.
    pub deletions: u64,
}

impl Repository {
    /// Compares two commits; their history does not matter.
    ///
    /// # Errors
    /// One of them does not exist.
    pub async fn changes(&self, onto: &CommitId, commit: &CommitId) -> Result<Changes> {
        let mut changes = Changes::default();
        self.differences("compare two commits", "--numstat", onto, commit, |field| {
            let Some((added, deleted, path)) = parse::numstat(field) else {
                return;
            };
            changes.total = changes.total.saturating_add(1);
            changes.insertions = changes.insertions.saturating_add(added);
            changes.deletions = changes.deletions.saturating_add(deleted);
            if changes.touched.len() < MergeStarted::TOUCHED_MAX {
                let path = String::from_utf8_lossy(path);
                changes.touched.push(path.into_owned());
            }
        })
        .await?;
        Ok(changes)
    }

    /// Passes on the fields of a comparison of two trees or commits, as they arrive.
    pub(super) async fn differences(
        &self,
        doing: &'static str,
        format: &str,
        old: &CommitId,
        new: &CommitId,
        mut each: impl FnMut(&[u8]) + Send,
    ) -> Result<()> {
        let call = self
            .compare_call(doing)
            .args(["diff-tree", "-r", "-z", "--no-abbrev", "--no-renames"])
            .args(["--no-ext-diff", "--no-textconv", format])
            .args([old.as_str(), new.as_str(), "--"])
            .whole_tree();
        let mut fields = Fields::default();
        let mut sink = |bytes: &[u8]| fields.feed(bytes, &mut each);
        let (code, stderr) = call.stream(&mut sink).await?;
        match code {
            0 => Ok(()),
            _ => Err(call.stream_failed(code, stderr)),
        }
    }
}
