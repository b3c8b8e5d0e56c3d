//! The scheduler's own life: recovery at the start, workers that do not answer, and the end.

use super::{Effect, Ending, Link, Machine, Now, Stage};
use crate::model::event::RunOutcome;
use crate::model::ids::{AttemptId, WorkerId};
use crate::protocol::SchedulerMessage;

/// A connected worker with a job sends a heartbeat every ten seconds. After two minutes without
/// one it is stopped or stuck, and is told to give the job up.
const SILENCE_MS_MAX: u64 = 120_000;
/// An attempt's own limits are its worker's business. A worker that is so much over them has
/// failed to keep them.
const OVERTIME_MS: u64 = 120_000;
/// How long a worker that was told to give up has before it is killed.
const CANCEL_GRACE_MS: u64 = 30_000;
/// How long workers have to give up their attempts when the scheduler is stopped at once.
const STOP_GRACE_MS: u64 = 10_000;
/// How long workers have to leave when the run is over.
const FINISH_GRACE_MS: u64 = 5_000;

impl Machine {
    /// Looks at what an earlier scheduler left open. Each known worker's process is watched: if
    /// it is gone, `Died` follows at once and its attempt is lost; if it lives, it comes back.
    pub(super) fn recover(&mut self, now: Now) {
        let workers: Vec<_> = self
            .core
            .state()
            .workers()
            .iter()
            .map(|(&id, worker)| (id, worker.process.clone()))
            .collect();
        for (worker, process) in workers {
            let link = Link {
                heard_ms: now.mono_ms,
                active_at: now.wall,
                ..Link::default()
            };
            self.links.insert(worker, link);
            self.watch(worker, process);
        }
    }

    /// Deals with workers that are alive but do not do what they should.
    pub(super) fn overdue(&mut self, now: Now) {
        let mut late: Vec<(AttemptId, WorkerId, String)> = Vec::new();
        let state = self.core.state();
        for (&attempt, open) in state.attempts() {
            let merging = state.open_merge().map(|merge| merge.attempt) == Some(attempt);
            let Some(link) = self.links.get(&open.job.worker).filter(|_| !merging) else {
                continue;
            };
            let silent = now.mono_ms.saturating_sub(link.heard_ms);
            let age = now.wall.since_ms(open.started);
            let limits = &state.settings;
            let most = limits.time_limit_ms + limits.check_limit_ms + OVERTIME_MS;
            if link.connection.is_some() && silent > SILENCE_MS_MAX {
                let reason = format!("the worker has been silent for {} s", silent / 1000);
                late.push((attempt, open.job.worker, reason));
            } else if age > most {
                let reason = format!("the attempt is over its time limit ({} s)", age / 1000);
                late.push((attempt, open.job.worker, reason));
            }
        }
        for (attempt, worker, reason) in late {
            self.give_up(now, attempt, worker, reason);
        }
    }

    fn give_up(&mut self, now: Now, attempt: AttemptId, worker: WorkerId, reason: String) {
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        let Some(since) = link.cancelled_ms else {
            link.cancelled_ms = Some(now.mono_ms);
            tracing::warn!(%attempt, reason, "giving an attempt up");
            self.send(worker, SchedulerMessage::Cancel { attempt, reason });
            return;
        };
        if now.mono_ms.saturating_sub(since) < CANCEL_GRACE_MS || link.killed {
            return;
        }
        link.killed = true;
        self.kill(worker);
    }

    fn kill(&mut self, worker: WorkerId) {
        let known = self.core.state().workers().get(&worker);
        if let Some(process) = known.map(|known| known.process.clone()) {
            tracing::warn!(%worker, pid = process.pid, "killing a worker that does not answer");
            self.effects.push(Effect::Kill { worker, process });
        }
    }

    /// When `overdue` or the end of a grace is to be looked at next, in monotonic milliseconds.
    pub(super) fn deadline_ms(&self, now: Now) -> Option<u64> {
        match self.stage {
            Stage::Stopping { kill_at_ms } => Some(kill_at_ms.max(now.mono_ms + 100)),
            Stage::Finishing { until_ms, .. } => Some(until_ms),
            Stage::Ended => None,
            // Wedged workers are a matter of minutes; looking twice a minute is enough.
            _ => (!self.core.state().attempts().is_empty()).then_some(now.mono_ms + 30_000),
        }
    }

    pub(super) fn drain(&mut self) {
        self.stage = Stage::Draining;
        self.world.draining = true;
        let reason = "the scheduler is ending";
        self.tell_workers(|reason| SchedulerMessage::Drain { reason }, reason);
    }

    pub(super) fn stop_now(&mut self, now: Now) {
        let kill_at_ms = now.mono_ms + STOP_GRACE_MS;
        self.stage = Stage::Stopping { kill_at_ms };
        self.world.draining = true;
        let reason = "the scheduler was stopped";
        self.tell_workers(|reason| SchedulerMessage::Stop { reason }, reason);
    }

    pub(super) fn begin_finishing(&mut self, now: Now, outcome: RunOutcome) {
        let until_ms = now.mono_ms + FINISH_GRACE_MS;
        self.stage = Stage::Finishing { until_ms, outcome };
        let reason = "the run is over";
        self.tell_workers(|reason| SchedulerMessage::Drain { reason }, reason);
    }

    fn tell_workers(&mut self, message: impl Fn(String) -> SchedulerMessage, reason: &str) {
        let workers: Vec<WorkerId> = self.links.keys().copied().collect();
        for worker in workers {
            self.send(worker, message(reason.to_owned()));
        }
    }

    /// Moves the scheduler's own life on, when what it waits for has come.
    pub(super) fn advance(&mut self, now: Now) {
        let idle = self.core.state().attempts().is_empty();
        let merging = self.core.state().open_merge().is_some();
        let connected = self.links.values().any(|link| link.connection.is_some());
        match self.stage {
            Stage::Draining if idle && !merging => self.end(Ending::Interrupted),
            Stage::Stopping { .. } if idle && !merging && !connected => {
                self.end(Ending::Interrupted);
            }
            Stage::Stopping { kill_at_ms } if now.mono_ms >= kill_at_ms => {
                let holding: Vec<WorkerId> = self
                    .core
                    .state()
                    .attempts()
                    .values()
                    .map(|open| open.job.worker)
                    .collect();
                if holding.is_empty() && !merging {
                    self.end(Ending::Interrupted);
                }
                for worker in holding {
                    let link = self.links.entry(worker).or_default();
                    if !std::mem::replace(&mut link.killed, true) {
                        self.kill(worker);
                    }
                }
            }
            Stage::Finishing { until_ms, outcome } if !connected || now.mono_ms >= until_ms => {
                self.end(Ending::Finished(outcome));
            }
            _ => {}
        }
    }

    fn end(&mut self, ending: Ending) {
        self.stage = Stage::Ended;
        self.effects.push(Effect::Exit(ending));
    }
}
