//! A repository: commits with one parent each, and a branch.

use std::collections::BTreeMap;

use crewlog::model::ids::{AttemptId, CommitId};
use crewlog::scheduler::outside::Merged;

/// Who made a commit.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    pub pid: u32,
    pub attempt: AttemptId,
}

#[derive(Default)]
pub struct Git {
    parents: BTreeMap<CommitId, CommitId>,
    pub made: BTreeMap<CommitId, Made>,
    /// What the branch was at, one after the other; the last one is its head.
    pub history: Vec<CommitId>,
    count: u64,
}

impl Git {
    pub fn new() -> Self {
        let mut git = Self::default();
        let first = git.commit_on(&CommitId::default(), None);
        git.history.push(first);
        git
    }

    pub fn head(&self) -> CommitId {
        self.history.last().cloned().unwrap_or_default()
    }

    pub fn commit_on(&mut self, parent: &CommitId, made: Option<Made>) -> CommitId {
        self.count += 1;
        let commit: CommitId = format!("{:040x}", self.count).parse().expect("hex");
        self.parents.insert(commit.clone(), parent.clone());
        if let Some(made) = made {
            self.made.insert(commit.clone(), made);
        }
        commit
    }

    /// Somebody who knows nothing of us commits on the branch.
    pub fn outsider(&mut self) {
        let head = self.head();
        let commit = self.commit_on(&head, None);
        self.history.push(commit);
    }

    pub fn contains(&self, commit: &CommitId) -> bool {
        self.history.contains(commit)
    }

    /// Compare and swap, as `GitBranch` does it.
    pub fn merge(&mut self, onto: &CommitId, commit: &CommitId) -> Merged {
        let fits = self.parents.get(commit) == Some(onto);
        if fits && self.head() == *onto {
            self.history.push(commit.clone());
        }
        let merged = fits && self.contains(commit);
        let head = self.head();
        Merged { merged, head }
    }
}
