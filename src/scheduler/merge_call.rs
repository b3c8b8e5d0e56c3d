//! How often git is asked about the open merge, until it answers.
//!
//! The merge is recorded before git is asked, so it must end one way or the other. git may fail:
//! the disk is full, a lock is held, the branch is checked out, or a git of an earlier scheduler is
//! still running.

use crate::model::ids::{AttemptId, CommitId};
use crate::scheduler::ports::Merged;

/// Waits before git is asked again after a failure. Its own locks are held for milliseconds; a full
/// disk needs a person.
pub const GIT_AGAIN_MS: u64 = 2_000;

/// Consecutive failures after which the scheduler reads the branch. If the branch has not moved,
/// the merge has not happened, and the attempt gets that answer. Together the waits are ten
/// seconds, longer than git holds a lock.
pub const GIT_TRIES: u32 = 6;

/// Consecutive failures, about two minutes, after which the scheduler ends because nothing can be
/// merged.
pub const GIT_TRIES_MAX: u32 = 60;

/// Interval of looking at a branch that is checked out.
pub const HELD_LOOK_MS: u64 = 1_000;

/// What to do after git failed to merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Ask again at [`MergeCall::again_ms`].
    Again,
    /// The merge has not happened and will not.
    Answer(Merged),
    /// Nothing can be merged here: end the run.
    GiveUp,
}

/// The open merge, while git is asked about it.
#[derive(Clone, Debug)]
pub struct MergeCall {
    /// The attempt whose merge it is.
    pub attempt: AttemptId,
    /// Consecutive failures of git.
    failures: u32,
    /// When git is asked next, in monotonic milliseconds; `None` while it works.
    again_ms: Option<u64>,
    /// Since when the branch is checked out, in monotonic milliseconds.
    held_since_ms: Option<u64>,
}

impl MergeCall {
    /// A call that starts now.
    pub fn new(attempt: AttemptId) -> Self {
        Self {
            attempt,
            failures: 0,
            again_ms: None,
            held_since_ms: None,
        }
    }

    /// When git is asked next, in monotonic milliseconds; `None` while it works.
    pub fn again_ms(&self) -> Option<u64> {
        self.again_ms
    }

    /// Whether to ask git again now. If so, it counts as working.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        self.again_ms.take_if(|at| *at <= now_ms).is_some()
    }

    /// git has failed to put a commit on `onto`. It may have moved the branch before it failed, so
    /// only the branch can tell. `head` is the branch's commit, if it could be read and no git is
    /// running any more.
    pub fn failed(&mut self, now_ms: u64, head: Option<CommitId>, onto: &CommitId) -> AfterFailure {
        if planted!(FailedGitBelieved) {
            let head = onto.clone();
            return AfterFailure::Answer(Merged { merged: true, head });
        }
        self.failures += 1;
        self.held_since_ms = None;
        if self.failures >= GIT_TRIES_MAX {
            return AfterFailure::GiveUp;
        }
        let refused = head.filter(|head| self.failures >= GIT_TRIES && head == onto);
        if let Some(head) = refused {
            let merged = false;
            return AfterFailure::Answer(Merged { merged, head });
        }
        self.again_ms = Some(now_ms.saturating_add(GIT_AGAIN_MS));
        AfterFailure::Again
    }

    /// The branch is checked out. Waits for `wait_ms` at most; 0 waits forever.
    pub fn checked_out(&mut self, now_ms: u64, wait_ms: u64) -> AfterFailure {
        let since = *self.held_since_ms.get_or_insert(now_ms);
        if wait_ms > 0 && now_ms.saturating_sub(since) >= wait_ms {
            return AfterFailure::GiveUp;
        }
        let look = match wait_ms {
            0 => HELD_LOOK_MS,
            wait => wait.min(HELD_LOOK_MS),
        };
        self.again_ms = Some(now_ms.saturating_add(look));
        AfterFailure::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: &str) -> CommitId {
        digit.repeat(40).parse().expect("hex")
    }

    #[test]
    fn git_is_asked_again_until_the_branch_is_known_to_be_where_it_was() {
        let (onto, other) = (commit("a"), commit("c"));
        // It cannot be read, or it moved and may contain the commit: only git can tell.
        for head in [None, Some(other)] {
            let mut call = MergeCall::new(AttemptId(7));
            for failure in 1..GIT_TRIES_MAX {
                let now = u64::from(failure) * 10_000;
                let after = call.failed(now, head.clone(), &onto);
                assert_eq!(after, AfterFailure::Again, "{failure}");
                assert_eq!(call.again_ms(), Some(now + GIT_AGAIN_MS));
                assert!(!call.is_due(now + GIT_AGAIN_MS - 1));
                assert!(call.is_due(now + GIT_AGAIN_MS));
                assert!(!call.is_due(now + GIT_AGAIN_MS), "it is asked once");
            }
            assert_eq!(call.failed(0, head, &onto), AfterFailure::GiveUp);
        }
        let mut call = MergeCall::new(AttemptId(7));
        for _ in 1..GIT_TRIES {
            let after = call.failed(0, Some(onto.clone()), &onto);
            assert_eq!(after, AfterFailure::Again);
        }
        // It has not moved.
        let (merged, head) = (false, onto.clone());
        let answer = AfterFailure::Answer(Merged { merged, head });
        assert_eq!(call.failed(0, Some(onto.clone()), &onto), answer);
    }

    #[test]
    fn a_branch_that_is_checked_out_is_waited_for_within_the_limit() {
        let mut call = MergeCall::new(AttemptId(7));
        assert_eq!(call.checked_out(500, 2_500), AfterFailure::Again);
        assert_eq!(call.again_ms(), Some(1_500));
        assert_eq!(call.checked_out(2_999, 2_500), AfterFailure::Again);
        assert_eq!(call.checked_out(3_000, 2_500), AfterFailure::GiveUp);
        // The branch was free in between, so the time starts again.
        let again = call.failed(3_000, None, &commit("a"));
        assert_eq!(again, AfterFailure::Again);
        assert_eq!(call.checked_out(4_000, 2_500), AfterFailure::Again);
        let mut call = MergeCall::new(AttemptId(7));
        assert_eq!(call.checked_out(0, 0), AfterFailure::Again);
        assert_eq!(call.checked_out(u64::MAX, 0), AfterFailure::Again);
    }
}
