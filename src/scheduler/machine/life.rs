//! The scheduler's own life: recovery at the start, and the end.

use super::peers::Link;
use super::{Effect, Ending, Machine, Now};
use crate::model::command::Command;
use crate::model::end_reason::EndReason;
use crate::model::ids::{AttemptId, Timestamp, WorkerId};
use crate::model::settings::WorkerKind;
use crate::protocol::{SchedulerMessage, StopMode};

/// Time for workers to give up their attempts when the scheduler is stopped immediately; the same
/// as a worker gives itself.
const STOP_GRACE_MS: u64 = 10_000;
/// Time for killed workers to end, counted from when the kill was executed, which may have waited
/// for a slow disk. A worker that survives even this is not waited for; the next start recovers its
/// attempt.
const KILL_GRACE_MS: u64 = 5_000;
/// Time for workers to clean up and leave when nothing is left to do.
const LEAVE_GRACE_MS: u64 = 10_000;

/// The scheduler's own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Working,
    /// Nothing new starts; continues to `Leaving` after the last open attempt.
    Draining,
    /// Open attempts are being ended, too. Workers that are left at this time are killed, and after
    /// another while no longer waited for.
    Stopping {
        until_ms: u64,
        killed: bool,
        ending: Ending,
    },
    /// Nothing is open any more; workers are leaving, at most until this time.
    Leaving {
        until_ms: u64,
        killed: bool,
        ending: Ending,
    },
    Ended,
}

/// What the scheduler process knows of itself.
#[derive(Debug)]
pub(super) struct Life {
    pub stage: Stage,
    /// Kills at the end of the process that may still wait for the disk.
    unconfirmed: u32,
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// The time of the last step.
    pub now: Timestamp,
}

impl Life {
    pub fn new(pid: u32) -> Self {
        Self {
            stage: Stage::Working,
            unconfirmed: 0,
            pid,
            since: Timestamp(0),
            now: Timestamp(0),
        }
    }

    /// Whether jobs are assigned.
    pub fn is_working(&self) -> bool {
        matches!(self.stage, Stage::Working)
    }
}

impl Machine {
    /// Checks what an earlier scheduler left open. Each known worker's process is watched: if it
    /// has ended, `Died` follows at once and its attempt is lost; if it lives, it reconnects.
    pub(super) fn recover(&mut self, now: Now) {
        self.watch.begin(now.mono_ms);
        #[cfg(test)]
        if planted!(MergeForgotten) {
            self.forget_merge(now);
        }
        let state = self.core.state();
        let orphaned = |id: &&AttemptId| {
            let open = state.attempts().get(id);
            open.is_some_and(|open| {
                !state.workers().contains_key(&open.job.worker) || planted!(RequeueDoubled)
            })
        };
        let orphaned: Vec<AttemptId> = state.attempts().keys().filter(orphaned).copied().collect();
        let workers: Vec<_> = state
            .workers()
            .iter()
            .map(|(&id, worker)| (id, worker.process.clone()))
            .collect();
        for (worker, process) in workers {
            let link = Link {
                heard_ms: now.mono_ms,
                since_ms: now.mono_ms,
                active_at: now.wall,
                ..Link::default()
            };
            self.peers.links.insert(worker, link);
            self.watch(worker, process);
        }
        for attempt in orphaned {
            let reason = EndReason::WorkerUnknown;
            let command = Command::Lose { attempt, reason };
            self.record(now, &command);
        }
    }

    pub(super) fn stop(&mut self, now: Now, mode: StopMode) {
        match (&mut self.life.stage, mode) {
            (Stage::Working, StopMode::Drain) => {
                self.life.stage = Stage::Draining;
                self.world.draining = true;
                let reason = EndReason::SchedulerEnding;
                self.send_to_workers(|reason| SchedulerMessage::Drain { reason }, &reason);
            }
            // A second request to drain means: stop now.
            (Stage::Working | Stage::Draining, _) => {
                self.stop_now(now, Ending::Interrupted, EndReason::SchedulerStopped);
            }
            // A third request does not want to wait: workers that are left are killed.
            (
                Stage::Stopping {
                    until_ms, killed, ..
                }
                | Stage::Leaving {
                    until_ms, killed, ..
                },
                _,
            ) => {
                if !*killed {
                    *until_ms = now.mono_ms;
                }
            }
            (Stage::Ended, _) => {}
        }
    }

    /// Ends what is open, and then the process. What is ending already ends as it was to.
    pub(super) fn stop_now(&mut self, now: Now, ending: Ending, reason: EndReason) {
        if !matches!(self.life.stage, Stage::Working | Stage::Draining) {
            return;
        }
        self.life.stage = Stage::Stopping {
            until_ms: now.mono_ms + STOP_GRACE_MS,
            killed: false,
            ending,
        };
        self.world.draining = true;
        self.send_to_workers(|reason| SchedulerMessage::Stop { reason }, &reason);
    }

    /// Nothing is left to do: workers leave, and then the process ends.
    pub(super) fn begin_leaving(&mut self, now: Now, ending: Ending, reason: EndReason) {
        let until_ms = now.mono_ms + LEAVE_GRACE_MS;
        let told = !self.life.is_working();
        self.life.stage = Stage::Leaving {
            until_ms,
            killed: false,
            ending,
        };
        if !told {
            self.send_to_workers(|reason| SchedulerMessage::Drain { reason }, &reason);
        }
    }

    fn send_to_workers(
        &mut self,
        message: impl Fn(EndReason) -> SchedulerMessage,
        reason: &EndReason,
    ) {
        let workers: Vec<WorkerId> = self.peers.links.keys().copied().collect();
        for worker in workers {
            self.send(worker, message(reason.clone()));
        }
    }

    /// Advances the scheduler's own life if what it waits for has happened.
    pub(super) fn advance(&mut self, now: Now) {
        match self.life.stage {
            Stage::Working | Stage::Ended => {}
            Stage::Draining => {
                if self.nothing_open() {
                    self.begin_leaving(now, Ending::Interrupted, EndReason::SchedulerEnding);
                    self.advance(now);
                }
            }
            Stage::Stopping {
                until_ms,
                killed,
                ending,
            } => {
                let late = now.mono_ms >= until_ms;
                let over = self.nothing_open() && self.everybody_left(late || killed);
                // Killed or not: the log is correct as it is, and the next start finds out.
                if over || (late && killed && !self.kills_wait()) {
                    self.end(ending);
                } else if late && !killed {
                    self.kill_everybody();
                    self.life.stage = Stage::Stopping {
                        until_ms: now.mono_ms + KILL_GRACE_MS,
                        killed: true,
                        ending,
                    };
                }
            }
            Stage::Leaving {
                until_ms,
                killed,
                ending,
            } => {
                let late = now.mono_ms >= until_ms;
                // Workers that others started end when they find no scheduler.
                let own = self.pool.has_children();
                let waited = late && if killed { !self.kills_wait() } else { !own };
                if self.everybody_left(late || killed) || waited {
                    self.end(ending);
                } else if late && !killed {
                    self.end_children();
                    self.life.stage = Stage::Leaving {
                        until_ms: now.mono_ms + KILL_GRACE_MS,
                        killed: true,
                        ending,
                    };
                }
            }
        }
    }

    fn nothing_open(&self) -> bool {
        let state = self.core.state();
        state.attempts().is_empty() && state.open_merge().is_none()
    }

    /// A living worker without a connection is between two tries to get one, and gets the others'
    /// message when it reconnects; if it is late, nobody waits for it.
    fn everybody_left(&self, late: bool) -> bool {
        let here = |link: &Link| link.connection.is_some() || (!late && !link.absent);
        !self.peers.links.values().any(here) && !self.pool.has_children()
    }

    fn kill_everybody(&mut self) {
        let workers: Vec<WorkerId> = self.core.state().workers().keys().copied().collect();
        for worker in workers {
            self.kill(worker);
        }
        self.end_children();
    }

    /// One of our own workers has started. One that arrives after the others were killed would be
    /// left behind.
    pub(super) fn child_started(&mut self, now: Now, kind: WorkerKind, pid: Option<u32>) {
        self.pool.started(now.mono_ms, kind, pid);
        let killed = match self.life.stage {
            Stage::Stopping { killed, .. } | Stage::Leaving { killed, .. } => killed,
            Stage::Working | Stage::Draining | Stage::Ended => false,
        };
        if let Some(pid) = pid.filter(|_| killed) {
            self.effects.push(Effect::EndChild { pid });
            self.confirm_kills();
        }
    }

    fn end_children(&mut self) {
        let children = self.pool.children();
        let ends = children.map(|pid| Effect::EndChild { pid });
        self.effects.extend(ends);
        self.confirm_kills();
    }

    fn confirm_kills(&mut self) {
        self.effects.push(Effect::Confirm);
        self.life.unconfirmed += 1;
    }

    /// The kills were executed: the killed workers' time begins now.
    pub(super) fn kills_confirmed(&mut self, now: Now) {
        self.life.unconfirmed = self.life.unconfirmed.saturating_sub(1);
        match &mut self.life.stage {
            Stage::Stopping {
                until_ms, killed, ..
            }
            | Stage::Leaving {
                until_ms, killed, ..
            } if *killed => {
                *until_ms = now.mono_ms + KILL_GRACE_MS;
            }
            _ => {}
        }
    }

    /// Whether a kill waits for the disk, or it is still unknown whether a worker was started.
    /// Neither takes longer than the disk, for which the exit waits as well.
    fn kills_wait(&self) -> bool {
        self.life.unconfirmed > 0 || self.pool.is_starting()
    }

    /// Whether workers may still be started. A start that waited for the disk until the process was
    /// ending would only be undone.
    pub fn starts_workers(&self) -> bool {
        self.life.is_working()
    }

    /// When to check workers or the end of a grace period next, in monotonic milliseconds.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let own = match self.life.stage {
            Stage::Working | Stage::Draining => None,
            Stage::Stopping {
                until_ms, killed, ..
            }
            | Stage::Leaving {
                until_ms, killed, ..
            } => {
                // It then waits for an input, not for a time.
                (!killed || !self.kills_wait()).then_some(until_ms)
            }
            Stage::Ended => return None,
        };
        let workers = !self.core.state().workers().is_empty();
        let look = workers.then(|| self.watch.at_ms());
        [own, look].into_iter().flatten().min()
    }

    fn end(&mut self, ending: Ending) {
        for pid in self.pool.children() {
            tracing::warn!(
                pid,
                "a worker lives although it was killed; the scheduler ends without it, and the next one finds it"
            );
        }
        self.life.stage = Stage::Ended;
        self.effects.push(Effect::Exit(ending));
    }
}
