//! Workers' processes: the real machine, driven as the worker's shell drives it.

use super::network::Link;
use super::steps::{AttemptEnv, Running};
use super::*;
use crate::model::evidence::{Failure, FailureKind};
use crate::model::report::Report;
use crate::protocol::WorkerMessage;
use crate::scheduler::worker_pool::ChildEnd;
use crate::worker::machine::{
    Effect, Exit, Input as WorkerInput, Leftover, Machine, Rules, StepKind,
};

/// A worker process.
pub struct Worker {
    pub kind: WorkerKind,
    pub process: ProcessIdentity,
    machine: Machine,
    /// Where its wall clock was at its start, and when that was; it never jumps.
    start: (Timestamp, u64),
    clock: crate::model::running::Running,
    /// It has not read its clock since it was stopped.
    stopped: bool,
    /// For how long it has been stopped in all.
    slept_ms: u64,
    /// When the last stop began, and how much of it is in `slept_ms`.
    stop_began_ms: u64,
    stop_counted_ms: u64,
    /// When it began its attempt, by the time in which it ran, and that attempt's limit.
    began: (u64, u64),
    /// Stopped by SIGSTOP until then.
    pub stopped_ms: u64,
    /// It was stopped, or hangs: whoever kills it is not to blame.
    pub troubled: bool,
    pub link: Link,
    pub running: Option<Running>,
    pub attempt_env: Option<AttemptEnv>,
    /// The attempt that it has in its hands.
    pub at_hand: Option<AttemptId>,
    /// What it reported last.
    pub said: Option<WorkerMessage>,
    pub serial: u64,
    tick_ms: Option<u64>,
    dice: Dice,
}

/// Left-overs that one worker takes up at its start.
const KEPT_MAX: usize = 64;

impl Worker {
    pub fn words(&self) -> String {
        format!(
            "{} {:?} {:?} at {:?} doing {:?}, stopped until {}",
            self.process.pid,
            self.kind,
            self.link,
            self.at_hand,
            self.running.as_ref().map(|running| &running.step.kind),
            self.stopped_ms
        )
    }

    /// SIGSTOP, and SIGCONT then.
    pub fn stop_until(&mut self, now_ms: u64, until_ms: u64) {
        if self.stopped_ms <= now_ms {
            // It ran between the two stops, and read its clock.
            if std::mem::take(&mut self.stopped) {
                self.clock.at(self.stopped_ms);
            }
            self.clock.keep_up(now_ms);
            (self.stop_began_ms, self.stop_counted_ms) = (now_ms, 0);
        }
        self.stopped = true;
        // A short stop is a busy machine, and counts.
        let length = until_ms.saturating_sub(self.stop_began_ms);
        if length >= crate::model::running::Running::STOP_MS && length > self.stop_counted_ms {
            self.slept_ms += length - self.stop_counted_ms;
            self.stop_counted_ms = length;
        }
        self.stopped_ms = self.stopped_ms.max(until_ms);
        self.troubled = true;
    }

    /// Its time, as the shell reads it: tick by tick, but for the times in which it was stopped.
    pub fn time(&mut self, now_ms: u64) -> Timestamp {
        if self.stopped_ms <= now_ms {
            if std::mem::take(&mut self.stopped) {
                self.clock.at(self.stopped_ms);
            }
            self.clock.keep_up(now_ms);
        }
        let mut clock = self.clock;
        self.start.0.plus_ms(clock.at(now_ms) - self.start.1)
    }
}

impl World {
    /// A new worker process; returns its pid.
    pub(super) fn spawn(&mut self, kind: WorkerKind) -> u32 {
        self.births += 1;
        self.pids += 1;
        let who = self.births;
        let process = ProcessIdentity {
            host: "box".to_owned(),
            boot_id: format!("boot {}", self.boot),
            pid: self.pids,
            start_ticks: who,
        };
        let kept = self.take_up(who);
        let rules = Rules {
            kind,
            process: process.clone(),
            orphan_limit_ms: self.scenario.orphan_limit_ms,
            config: String::new(),
            crew: false,
        };
        let start = (self.wall(), self.now_ms);
        self.note(|| format!("worker {who} ({kind:?}) starts, takes up {}", kept.len()));
        self.show(&Sight::Born { process: &process });
        let worker = Worker {
            kind,
            machine: Machine::new(rules, start.0, kept),
            process,
            start,
            clock: crate::model::running::Running::starting(start.1),
            stopped: false,
            slept_ms: 0,
            stop_began_ms: 0,
            stop_counted_ms: 0,
            began: (0, 0),
            stopped_ms: 0,
            troubled: false,
            link: Link::Down,
            running: None,
            attempt_env: None,
            at_hand: None,
            said: None,
            serial: 0,
            tick_ms: None,
            dice: Dice::new(self.scenario.seed, Stream::Process, who),
        };
        self.workers.insert(who, worker);
        let ms = self.disk.between(1, 200);
        self.after(ms, Item::Give(who, WorkerInput::Start));
        self.pids
    }

    /// What dead workers have left in the spool, oldest first.
    fn take_up(&mut self, who: Who) -> Vec<Leftover> {
        let mut kept = Vec::new();
        for (&attempt, spool) in &mut self.spool {
            if !self.workers.contains_key(&spool.owner) && kept.len() < KEPT_MAX {
                spool.owner = who;
                let (kind, report) = (spool.kind, spool.result.clone());
                kept.push(Leftover {
                    attempt,
                    kind,
                    report,
                });
            }
        }
        kept
    }

    /// Something happens to a worker; later, when it is stopped.
    pub(super) fn give(&mut self, who: Who, input: WorkerInput) {
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        if worker.stopped_ms > now_ms {
            let later = worker.stopped_ms;
            return self.at(later, Item::Give(who, input));
        }
        let (now, random) = (worker.time(now_ms), worker.dice.wide());
        let effects = worker.machine.step(now, random, input);
        for effect in effects {
            self.worker_does(who, effect);
        }
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        // One more millisecond, as the shell waits.
        let wake = worker.machine.wake_at();
        let wake = wake.map(|at| now_ms + at.since_ms(worker.time(now_ms)) + 1);
        if wake.is_some() && wake != worker.tick_ms {
            worker.tick_ms = wake;
            self.at(wake.unwrap_or_default(), Item::Tick(who));
        }
    }

    pub(super) fn tick(&mut self, who: Who) {
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        if worker.tick_ms.is_some_and(|at| at <= now_ms) {
            worker.tick_ms = None;
            self.give(who, WorkerInput::Tick);
        }
    }

    fn worker_does(&mut self, who: Who, effect: Effect) {
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        match effect {
            Effect::Connect => {
                worker.link = Link::Opening;
                let ms = worker.dice.between(0, 3);
                self.after(ms, Item::Connect(who));
            }
            Effect::Disconnect => {
                if let Link::Open(connection) = worker.link {
                    self.worker_hangs_up(connection);
                }
                if let Some(worker) = self.workers.get_mut(&who) {
                    worker.link = Link::Down;
                }
            }
            Effect::Send(message) => {
                if matches!(message, WorkerMessage::Report(_)) {
                    worker.said = Some(message.clone());
                }
                if let Link::Open(connection) = worker.link {
                    self.say(connection, message);
                }
            }
            Effect::Begin(step) => {
                self.time_worker(who, &step.kind);
                self.begin_step(who, step);
            }
            Effect::Interrupt => self.interrupt_step(who),
            Effect::Say(line) => self.note(|| format!("worker {who}: {line}")),
            Effect::Exit(exit) => self.worker_exits(who, &exit),
        }
    }

    /// Notes when work on an attempt begins, and checks its end when its time was up.
    fn time_worker(&mut self, who: Who, step: &StepKind) {
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        let ran_ms = now_ms - worker.slept_ms;
        match step {
            StepKind::Make(offer) => worker.began = (ran_ms, offer.settings.time_limit_ms),
            StepKind::Spool(spooled) => {
                let Report::Failed { failures, .. } = &spooled.report else {
                    return;
                };
                let timed_out = |(_, it): &(_, Failure)| it.kind == FailureKind::TimeLimit;
                if failures.iter().any(timed_out) {
                    let (began_ms, limit_ms) = worker.began;
                    let ran_ms = ran_ms - began_ms;
                    self.show(&Sight::TimedOut { ran_ms, limit_ms });
                }
            }
            _ => {}
        }
    }

    fn worker_hangs_up(&mut self, connection: Connection) {
        self.tell_scheduler(connection, Input::Closed { connection });
        self.wires.remove(&connection);
    }

    fn worker_exits(&mut self, who: Who, exit: &Exit) {
        self.note(|| format!("worker {who} ends: {exit:?}"));
        self.worker_dies(who);
    }

    /// The process is gone; its agents follow, not at once.
    pub(super) fn worker_dies(&mut self, who: Who) {
        self.finish_spooling(who);
        let Some(worker) = self.workers.remove(&who) else {
            return;
        };
        self.note(|| format!("worker {who} is dead"));
        self.show(&Sight::Died {
            process: &worker.process,
        });
        if let Link::Open(connection) = worker.link {
            self.worker_hangs_up(connection);
        }
        let trees: Vec<AttemptId> = (self.trees.iter())
            .filter_map(|(&attempt, &its)| (its == who).then_some(attempt))
            .collect();
        for attempt in trees {
            let ms = self.disk.between(0, 2_000);
            self.after(ms, Item::TreeGone(attempt));
        }
        self.tell_of_death(&worker.process);
        if !self.scenario.crewed {
            // Somebody starts another one by hand.
            let ms = self.disk.between(500, 20_000);
            self.after(ms, Item::Spawn(worker.kind));
        }
    }

    fn tell_of_death(&mut self, process: &ProcessIdentity) {
        let Some(scheduler) = &mut self.scheduler else {
            return;
        };
        let (reign, pid) = (scheduler.reign, process.pid);
        let child = scheduler.children.contains(&pid);
        let (watches, left) = std::mem::take(&mut scheduler.watches)
            .into_iter()
            .partition(|(_, watched)| watched == process);
        scheduler.watches = left;
        for (worker, _) in watches {
            let ms = self.disk.between(0, 50);
            self.after(ms, Item::Input(reign, Input::Died { worker }));
        }
        if child {
            let ms = self.disk.between(0, 50);
            self.after(
                ms,
                Item::Input(
                    reign,
                    Input::ChildEnded {
                        pid,
                        end: ChildEnd::Killed,
                    },
                ),
            );
        }
    }

    pub(super) fn tree_gone(&mut self, attempt: AttemptId) {
        if self.trees.remove(&attempt).is_some() {
            self.note(|| format!("nothing is left of the agents of {attempt}"));
            self.show(&Sight::TreeGone { attempt });
        }
    }
}
