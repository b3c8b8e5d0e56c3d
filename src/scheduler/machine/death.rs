//! How workers go: by themselves, or by the end of their process.

use super::{Effect, Machine, Now};
use crate::model::command::Command;
use crate::model::ids::{AttemptId, WorkerId};
use crate::scheduler::merging::Waiting;
use crate::scheduler::ports::Spooled;

const GONE: &str = "its process is gone";

impl Machine {
    /// A worker ends by itself. What it still holds, as the log has it, waits for the end of its
    /// process: only then nothing is left of its agents, and its written result is final.
    pub(super) fn leaving(&mut self, now: Now, worker: WorkerId, reason: String) {
        self.not_ready(worker);
        if let Some(known) = self.core.state().workers().get(&worker) {
            self.crew.said(known.process.pid, &reason);
        }
        if self.held_by(worker).is_none() {
            self.left(now, worker, &reason);
        } else if let Some(link) = self.links.get_mut(&worker) {
            link.cancelled = Some((now.mono_ms, reason));
        }
    }

    /// A watched process is gone. Nothing is requeued before its agents are known to be dead too.
    pub(super) fn died(&mut self, now: Now, worker: WorkerId) {
        if planted!(LostNeverDetected) {
            return;
        }
        self.watched.remove(&worker);
        self.not_ready(worker);
        let known = self.core.state().workers().get(&worker);
        match known.map(|known| known.attempt) {
            None => {}
            Some(None) => self.left(now, worker, GONE),
            Some(Some(_)) if planted!(AgentsOutliveTheirAttempt) => drop(self.dead.insert(worker)),
            Some(Some(attempt)) => self
                .effects
                .push(Effect::CleanUpAttempt { worker, attempt }),
        }
    }

    /// Nothing is left of a dead worker. What it had written down counts as reported, whether we
    /// found it ourselves or another worker took it up first.
    pub(super) fn reaped(&mut self, now: Now, worker: WorkerId, spooled: Option<Spooled>) {
        if let Some(attempt) = self.held_by(worker)
            && let Some(written) = self.stderr_tail(worker, attempt, spooled)
        {
            self.reported(now, written);
        }
        self.dead.insert(worker);
    }

    fn stderr_tail(
        &self,
        worker: WorkerId,
        attempt: AttemptId,
        spooled: Option<Spooled>,
    ) -> Option<Waiting> {
        if let Some(spooled) = spooled {
            return Some(Waiting {
                command: spooled.command,
                attempt,
                worker,
                report: spooled.report,
                usage: spooled.usage,
            });
        }
        let mut recovered_by = self.foreign_reports.values();
        let taken_up = recovered_by.find(|waiting| waiting.attempt == attempt)?;
        Some(Waiting {
            worker,
            ..taken_up.clone()
        })
    }

    /// Lets the dead leave whose last report is settled, or who had none. True when one did.
    pub(super) fn remove_dead(&mut self, now: Now) -> bool {
        if self.dead.is_empty() {
            return false;
        }
        let settled = |worker: &WorkerId| {
            self.held_by(*worker).is_none_or(|attempt| {
                !self.is_merging(attempt) && !self.merging.is_waiting(attempt)
            })
        };
        let settled: Vec<WorkerId> = self.dead.iter().copied().filter(settled).collect();
        for &worker in &settled {
            self.dead.remove(&worker);
            self.left(now, worker, GONE);
        }
        !settled.is_empty()
    }

    /// Nothing of a worker is left, or it holds nothing.
    fn left(&mut self, now: Now, worker: WorkerId, reason: &str) {
        let Some(known) = self.core.state().workers().get(&worker) else {
            return;
        };
        let open = known.attempt;
        let command = Command::Leave {
            worker,
            reason: reason.to_owned(),
        };
        if let Err(rejection) = self.core.submit_own(now.wall, &command) {
            tracing::error!(%rejection, %worker, "cannot leave");
            return;
        }
        self.links.remove(&worker);
        self.foreign_reports.remove(&worker);
        if let Some(attempt) = open {
            self.merging.ended(attempt);
        }
    }
}
