//! A worker's connection as the scheduler sees it.

use super::life::Stage;
use super::peers::Peer;
use super::{Connection, Effect, Machine, Now};
use crate::model::actor::Caller;
use crate::model::clip::clip_clean;
use crate::model::command::{Command, Problem};
use crate::model::config;
use crate::model::end_reason::EndReason;
use crate::model::event::ProcessIdentity;
use crate::model::ids::WorkerId;
use crate::model::settings::WorkerKind;
use crate::protocol::{Holding, SchedulerMessage, WorkerMessage};
use crate::scheduler::merging::Waiting;

/// An activity takes one line of a terminal.
const ACTIVITY_BYTES_MAX: usize = 200;

/// Longest host name and boot id, which the log stores: at most 64 bytes and 36 on Linux.
const IDENTITY_BYTES_MAX: usize = 256;

/// What a worker says when it connects.
struct Hello {
    kind: WorkerKind,
    process: ProcessIdentity,
    /// The worker that it says it was on an earlier connection.
    worker: Option<WorkerId>,
    /// Its process, according to the kernel.
    caller: Caller,
    /// Its config, as text.
    config: String,
}

impl Machine {
    pub(super) fn worker_message(
        &mut self,
        now: Now,
        connection: Connection,
        message: WorkerMessage,
    ) {
        let peer = self.peers.connections.get(&connection).cloned();
        match (peer, message) {
            (
                Some(Peer::Stranger { caller }),
                WorkerMessage::Hello {
                    kind,
                    process,
                    worker,
                    holding,
                    config,
                },
            ) => {
                let hello = Hello {
                    kind,
                    process,
                    worker,
                    caller,
                    config,
                };
                match self.recognise(now, hello) {
                    Ok(worker) => self.welcome(now, connection, worker, holding),
                    Err(problem) => self.refuse(connection, problem),
                }
            }
            (Some(Peer::Stranger { .. }), _) => {
                let problem = Problem::new("the first message must be Hello", "");
                self.refuse(connection, problem)
            }
            (Some(Peer::Worker(_)), WorkerMessage::Hello { .. }) => {
                let problem = Problem::new("Hello was already sent", "reconnect to send another");
                self.refuse(connection, problem);
            }
            (Some(Peer::Worker(worker)), message) => {
                self.heard(now, worker);
                self.known_worker(now, worker, message);
            }
            // Closed in the meantime, or not a worker at all.
            (Some(Peer::Client(_)) | None, _) => {}
        }
    }

    /// The connection ends with this; whatever still comes from it is not listened to.
    fn refuse(&mut self, connection: Connection, problem: Problem) {
        self.send_on(connection, SchedulerMessage::Refused(problem));
        self.effects.push(Effect::Close { connection });
        if let Some(Peer::Worker(worker)) = self.peers.connections.remove(&connection) {
            self.detach(worker, connection);
        }
    }

    pub(super) fn closed(&mut self, now: Now, connection: Connection) {
        let Some(Peer::Worker(worker)) = self.peers.connections.remove(&connection) else {
            return;
        };
        // A closed connection alone releases nothing: the process may live and reconnect.
        if self.detach(worker, connection)
            && let Some(link) = self.peers.links.get_mut(&worker)
        {
            link.heard_ms = now.mono_ms;
        }
    }

    /// This connection is no longer a worker's. True if it was its present one.
    fn detach(&mut self, worker: WorkerId, connection: Connection) -> bool {
        let detached = self.peers.detach(worker, connection);
        if detached {
            self.not_ready(worker);
        }
        detached
    }

    pub(super) fn not_ready(&mut self, worker: WorkerId) {
        let link = self.peers.links.get_mut(&worker);
        if let Some(place) = link.and_then(|link| link.ready.take()) {
            self.world.idle.remove(&place);
        }
    }

    /// A sign of life. A worker that asked for a job before it was silent is in the queue again.
    fn heard(&mut self, now: Now, worker: WorkerId) {
        let Some(link) = self.peers.links.get_mut(&worker) else {
            return;
        };
        link.heard_ms = now.mono_ms;
        if !std::mem::take(&mut link.absent) {
            return;
        }
        let known = self.core.state().workers().get(&worker);
        if let (Some(place), Some(known)) = (link.ready, known) {
            self.world.idle.insert(place, (worker, known.kind));
        }
    }

    /// Which worker this is: one that is known by its process, or a new one.
    fn recognise(&mut self, now: Now, hello: Hello) -> Result<WorkerId, Problem> {
        let (kind, process) = (hello.kind, hello.process.clone());
        let actor = self.actor(&hello.caller);
        if actor.is_agent() && !planted!(AgentHired) {
            let wish = format!("take jobs as a {} worker", kind.as_str());
            self.record_refusal(now, &actor, wish);
            return Err(Problem::new(
                format!("{actor} cannot be a worker. This refusal is recorded, and people see it"),
                "",
            ));
        }
        if let Some(problem) = misidentified(&hello) {
            return Err(problem);
        }
        if !self.config.is_empty() && hello.config != self.config {
            let changes = config::differences(&self.config, &hello.config);
            let total = u32::try_from(changes.len()).unwrap_or(u32::MAX);
            return Err(Problem::new(
                format!(
                    "its config differs from the one that this run recorded: {}",
                    config::words(&changes, total)
                ),
                "restart the run to use the changed config",
            ));
        }
        if process.host.len().max(process.boot_id.len()) > IDENTITY_BYTES_MAX {
            return Err(Problem::new(
                format!("its host's name or boot id is longer than {IDENTITY_BYTES_MAX} bytes"),
                "use the same version of Crewlog for scheduler and workers",
            ));
        }
        let known = self.core.state().workers();
        let same = |id: &WorkerId| {
            let worker = known.get(id);
            worker.is_some_and(|worker| worker.process == process && worker.kind == kind)
        };
        let by_process = || known.keys().copied().find(|id| same(id));
        if let Some(worker) = hello.worker.filter(same).or_else(by_process) {
            return Ok(worker);
        }
        if !self.life.is_working() {
            return Err(Problem::new(
                "the scheduler is ending",
                "start the worker again with the next run",
            ));
        }
        let command = Command::Join {
            kind,
            process: process.clone(),
        };
        let joined = self.core.submit_own(now.wall, &command);
        let joined = joined.map_err(|rejection| rejection.problem())?;
        let worker = WorkerId(joined.first.0);
        self.watch(worker, process);
        Ok(worker)
    }

    pub(super) fn watch(&mut self, worker: WorkerId, process: ProcessIdentity) {
        if self.departures.watched.insert(worker) {
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
        let kind = known.map(|known| known.kind);
        let Some((name, open)) = known.map(|known| (known.name.clone(), known.attempt)) else {
            return;
        };
        let link = self.peers.links.entry(worker).or_default();
        link.heard_ms = now.mono_ms;
        link.absent = false;
        let earlier = link.connection.replace(connection);
        if let Some(earlier) = earlier.filter(|&earlier| earlier != connection) {
            self.peers.connections.remove(&earlier);
            self.effects.push(Effect::Close {
                connection: earlier,
            });
        }
        self.not_ready(worker);
        self.missing.known.extend(kind);
        self.peers
            .connections
            .insert(connection, Peer::Worker(worker));
        let held = holding.map(|holding| holding.attempt);
        let message = SchedulerMessage::Welcome {
            worker,
            name,
            epoch: self.core.epoch(),
            holding_accepted: held.is_none() || held == open,
        };
        self.send(worker, message);
        match open {
            // It was reserved for this worker, and the offer was lost.
            Some(attempt) if held.is_none() => self.offer(now, attempt),
            Some(attempt) if held == open => self.repeat_cancel(worker, attempt),
            // Its attempt is over. After dropping it, the worker asks again and is offered its own.
            _ => {}
        }
        self.repeat_order(worker);
    }

    /// Sends a worker that was not connected what the others were told.
    fn repeat_order(&mut self, worker: WorkerId) {
        let reason = EndReason::SchedulerEnding;
        match self.life.stage {
            Stage::Working | Stage::Ended => {}
            Stage::Draining | Stage::Leaving { .. } => {
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
                steps,
            } => {
                if self.held_by(worker) != Some(attempt) {
                    return;
                }
                if let Some(link) = self.peers.links.get_mut(&worker) {
                    let line = activity.lines().next().unwrap_or_default();
                    link.phase = Some(phase);
                    link.activity = clip_clean(line, ACTIVITY_BYTES_MAX);
                    link.active_at = now.wall;
                }
                self.got_to(now, attempt, phase, steps);
            }
            WorkerMessage::Report(report) => self.reported(now, Waiting { worker, report }),
            WorkerMessage::Leaving { reason } => self.leaving(now, worker, reason),
        }
    }

    fn ready(&mut self, now: Now, worker: WorkerId) {
        let known = self.core.state().workers().get(&worker);
        let Some((kind, open)) = known.map(|known| (known.kind, known.attempt)) else {
            return;
        };
        if let Some(attempt) = open {
            // It does not know its own attempt: send it again.
            self.offer(now, attempt);
            return;
        }
        if let Some(place) = self.peers.enqueue(worker) {
            self.world.idle.insert(place, (worker, kind));
        }
    }
}

/// How the process that a worker says it is differs from the one that the kernel reports.
fn misidentified(hello: &Hello) -> Option<Problem> {
    let pid = hello.caller.pid;
    if pid != hello.process.pid {
        return Some(Problem::new(
            format!(
                "it says that it is process {}, but the kernel says {pid}",
                hello.process.pid
            ),
            "start worker and scheduler in the same pid namespace",
        ));
    }
    if let Some(ticks) = hello
        .caller
        .start_ticks()
        .filter(|&it| it != hello.process.start_ticks)
    {
        return Some(Problem::new(
            format!(
                "it says that process {pid} started at tick {}, but the kernel says {ticks}",
                hello.process.start_ticks,
            ),
            "start the worker again",
        ));
    }
    None
}
