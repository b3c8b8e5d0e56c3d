//! How workers leave: by themselves, or by the end of their process.

use std::collections::{BTreeMap, BTreeSet};

use super::{Effect, Machine, Now};
use crate::model::command::Command;
use crate::model::end_reason::EndReason;
use crate::model::ids::{AttemptId, WorkerId};
use crate::model::report::AttemptReport;
use crate::scheduler::merging::Waiting;

/// Workers on their way out.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// Processes whose end is awaited.
    pub watched: BTreeSet<WorkerId>,
    /// Workers of which nothing is left, but whose last report is still being handled; they leave
    /// once it is settled.
    dead: BTreeSet<WorkerId>,
    /// Workers that report another worker's attempt, which they found in its spool file. They are
    /// answered once the result is known; one each, because a worker has one attempt at a time.
    pub foreign_reports: BTreeMap<WorkerId, Waiting>,
}

impl Departures {
    /// The report of this attempt that another worker has recovered.
    fn taken_up(&self, attempt: AttemptId) -> Option<&Waiting> {
        let mut reports = self.foreign_reports.values();
        reports.find(|waiting| waiting.attempt() == attempt)
    }
}

impl Machine {
    /// A worker ends by itself. What it still holds, as the log has it, waits for the end of its
    /// process: only then nothing is left of its agents, and its written result is final.
    pub(super) fn leaving(&mut self, now: Now, worker: WorkerId, reason: EndReason) {
        self.not_ready(worker);
        if let Some(known) = self.core.state().workers().get(&worker) {
            self.pool.said(known.process.pid, &reason.to_string());
        }
        if self.held_by(worker).is_none() {
            self.left(now, worker, reason);
        } else if let Some(link) = self.peers.links.get_mut(&worker) {
            link.cancelled = Some((now.mono_ms, reason));
        }
    }

    /// A watched process has ended. Nothing is queued again before its agents are known to be dead,
    /// too.
    pub(super) fn died(&mut self, now: Now, worker: WorkerId) {
        if planted!(LostNeverDetected) {
            return;
        }
        self.departures.watched.remove(&worker);
        self.not_ready(worker);
        let known = self.core.state().workers().get(&worker);
        match known.map(|known| known.attempt) {
            None => {}
            Some(None) => self.left(now, worker, EndReason::WorkerDied),
            Some(Some(_)) if planted!(AgentsOutliveTheirAttempt) => {
                self.departures.dead.insert(worker);
            }
            Some(Some(attempt)) => self
                .effects
                .push(Effect::CleanUpAttempt { worker, attempt }),
        }
    }

    /// Nothing is left of a dead worker. Its spooled result counts as reported, whether we found it
    /// or another worker recovered it first.
    pub(super) fn reaped(&mut self, now: Now, worker: WorkerId, found: Option<AttemptReport>) {
        if let Some(attempt) = self.held_by(worker)
            && let Some(written) = self.last_report(worker, attempt, found)
        {
            self.reported(now, written);
        }
        self.departures.dead.insert(worker);
    }

    fn last_report(
        &self,
        worker: WorkerId,
        attempt: AttemptId,
        found: Option<AttemptReport>,
    ) -> Option<Waiting> {
        let found = found.filter(|report| report.attempt == attempt);
        let taken_up = || Some(self.departures.taken_up(attempt)?.report.clone());
        let report = found.or_else(taken_up)?;
        Some(Waiting { worker, report })
    }

    /// Removes dead workers whose last report is settled, or that had none. True if there was one.
    pub(super) fn remove_dead(&mut self, now: Now) -> bool {
        if self.departures.dead.is_empty() {
            return false;
        }
        let settled = |worker: &WorkerId| {
            self.held_by(*worker).is_none_or(|attempt| {
                !self.is_merging(attempt) && !self.merges.queue.is_waiting(attempt)
            })
        };
        let settled: Vec<WorkerId> = self
            .departures
            .dead
            .iter()
            .copied()
            .filter(settled)
            .collect();
        for &worker in &settled {
            self.departures.dead.remove(&worker);
            self.left(now, worker, EndReason::WorkerDied);
        }
        !settled.is_empty()
    }

    /// Nothing of a worker is left, or it holds nothing.
    fn left(&mut self, now: Now, worker: WorkerId, reason: EndReason) {
        let Some(known) = self.core.state().workers().get(&worker) else {
            return;
        };
        let open = known.attempt;
        let command = Command::Leave { worker, reason };
        if !self.record(now, &command) {
            return;
        }
        self.peers.links.remove(&worker);
        self.departures.foreign_reports.remove(&worker);
        if let Some(attempt) = open {
            self.merges.queue.ended(attempt);
        }
    }
}
