//! Decides which attempt's work is merged next.
//!
//! One merge happens at a time. An attempt that finds that the head has moved rebases and checks
//! again. After [`ROUNDS_MAX`] rounds it gets the turn, and the others wait until it has merged or
//! ended, so that a slow check does not starve beside fast ones.

use std::collections::{BTreeMap, VecDeque};

use crate::model::ids::{AttemptId, CommandId, WorkerId};
use crate::model::report::AttemptReport;

/// Rebases after which an attempt gets the turn.
pub const ROUNDS_MAX: u32 = 3;

/// Refusals by git, although the branch has not moved, after which the attempt fails. A single one
/// may be a disk that was full.
pub const REFUSALS_MAX: u32 = 3;

/// A report that waits for its turn.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The worker that reported it; for a dead worker, the one whose spool file it was.
    pub worker: WorkerId,
    /// The finished work.
    pub report: AttemptReport,
}

impl Waiting {
    /// The attempt of the report.
    pub fn attempt(&self) -> AttemptId {
        self.report.attempt
    }
}

/// Reports of finished work, and which attempt has the turn.
#[derive(Clone, Debug, Default)]
pub struct Merging {
    waiting: VecDeque<Waiting>,
    rounds: BTreeMap<AttemptId, u32>,
    refusals: BTreeMap<AttemptId, u32>,
    turn: Option<AttemptId>,
    /// Reports that are being merged or were sent to rebase; each needs an answer.
    asked: BTreeMap<AttemptId, (WorkerId, CommandId)>,
}

impl Merging {
    /// Whether a report for this attempt may be merged now. `open` is true while a merge is open.
    pub fn may_go(&self, attempt: AttemptId, open: bool) -> bool {
        !open && self.turn.is_none_or(|turn| turn == attempt)
    }

    /// Keeps a report until its turn comes. A repeated one replaces the first.
    pub fn wait(&mut self, waiting: Waiting) {
        self.waiting
            .retain(|other| other.attempt() != waiting.attempt());
        let at = self
            .waiting
            .partition_point(|other| other.attempt() < waiting.attempt());
        self.waiting.insert(at, waiting);
    }

    /// The next report that may be merged, the oldest attempt's first.
    pub fn next(&mut self, open: bool) -> Option<Waiting> {
        let at = (self.waiting.iter()).position(|waiting| self.may_go(waiting.attempt(), open))?;
        self.waiting.remove(at)
    }

    /// Whether this attempt's report waits for its turn.
    pub fn is_waiting(&self, attempt: AttemptId) -> bool {
        (self.waiting.iter()).any(|waiting| waiting.attempt() == attempt)
    }

    /// Takes a waiting report out of the queue.
    pub fn take(&mut self, attempt: AttemptId) -> Option<Waiting> {
        let at = (self.waiting.iter()).position(|waiting| waiting.attempt() == attempt)?;
        self.waiting.remove(at)
    }

    /// git refused this attempt's commits although the branch has not moved. Returns how often,
    /// with this one.
    pub fn refused(&mut self, attempt: AttemptId) -> u32 {
        let refusals = self.refusals.entry(attempt).or_default();
        *refusals += 1;
        *refusals
    }

    /// The branch has moved, so this attempt needs another round.
    pub fn round(&mut self, attempt: AttemptId) {
        let rounds = self.rounds.entry(attempt).or_default();
        *rounds += 1;
        if *rounds >= ROUNDS_MAX && self.turn.is_none_or(|turn| turn > attempt) {
            self.turn = Some(attempt);
        }
    }

    /// Records which worker to answer when this attempt's merge is settled.
    pub fn began(&mut self, attempt: AttemptId, worker: WorkerId, command: CommandId) {
        self.asked.insert(attempt, (worker, command));
    }

    /// The report that is being merged was repeated, or one of an earlier round was. The present one
    /// is answered, because its worker waits for that; after a restart, only this worker knows it.
    pub fn repeated(&mut self, attempt: AttemptId, worker: WorkerId, command: CommandId) {
        self.asked.entry(attempt).or_insert((worker, command));
    }

    /// Takes the worker to answer at the end of this attempt's merge.
    pub fn settled(&mut self, attempt: AttemptId) -> Option<(WorkerId, CommandId)> {
        self.asked.remove(&attempt)
    }

    /// The attempt is over: its turn goes to the next one.
    pub fn ended(&mut self, attempt: AttemptId) {
        self.waiting.retain(|waiting| waiting.attempt() != attempt);
        self.rounds.remove(&attempt);
        self.refusals.remove(&attempt);
        self.asked.remove(&attempt);
        if self.turn == Some(attempt) {
            let due = self
                .rounds
                .iter()
                .find(|(_, rounds)| **rounds >= ROUNDS_MAX);
            self.turn = due.map(|(&attempt, _)| attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::Usage;
    use crate::model::report::Report;

    fn waiting(attempt: u64) -> Waiting {
        Waiting {
            worker: WorkerId(attempt),
            report: AttemptReport {
                command: CommandId(u128::from(attempt)),
                attempt: AttemptId(attempt),
                report: Report::Released {
                    detail: String::new(),
                    reason: "".into(),
                },
                usage: Usage::default(),
                workless: false,
            },
        }
    }

    #[test]
    fn one_merge_at_a_time_and_the_oldest_first() {
        let mut merging = Merging::default();
        assert!(merging.may_go(AttemptId(7), false));
        assert!(!merging.may_go(AttemptId(7), true));
        merging.wait(waiting(9));
        merging.wait(waiting(7));
        merging.wait(waiting(8));
        assert!(merging.next(true).is_none());
        let order: Vec<u64> =
            std::iter::from_fn(|| merging.next(false).map(|next| next.attempt().0)).collect();
        assert_eq!(order, [7, 8, 9]);
    }

    #[test]
    fn after_three_rounds_everybody_else_waits() {
        let mut merging = Merging::default();
        for _ in 0..ROUNDS_MAX {
            assert!(merging.may_go(AttemptId(8), false));
            merging.round(AttemptId(7));
        }
        assert!(!merging.may_go(AttemptId(8), false));
        assert!(merging.may_go(AttemptId(7), false));
        merging.wait(waiting(8));
        assert!(merging.next(false).is_none());
        merging.ended(AttemptId(7));
        assert_eq!(
            merging.next(false).map(|next| next.attempt()),
            Some(AttemptId(8))
        );
    }

    #[test]
    fn the_turn_passes_to_the_next_that_is_due() {
        let mut merging = Merging::default();
        for attempt in [5, 6] {
            for _ in 0..ROUNDS_MAX {
                merging.round(AttemptId(attempt));
            }
        }
        assert!(!merging.may_go(AttemptId(6), false));
        merging.ended(AttemptId(5));
        assert!(merging.may_go(AttemptId(6), false));
        assert!(!merging.may_go(AttemptId(9), false));
    }

    #[test]
    fn a_repeated_report_waits_once() {
        let mut merging = Merging::default();
        merging.wait(waiting(7));
        merging.wait(waiting(7));
        assert!(merging.next(false).is_some());
        assert!(merging.next(false).is_none());
    }
}
