//! The open merge: asks git until it answers, and answers the attempt's worker.

use super::report::failed;
use super::{Effect, Ending, Machine, Now};
use crate::model::command::Command;
use crate::model::end_reason::EndReason;
use crate::model::ids::{AttemptId, CommandId, CommitId, WorkerId};
use crate::protocol::{SchedulerMessage, Verdict};
use crate::scheduler::merge_call::{AfterFailure, MergeCall};
use crate::scheduler::merging::{Merging, REFUSALS_MAX};
use crate::scheduler::ports::{GitFailure, Merged};

/// Finished work on its way to the branch.
#[derive(Debug, Default)]
pub(super) struct Merges {
    /// Reports that wait, and which attempt has the turn.
    pub queue: Merging,
    /// The merge that git is asked about.
    call: Option<MergeCall>,
    /// Moves of the branch that git was asked to explain.
    pub explaining: u32,
}

impl Merges {
    /// When git is asked again, in monotonic milliseconds.
    pub fn again_ms(&self) -> Option<u64> {
        self.call.as_ref()?.again_ms()
    }

    /// Whether to ask git about this attempt's merge now.
    fn is_due(&mut self, attempt: AttemptId, now_ms: u64) -> bool {
        match &mut self.call {
            Some(call) if call.attempt == attempt => call.is_due(now_ms),
            other => {
                *other = Some(MergeCall::new(attempt));
                true
            }
        }
    }
}

impl Machine {
    /// Asks git about the open merge: once, and again after a failure and a wait.
    pub(super) fn ask_git(&mut self, now: Now) {
        let Some(merge) = self.core.state().open_merge() else {
            return;
        };
        let attempt = merge.attempt;
        if self.merges.is_due(attempt, now.mono_ms) {
            self.effects.push(Effect::Merge {
                attempt,
                onto: merge.onto.clone(),
                commit: merge.commit.clone(),
            });
        }
    }

    /// git could not move the branch.
    pub(super) fn git_failed(&mut self, now: Now, attempt: AttemptId, failure: GitFailure) {
        let merge = self.core.state().open_merge();
        let merge = merge.filter(|merge| merge.attempt == attempt);
        let (Some(merge), Some(call)) = (merge, &mut self.merges.call) else {
            tracing::error!(%attempt, "git failed at a call that was not made");
            return;
        };
        let (after, held) = match failure {
            GitFailure::Failed { head } => (call.failed(now.mono_ms, head, &merge.onto), None),
            GitFailure::CheckedOut { at } => {
                let wait_ms = self.core.state().settings.worker_wait_ms;
                (call.checked_out(now.mono_ms, wait_ms), Some(at))
            }
        };
        self.held(now, held);
        match after {
            AfterFailure::Again => {}
            AfterFailure::Answer(merged) => self.merged(now, attempt, &merged),
            AfterFailure::GiveUp => {
                self.stop_now(now, Ending::GitFailed, EndReason::GitFailed);
            }
        }
    }

    /// git answered: answer the worker, and let the next one merge.
    pub(super) fn merged(&mut self, now: Now, attempt: AttemptId, merged: &Merged) {
        let merge = self.core.state().open_merge();
        let Some(merge) = merge.filter(|merge| merge.attempt == attempt) else {
            tracing::error!(%attempt, "git answered a call that was not made");
            return;
        };
        let refused = !merged.merged && merged.head == merge.onto;
        let expected = match merged.merged {
            true => merge.commit.clone(),
            false => merge.onto.clone(),
        };
        self.merges.call = None;
        self.held(now, None);
        let command = Command::SettleMerge {
            attempt,
            merged: merged.merged,
            head: merged.head.clone(),
        };
        if !self.record(now, &command) {
            return;
        }
        self.look_at_move(expected);
        let asked = self.merges.queue.settled(attempt);
        if let Some(verdict) = self.core.state().verdict(attempt) {
            let later = self.merges.queue.take(attempt);
            self.merges.queue.ended(attempt);
            if let Some((worker, command)) = asked {
                self.answer(worker, command, attempt, verdict);
            }
            if let Some(later) = later {
                self.submit_report(now, later);
            }
            return;
        }
        if refused && self.merges.queue.refused(attempt) >= REFUSALS_MAX {
            self.unmergeable(now, attempt, asked);
            return;
        }
        let Some((worker, asked)) = asked else {
            return;
        };
        let open = self.core.state().attempts().get(&attempt);
        if let Some(reason) = open.and_then(|open| open.cancelled.clone()) {
            self.call_off(now, worker, attempt, reason);
            return;
        }
        self.merges.queue.round(attempt);
        self.order_rebase(worker, asked, attempt, merged.head.clone());
    }

    /// Answers a report for which the head has moved.
    pub(super) fn order_rebase(
        &mut self,
        worker: WorkerId,
        command: CommandId,
        attempt: AttemptId,
        onto: CommitId,
    ) {
        let order = SchedulerMessage::Rebase {
            command,
            attempt,
            onto,
        };
        self.send(worker, order);
    }

    /// git rejects this attempt's commits, although the branch has not moved. After some tries this
    /// is a failure, because it would repeat forever.
    fn unmergeable(&mut self, now: Now, attempt: AttemptId, asked: Option<(WorkerId, CommandId)>) {
        let Some(open) = self.core.state().attempts().get(&attempt) else {
            return;
        };
        let reason = "git refuses to move the branch to this attempt's commit; the scheduler's log lines say why";
        let command = Command::Report {
            attempt,
            report: failed(open, reason),
            usage: open.used,
            jitter: self.entropy.next(),
        };
        if !self.record(now, &command) {
            return;
        }
        self.merges.queue.ended(attempt);
        if let Some((worker, command)) = asked {
            self.answer(worker, command, attempt, Verdict::Recorded);
        }
    }
}
