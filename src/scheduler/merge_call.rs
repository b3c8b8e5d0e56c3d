//! The question that git is asked about the open merge, until it answers.
//!
//! The proof of a merge is durable before git is asked, so the merge must end one way or the
//! other. git may fail at it: the disk is full, a lock is held, somebody has the branch checked
//! out, or a git of an earlier scheduler is still on its way.

use crate::model::ids::{AttemptId, CommitId};
use crate::scheduler::ports::Merged;

/// How long to wait before git is asked again after it failed: its own locks are held for
/// milliseconds, a full disk for as long as a person needs.
pub const GIT_AGAIN_MS: u64 = 2_000;

/// Failures of git in a row after which the branch is looked at: if it is where the commit should
/// stand, the merge has not happened, and the attempt is told. Ten seconds are longer than any
/// lock of git's is held, and shorter than a person's patience.
pub const GIT_TRIES: u32 = 6;

/// Failures in a row after which the scheduler ends, because nothing can be merged: two minutes.
pub const GIT_TRIES_MAX: u32 = 60;

/// How often a branch that is checked out is looked at.
pub const HELD_LOOK_MS: u64 = 1_000;

/// What follows when git was asked to merge and failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Ask it again, when [`MergeCall::again_ms`] says.
    Again,
    /// It has not happened, and is not going to.
    Answer(Merged),
    /// Nothing can be merged here.
    GiveUp,
}

/// The open merge as git is asked about it.
#[derive(Clone, Debug)]
pub struct MergeCall {
    /// Whose merge it is.
    pub attempt: AttemptId,
    /// Failures in a row.
    failures: u32,
    /// When git is asked next, in monotonic milliseconds; none while it is at work.
    again_ms: Option<u64>,
    /// Since when the branch is checked out, in monotonic milliseconds.
    held_since_ms: Option<u64>,
}

impl MergeCall {
    /// A call that is made now.
    pub fn new(attempt: AttemptId) -> Self {
        Self {
            attempt,
            failures: 0,
            again_ms: None,
            held_since_ms: None,
        }
    }

    /// When git is asked next, in monotonic milliseconds; none while it is at work.
    pub fn again_ms(&self) -> Option<u64> {
        self.again_ms
    }

    /// Whether git is to be asked again now; it is at work then.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        self.again_ms.take_if(|at| *at <= now_ms).is_some()
    }

    /// git has failed to put a commit on `onto`. A git that fails may have done its work before:
    /// only where the branch is says so. `head` is that, where it can be read and no git is on its
    /// way any more.
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

    /// Somebody has the branch checked out. It is waited for, `wait_ms` at most; 0 is no limit.
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
        // It cannot be read, or is elsewhere and may contain the commit: only git can tell.
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
        // It is where the commit should stand: it has not moved.
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
        // Free in between: the time begins anew.
        let again = call.failed(3_000, None, &commit("a"));
        assert_eq!(again, AfterFailure::Again);
        assert_eq!(call.checked_out(4_000, 2_500), AfterFailure::Again);
        let mut call = MergeCall::new(AttemptId(7));
        assert_eq!(call.checked_out(0, 0), AfterFailure::Again);
        assert_eq!(call.checked_out(u64::MAX, 0), AfterFailure::Again);
    }
}
