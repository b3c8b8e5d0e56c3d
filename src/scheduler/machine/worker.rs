//! A worker's connection as the scheduler sees it.

use super::{Connection, Effect, Machine, Now, Peer, Stage};
use crate::model::command::{Command, Rejection};
use crate::model::event::ProcessIdentity;
use crate::model::ids::{AttemptId, CommandId, WorkerId};
use crate::model::report::Report;
use crate::model::settings::WorkerKind;
use crate::protocol::{Holding, SchedulerMessage, Verdict, WorkerMessage};
use crate::scheduler::merging::Waiting;
use crate::scheduler::outside::{Merged, Spooled};

/// Activities stand in one line of a terminal.
const ACTIVITY_BYTES_MAX: usize = 200;

impl Machine {
    pub(super) fn worker_message(
        &mut self,
        now: Now,
        connection: Connection,
        message: WorkerMessage,
    ) {
        let peer = self.connections.get(&connection).cloned();
        match (peer, message) {
            (
                Some(Peer::Stranger { pid }),
                WorkerMessage::Hello {
                    kind,
                    process,
                    worker,
                    holding,
                },
            ) => match self.recognise(now, kind, process, worker, pid) {
                Ok(worker) => self.welcome(now, connection, worker, holding),
                Err(reason) => self.refuse(connection, &reason),
            },
            (Some(Peer::Worker(worker)), message) => {
                if let Some(link) = self.links.get_mut(&worker) {
                    link.heard_ms = now.mono_ms;
                }
                self.known_worker(now, worker, message);
            }
            (Some(Peer::Stranger { .. }), _) => self.refuse(connection, "say hello first"),
            // Closed in the meantime.
            _ => {}
        }
    }

    fn refuse(&mut self, connection: Connection, reason: &str) {
        let reason = reason.to_owned();
        self.send_on(connection, SchedulerMessage::Refused { reason });
        self.effects.push(Effect::Close { connection });
    }

    /// Which worker this is: one that is known by its process, or a new one.
    fn recognise(
        &mut self,
        now: Now,
        kind: WorkerKind,
        process: ProcessIdentity,
        claimed: Option<WorkerId>,
        pid: Option<u32>,
    ) -> Result<WorkerId, String> {
        if pid.is_some_and(|pid| pid != process.pid) {
            return Err(format!(
                "it says that it is process {}, the kernel says {}; worker and scheduler must share one process-id namespace",
                process.pid,
                pid.unwrap_or_default()
            ));
        }
        let known = self.core.state().workers();
        let same = |id: &WorkerId| {
            let worker = known.get(id);
            worker.is_some_and(|worker| worker.process == process && worker.kind == kind)
        };
        let by_process = || known.keys().copied().find(|id| same(id));
        if let Some(worker) = claimed.filter(same).or_else(by_process) {
            return Ok(worker);
        }
        if !matches!(self.stage, Stage::Working) {
            return Err("the scheduler is ending; start the worker again with the next run".into());
        }
        let command = Command::Join {
            kind,
            process: process.clone(),
        };
        let joined = self.core.submit_own(now.wall, &command);
        let joined = joined.map_err(|rejection| rejection.to_string())?;
        let worker = WorkerId(joined.first.0);
        self.watch(worker, process);
        Ok(worker)
    }

    pub(super) fn watch(&mut self, worker: WorkerId, process: ProcessIdentity) {
        if self.watched.insert(worker) {
            self.effects.push(Effect::Watch { worker, process });
        }
    }

    fn welcome(
        &mut self,
        now: Now,
        connection: Connection,
        worker: WorkerId,
        holding: Option<Holding>,
    ) {
        let known = self.core.state().workers().get(&worker);
        let Some((name, open)) = known.map(|known| (known.name.clone(), known.attempt)) else {
            return;
        };
        let link = self.links.entry(worker).or_default();
        link.heard_ms = now.mono_ms;
        let earlier = link.connection.replace(connection);
        if let Some(earlier) = earlier.filter(|&earlier| earlier != connection) {
            self.connections.remove(&earlier);
            self.effects.push(Effect::Close {
                connection: earlier,
            });
        }
        self.not_ready(worker);
        self.connections.insert(connection, Peer::Worker(worker));
        let held = holding.map(|holding| holding.attempt);
        let message = SchedulerMessage::Welcome {
            worker,
            name,
            epoch: self.core.epoch(),
            holding_accepted: held.is_none() || held == open,
        };
        self.send(worker, message);
        if let Some(attempt) = open
            && held.is_none()
        {
            // It was reserved for this worker, and the offer was lost on the way.
            self.offer(now, attempt);
        }
        self.repeat_orders(worker);
    }

    /// What a worker may have missed while it was not connected.
    fn repeat_orders(&mut self, worker: WorkerId) {
        let open = self.core.state().workers().get(&worker);
        let attempt = open.and_then(|known| known.attempt);
        let cancelled = attempt.and_then(|attempt| {
            let open = self.core.state().attempts().get(&attempt)?;
            Some((attempt, open.cancelled.clone()?))
        });
        if let Some((attempt, reason)) = cancelled {
            self.send(worker, SchedulerMessage::Cancel { attempt, reason });
        }
        let reason = "the scheduler is ending".to_owned();
        match self.stage {
            Stage::Working | Stage::Ended => {}
            Stage::Draining | Stage::Finishing { .. } => {
                self.send(worker, SchedulerMessage::Drain { reason });
            }
            Stage::Stopping { .. } => self.send(worker, SchedulerMessage::Stop { reason }),
        }
    }

    fn known_worker(&mut self, now: Now, worker: WorkerId, message: WorkerMessage) {
        match message {
            WorkerMessage::Hello { .. } | WorkerMessage::Heartbeat => {}
            WorkerMessage::Ready => self.ready(now, worker),
            WorkerMessage::Progress {
                attempt,
                phase,
                activity,
            } => {
                let known = self.core.state().workers().get(&worker);
                if known.and_then(|known| known.attempt) != Some(attempt) {
                    return;
                }
                if let Some(link) = self.links.get_mut(&worker) {
                    let line = activity.lines().next().unwrap_or_default();
                    link.phase = Some(phase);
                    link.activity = clip(line, ACTIVITY_BYTES_MAX);
                    link.active_at = now.wall;
                }
            }
            WorkerMessage::Report {
                command,
                attempt,
                report,
                usage,
            } => self.reported(
                now,
                Waiting {
                    command,
                    attempt,
                    worker,
                    report,
                    usage,
                },
            ),
            WorkerMessage::Leaving { reason } => self.left(now, worker, &reason),
        }
    }

    fn ready(&mut self, now: Now, worker: WorkerId) {
        let known = self.core.state().workers().get(&worker);
        let Some((kind, open)) = known.map(|known| (known.kind, known.attempt)) else {
            return;
        };
        if let Some(attempt) = open {
            // It knows nothing of the attempt that is its own: send it again.
            self.offer(now, attempt);
            return;
        }
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        if link.ready.is_none() {
            self.asked += 1;
            link.ready = Some(self.asked);
            self.world.idle.insert(self.asked, (worker, kind));
        }
    }

    /// A worker ends by itself and holds nothing any more.
    pub(super) fn left(&mut self, now: Now, worker: WorkerId, reason: &str) {
        self.not_ready(worker);
        let known = self.core.state().workers().get(&worker);
        let Some(open) = known.map(|known| known.attempt) else {
            return;
        };
        let command = Command::Leave {
            worker,
            reason: reason.to_owned(),
        };
        match self.core.submit_own(now.wall, &command) {
            Ok(_) => {
                self.links.remove(&worker);
                self.dead.remove(&worker);
                if let Some(attempt) = open {
                    self.merging.ended(attempt);
                }
            }
            // Its merge is under way; it leaves when that is settled.
            Err(Rejection::MergeOpen) => {
                self.dead.insert(worker);
            }
            Err(rejection) => tracing::error!(%rejection, %worker, "cannot leave"),
        }
    }

    /// A result, from a worker's connection or from what a dead worker had written down.
    pub(super) fn reported(&mut self, now: Now, waiting: Waiting) {
        let state = self.core.state();
        if let Some((_, last)) = state.remembered().get(waiting.command) {
            let verdict = state.verdict(waiting.attempt);
            // Accepted before, but its merge is not settled: the answer comes with that.
            if let Some(verdict) = verdict {
                self.answer(waiting.worker, waiting.command, waiting.attempt, verdict);
            } else {
                tracing::debug!(%last, "a report is repeated while its merge is open");
                let Waiting {
                    attempt,
                    worker,
                    command,
                    ..
                } = waiting;
                self.merging.began(attempt, worker, command);
            }
            return;
        }
        let open = state.attempts().get(&waiting.attempt);
        let holder = open.is_some_and(|open| open.job.worker == waiting.worker);
        if open.is_some() && !holder {
            // Somebody speaks for an attempt that is another's: as good as late.
            let verdict = Verdict::Late;
            self.answer(waiting.worker, waiting.command, waiting.attempt, verdict);
            return;
        }
        let merging = state.open_merge().is_some();
        let finished = matches!(waiting.report, Report::Mergeable(_));
        if holder && finished && !self.merging.may_go(waiting.attempt, merging) {
            self.merging.wait(waiting);
            return;
        }
        self.submit_report(now, waiting);
    }

    fn submit_report(&mut self, now: Now, waiting: Waiting) {
        let Waiting {
            command,
            attempt,
            worker,
            report,
            usage,
        } = waiting.clone();
        let jitter = self.entropy.next();
        let was_open = self.core.state().attempts().contains_key(&attempt);
        let command_body = Command::Report {
            attempt,
            report,
            usage,
            jitter,
        };
        match self.core.submit(command, now.wall, &command_body) {
            Ok(_) if !was_open => self.answer(worker, command, attempt, Verdict::Late),
            Ok(_) => match self.core.state().verdict(attempt) {
                Some(verdict) => {
                    self.merging.ended(attempt);
                    self.answer(worker, command, attempt, verdict);
                }
                None => self.merging.began(attempt, worker, command),
            },
            Err(Rejection::HeadMoved { head }) => {
                self.merging.round(attempt);
                let onto = head;
                self.send(worker, SchedulerMessage::Rebase { attempt, onto });
            }
            Err(Rejection::MergeOpen) => self.merging.wait(waiting),
            Err(rejection) => tracing::error!(%rejection, %attempt, "a report was rejected"),
        }
    }

    fn answer(
        &mut self,
        worker: WorkerId,
        command: CommandId,
        attempt: AttemptId,
        verdict: Verdict,
    ) {
        let acknowledged = self.core.state().sequence;
        let message = SchedulerMessage::Reported {
            command,
            attempt,
            verdict,
            acknowledged,
        };
        self.send(worker, message);
    }

    /// git answered: tell the worker, and let the next one go.
    pub(super) fn merged(&mut self, now: Now, attempt: AttemptId, merged: &Merged) {
        self.asked_git = None;
        let command = Command::SettleMerge {
            attempt,
            merged: merged.merged,
            head: merged.head.clone(),
        };
        if let Err(rejection) = self.core.submit_own(now.wall, &command) {
            tracing::error!(%rejection, %attempt, "a merge cannot be settled");
            return;
        }
        let asked = self.merging.settled(attempt);
        if merged.merged {
            self.merging.ended(attempt);
            if let Some((worker, command)) = asked {
                self.answer(worker, command, attempt, Verdict::Passed);
            }
        } else if let Some((worker, _)) = asked {
            self.merging.round(attempt);
            let onto = merged.head.clone();
            self.send(worker, SchedulerMessage::Rebase { attempt, onto });
        }
        for worker in std::mem::take(&mut self.dead) {
            self.left(now, worker, "its process is gone");
        }
    }

    /// Lets waiting reports go ahead, as far as they may.
    pub(super) fn next_merges(&mut self, now: Now) {
        while let Some(waiting) = {
            let open = self.core.state().open_merge().is_some();
            self.merging.next(open)
        } {
            self.submit_report(now, waiting);
        }
    }

    /// A watched process is gone. Nothing is requeued before its agents are known to be dead too.
    pub(super) fn died(&mut self, now: Now, worker: WorkerId) {
        self.watched.remove(&worker);
        let known = self.core.state().workers().get(&worker);
        match known.map(|known| known.attempt) {
            None => {}
            Some(None) => self.left(now, worker, "its process is gone"),
            Some(Some(attempt)) => self.effects.push(Effect::Reap { worker, attempt }),
        }
    }

    /// Nothing is left of a dead worker. What it had written down counts as reported.
    pub(super) fn reaped(&mut self, now: Now, worker: WorkerId, spooled: Option<Spooled>) {
        let known = self.core.state().workers().get(&worker);
        let attempt = known.and_then(|known| known.attempt);
        if let (Some(attempt), Some(spooled)) = (attempt, spooled) {
            self.reported(
                now,
                Waiting {
                    command: spooled.command,
                    attempt,
                    worker,
                    report: spooled.report,
                    usage: spooled.usage,
                },
            );
        }
        self.left(now, worker, "its process is gone");
    }
}

fn clip(text: &str, limit: usize) -> String {
    let clean = text.chars().filter(|letter| !letter.is_control());
    let mut out = String::new();
    for letter in clean {
        if out.len() + letter.len_utf8() > limit {
            break;
        }
        out.push(letter);
    }
    out
}
