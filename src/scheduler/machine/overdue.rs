//! Workers that are alive and do not do what they should.

use super::{Effect, Machine, Now};
use crate::model::end_reason::EndReason;
use crate::model::ids::{AttemptId, WorkerId};
use crate::model::state::State;
use crate::protocol::{HEARTBEAT_MS, SchedulerMessage};

/// A connected worker sends a heartbeat every ten seconds. After two minutes without one it is
/// stopped or hangs, and must give up its job.
const SILENCE_MS_MAX: u64 = 12 * HEARTBEAT_MS;
/// A worker without a connection tries to get one every five seconds. After this long without
/// success, it is stopped or hangs, too.
const DETACHED_MS_MAX: u64 = 600_000;
/// A worker enforces its attempt's own limits. If it exceeds them by this much, it has failed to.
const OVERTIME_MS: u64 = 120_000;
/// Time for a worker to give up before it is killed: its agent gets two seconds, and git preserves
/// the work, which may take long on a busy disk.
const CANCEL_GRACE_MS: u64 = 60_000;
/// How often workers are checked.
const LOOK_MS: u64 = 10_000;
/// If nobody has checked for this long, this process itself was stopped and knows nothing about the
/// others.
const PAUSED_MS: u64 = 3 * LOOK_MS;

/// When workers are checked next, in monotonic milliseconds.
#[derive(Debug, Default)]
pub(super) struct Watch {
    looked_ms: u64,
    look_at_ms: u64,
}

impl Watch {
    /// Begins to check workers now.
    pub fn begin(&mut self, now_ms: u64) {
        self.looked_ms = now_ms;
        self.look_at_ms = now_ms + LOOK_MS;
    }

    /// When workers are checked next.
    pub fn at_ms(&self) -> u64 {
        self.look_at_ms
    }

    /// If it is time to check: for how long nobody has.
    fn turn(&mut self, now_ms: u64) -> Option<u64> {
        if now_ms < self.look_at_ms {
            return None;
        }
        let unseen_ms = now_ms.saturating_sub(self.looked_ms);
        self.begin(now_ms);
        Some(unseen_ms)
    }
}

impl Machine {
    /// Checks for workers that are silent or over their limits, a few times a minute.
    pub(super) fn look_after_workers(&mut self, now: Now) {
        let Some(unseen_ms) = self.watch.turn(now.mono_ms) else {
            return;
        };
        // This process was stopped, or its terminal accepted no output.
        if unseen_ms >= PAUSED_MS {
            self.peers.forgive(now.mono_ms, unseen_ms);
            return;
        }
        let mut late: Vec<(WorkerId, Option<AttemptId>, EndReason)> = Vec::new();
        for (&worker, known) in self.core.state().workers() {
            if let Some(reason) = self.late(now, worker, known.attempt) {
                late.push((worker, known.attempt, reason));
            }
        }
        for (worker, attempt, reason) in late {
            match attempt {
                Some(attempt) => self.give_up(now, worker, attempt, reason),
                None => self.pass_over(worker, &reason),
            }
        }
    }

    /// Why a worker cannot be relied on any more.
    fn late(&self, now: Now, worker: WorkerId, attempt: Option<AttemptId>) -> Option<EndReason> {
        let link = self.peers.links.get(&worker)?;
        // A worker that has handed in its result waits for us, and we do not wait for it.
        let handed_in = |attempt| self.is_merging(attempt) || self.merges.queue.is_waiting(attempt);
        if attempt.is_some_and(handed_in) {
            return None;
        }
        if let Some((_, reason)) = link.cancelled.as_ref().filter(|_| attempt.is_some()) {
            return Some(reason.clone());
        }
        let silent = now.mono_ms.saturating_sub(link.heard_ms);
        let age = now.mono_ms.saturating_sub(link.since_ms);
        if link.connection.is_some() && silent > SILENCE_MS_MAX {
            let seconds = silent / 1000;
            return Some(EndReason::WorkerSilent { seconds });
        }
        if link.connection.is_none() && silent > DETACHED_MS_MAX {
            let seconds = silent / 1000;
            return Some(EndReason::Disconnected { seconds });
        }
        if attempt.is_some() && age > longest_ms(self.core.state()) {
            let seconds = age / 1000;
            return Some(EndReason::TimeLimit { seconds });
        }
        None
    }

    /// A stopped worker gets no job before it gives a sign of life, and somebody else takes its
    /// place in the crew. Our own is ended; another's is its user's business.
    fn pass_over(&mut self, worker: WorkerId, reason: &EndReason) {
        let known = self.core.state().workers().get(&worker);
        let pid = known.map(|known| known.process.pid);
        let Some(link) = self
            .peers
            .links
            .get_mut(&worker)
            .filter(|link| !link.absent)
        else {
            return;
        };
        link.absent = true;
        if let Some(place) = link.ready {
            self.world.idle.remove(&place);
        }
        if let Some(pid) = pid.filter(|&pid| self.pool.is_child(pid)) {
            tracing::warn!(%worker, pid, %reason, "ending a worker of this scheduler");
            self.effects.push(Effect::EndChild { pid });
        }
    }

    fn give_up(&mut self, now: Now, worker: WorkerId, attempt: AttemptId, reason: EndReason) {
        let Some(link) = self.peers.links.get_mut(&worker) else {
            return;
        };
        match &link.cancelled {
            None => {
                tracing::warn!(%attempt, %reason, "giving up an attempt");
                self.call_off(now, worker, attempt, reason);
            }
            Some((since, _)) if now.mono_ms.saturating_sub(*since) < CANCEL_GRACE_MS => {}
            Some(_) => self.kill(worker),
        }
    }

    /// Tells a worker to give up its attempt. One that does not is killed after a while.
    pub(super) fn call_off(
        &mut self,
        now: Now,
        worker: WorkerId,
        attempt: AttemptId,
        reason: EndReason,
    ) {
        if let Some(link) = self.peers.links.get_mut(&worker) {
            link.cancelled = Some((now.mono_ms, reason.clone()));
        }
        self.send(worker, SchedulerMessage::Cancel { attempt, reason });
    }

    /// Tells it again, on a new connection.
    pub(super) fn repeat_cancel(&mut self, worker: WorkerId, attempt: AttemptId) {
        let open = self.core.state().attempts().get(&attempt);
        let recorded = open.and_then(|open| open.cancelled.clone());
        let ordered = || {
            let link = self.peers.links.get(&worker)?;
            Some(link.cancelled.as_ref()?.1.clone())
        };
        if let Some(reason) = recorded.or_else(ordered) {
            self.send(worker, SchedulerMessage::Cancel { attempt, reason });
        }
    }

    /// Ends a worker's process by force, once.
    pub(super) fn kill(&mut self, worker: WorkerId) {
        let known = self.core.state().workers().get(&worker);
        let Some(process) = known.map(|known| known.process.clone()) else {
            return;
        };
        let link = self.peers.links.entry(worker).or_default();
        if !std::mem::replace(&mut link.killed, true) {
            tracing::warn!(%worker, pid = process.pid, "killing a worker that does not respond");
            self.effects.push(Effect::Kill { worker, process });
        }
    }
}

fn longest_ms(state: &State) -> u64 {
    let settings = &state.settings;
    settings
        .time_limit_ms
        .saturating_add(settings.check_limit_ms)
        .saturating_add(OVERTIME_MS)
}
