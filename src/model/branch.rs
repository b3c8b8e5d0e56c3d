//! What others did to the integration branch.

use serde::{Deserialize, Serialize};

use super::clip::clip_clean;
use super::ids::CommitId;

/// Commits that are named; more are counted.
pub const NAMED_MAX: usize = 20;

/// Bytes of a subject or an author that are kept.
const WORDS_BYTES_MAX: usize = 100;

/// The difference between the recorded head and the branch's present one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BranchMove {
    /// The head that was recorded.
    pub from: CommitId,
    /// The branch's present commit.
    pub to: CommitId,
    /// The newest added commits, at most [`NAMED_MAX`].
    pub added: Vec<NamedCommit>,
    /// How many came.
    pub added_total: u64,
    /// The newest lost commits, at most [`NAMED_MAX`].
    pub lost: Vec<NamedCommit>,
    /// Number of all lost commits.
    pub lost_total: u64,
    /// Merges of features that the branch no longer contains.
    pub gone: Vec<CommitId>,
}

/// A commit for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCommit {
    /// Object id of the commit.
    pub commit: CommitId,
    /// Its author's name, at most 100 bytes, without control characters.
    pub author: String,
    /// Its first line, with the same limits.
    pub subject: String,
}

impl NamedCommit {
    /// Cuts and cleans the texts, which anybody may have written.
    pub fn new(commit: CommitId, author: &str, subject: &str) -> Self {
        Self {
            commit,
            author: clip_clean(author, WORDS_BYTES_MAX),
            subject: clip_clean(subject, WORDS_BYTES_MAX),
        }
    }

    /// `1a2b3c4d by Ann: subject`.
    pub fn words(&self) -> String {
        format!(
            "{} by {}: {}",
            self.commit.short(),
            self.author,
            self.subject
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_commits_are_bounded_and_clean() {
        let commit = NamedCommit::new(CommitId::default(), "A\u{1b}nn", &"ü".repeat(99));
        assert_eq!((commit.author.as_str(), commit.subject.len()), ("Ann", 100));
    }
}
