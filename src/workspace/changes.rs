//! What a commit changes.

use super::repository::Repository;
use super::{Error, Result};
use crate::model::event::MergeStarted;
use crate::model::ids::CommitId;

/// What lies between two commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first [`MergeStarted::TOUCHED_MAX`] files that differ, in git's order; a rename is both
    /// of its names. Bytes that are not UTF-8 are replaced.
    pub touched: Vec<String>,
    /// How many files differ.
    pub total: u32,
    /// Lines that were added, in text files.
    pub insertions: u64,
    /// Lines that were taken away, in text files.
    pub deletions: u64,
}

impl Repository {
    /// Compares two commits, whatever lies between them in history.
    ///
    /// # Errors
    /// One of them does not exist.
    pub async fn changes(&self, onto: &CommitId, commit: &CommitId) -> Result<Changes> {
        let mut changes = Changes::default();
        self.differences("compare two commits", "--numstat", onto, commit, |field| {
            let text = String::from_utf8_lossy(field);
            let mut parts = text.splitn(3, '\t');
            let (Some(added), Some(deleted), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return;
            };
            changes.total = changes.total.saturating_add(1);
            // A binary file's numbers are dashes.
            changes.insertions += added.parse().unwrap_or(0);
            changes.deletions += deleted.parse().unwrap_or(0);
            if changes.touched.len() < MergeStarted::TOUCHED_MAX {
                changes.touched.push(path.to_owned());
            }
        })
        .await?;
        Ok(changes)
    }

    /// Hands on the fields of a comparison of two trees or commits, as they come.
    pub(super) async fn differences(
        &self,
        doing: &'static str,
        format: &str,
        old: &CommitId,
        new: &CommitId,
        mut each: impl FnMut(&[u8]) + Send,
    ) -> Result<()> {
        let call = self
            .call(doing)
            .args(["diff-tree", "-r", "-z", "--no-abbrev", "--no-renames"])
            .args(["--no-ext-diff", "--no-textconv", format])
            .args([old.as_str(), new.as_str(), "--"])
            .whole_tree();
        let mut fields = Fields::default();
        let mut sink = |bytes: &[u8]| fields.feed(bytes, &mut each);
        let (status, stderr) = call.stream(&mut sink).await?;
        match status.success() {
            true => Ok(()),
            false => Err(stream_failed(&call, status, stderr)),
        }
    }
}

pub(super) fn stream_failed(
    call: &super::git::Call,
    status: std::process::ExitStatus,
    stderr: String,
) -> Error {
    call.failed(&super::git::Output {
        code: status.code(),
        stdout: Vec::new(),
        stderr,
    })
}

/// Cuts a stream into its NUL-terminated fields. A field is a path and a few words.
#[derive(Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut (dyn FnMut(&[u8]) + Send)) {
        let mut parts = bytes.split(|byte| *byte == 0);
        let first = parts.next().unwrap_or_default();
        self.0.extend_from_slice(first);
        for part in parts {
            each(&self.0);
            self.0.clear();
            self.0.extend_from_slice(part);
        }
    }
}
