//! A repository: commits with one parent each, and a branch. It knows the truth about features,
//! which checks find out and agents only claim.

use std::collections::BTreeMap;

use crate::model::ids::{AttemptId, CommitId, FeatureId};
use crate::scheduler::ports::Merged;

/// Who made a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The process, by the world's number.
    pub who: u64,
    pub attempt: AttemptId,
}

/// What a commit changes.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Features that work from here on.
    pub does: Vec<FeatureId>,
    /// Features that no longer do.
    pub breaks: Vec<FeatureId>,
}

#[derive(Clone, Debug)]
struct Commit {
    parent: Option<CommitId>,
    made: Option<Made>,
    change: Change,
}

#[derive(Clone, Debug, Default)]
pub struct Git {
    commits: BTreeMap<CommitId, Commit>,
    /// The branch from its first commit on; the last one is its head.
    pub history: Vec<CommitId>,
    /// The branch was set back, and nobody has been told of it yet.
    pub unnoticed: bool,
}

impl Git {
    pub fn new() -> Self {
        let mut git = Self::default();
        let first = git.commit(None, None, Change::default());
        git.history.push(first);
        git
    }

    pub fn head(&self) -> CommitId {
        self.history.last().cloned().unwrap_or_default()
    }

    fn commit(&mut self, parent: Option<CommitId>, made: Option<Made>, change: Change) -> CommitId {
        let number = self.commits.len() + 1;
        let commit: CommitId = format!("{number:040x}").parse().expect("hex");
        let new = Commit {
            parent,
            made,
            change,
        };
        self.commits.insert(commit.clone(), new);
        commit
    }

    pub fn commit_on(&mut self, parent: &CommitId, made: Made, change: Change) -> CommitId {
        self.commit(Some(parent.clone()), Some(made), change)
    }

    pub fn made(&self, commit: &CommitId) -> Option<Made> {
        self.commits.get(commit)?.made
    }

    /// Somebody who knows nothing of us commits on the branch.
    pub fn outsider(&mut self, breaks: Vec<FeatureId>) -> CommitId {
        let change = Change {
            breaks,
            ..Change::default()
        };
        let commit = self.commit(Some(self.head()), None, change);
        self.history.push(commit.clone());
        commit
    }

    /// Somebody sets the branch back by at most so many commits. What it has no longer.
    pub fn rewind(&mut self, commits: usize) -> Vec<CommitId> {
        let keep = self.history.len().saturating_sub(commits).max(1);
        let lost = self.history.split_off(keep);
        self.unnoticed |= !lost.is_empty();
        lost
    }

    /// How many commits lead to this one from the branch's first.
    pub fn ancestry(&self, commit: &CommitId) -> Vec<CommitId> {
        let above = |at: &CommitId| self.commits.get(at).and_then(|it| it.parent.clone());
        std::iter::successors(Some(commit.clone()), above).collect()
    }

    pub fn contains(&self, commit: &CommitId) -> bool {
        self.history.contains(commit)
    }

    /// Whether a feature works in the tree of a commit.
    pub fn works(&self, commit: &CommitId, feature: FeatureId) -> bool {
        let mut at = self.commits.get(commit);
        while let Some(commit) = at {
            if commit.change.breaks.contains(&feature) {
                return false;
            }
            if commit.change.does.contains(&feature) {
                return true;
            }
            at = commit.parent.as_ref().and_then(|up| self.commits.get(up));
        }
        false
    }

    /// Compare and swap, as `GitBranch` does it. True in the second place when the branch moved.
    pub fn merge(&mut self, onto: &CommitId, commit: &CommitId) -> (Merged, bool) {
        let parent = self.commits.get(commit).and_then(|it| it.parent.as_ref());
        let moves = parent == Some(onto) && self.head() == *onto && commit != onto;
        if moves {
            self.history.push(commit.clone());
        }
        let merged = self.contains(commit);
        let head = self.head();
        (Merged { merged, head }, moves)
    }
}
