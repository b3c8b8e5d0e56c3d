//! Everything that can happen to a scheduler, as inputs and effects, without I/O.
//!
//! An effect may speak of events that are not durable yet; the shell carries it out only when
//! they are. That is the one rule by which nothing acknowledged is ever lost.

mod client;
mod inputs;
mod life;
mod offer;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

pub use self::inputs::{Connection, Effect, Ending, Input, Now};
use super::core::Core;
use super::crew::Crew;
use super::merging::Merging;
use crate::model::command::Command;
use crate::model::event::{Event, Recorded, RunOutcome};
use crate::model::ids::{AttemptId, CommitId, Timestamp, WorkerId};
use crate::model::plan::{Entropy, World};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;
use crate::protocol::{Phase, SchedulerMessage, StopMode, ToClient};

/// Who the other side of a connection turned out to be.
#[derive(Clone, Debug)]
enum Peer {
    /// A worker that has not said hello.
    Stranger { pid: Option<u32> },
    /// A worker.
    Worker(WorkerId),
    /// A person's command.
    Client,
}

/// A live worker process as the scheduler sees it.
#[derive(Clone, Debug, Default)]
struct Link {
    connection: Option<Connection>,
    /// Its place in the queue of those that asked for a job.
    ready: Option<u64>,
    phase: Option<Phase>,
    activity: String,
    active_at: Timestamp,
    /// When it was last heard of, in monotonic milliseconds.
    heard_ms: u64,
    /// It was told to give its attempt up, at that time.
    cancelled_ms: Option<u64>,
    /// It was killed, and its end is awaited.
    killed: bool,
}

/// The scheduler's own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Working,
    /// Nothing new starts; ends with the last open attempt.
    Draining,
    /// Open attempts are being ended too; whoever is left at this time is killed.
    Stopping {
        kill_at_ms: u64,
    },
    /// The run is over; workers are leaving, at most until this time.
    Finishing {
        until_ms: u64,
        outcome: RunOutcome,
    },
    Ended,
}

/// The scheduler without its I/O.
pub struct Machine {
    core: Core,
    entropy: Box<dyn Entropy + Send>,
    connections: BTreeMap<Connection, Peer>,
    links: BTreeMap<WorkerId, Link>,
    merging: Merging,
    crew: Crew,
    world: World,
    asked: u64,
    stage: Stage,
    /// Processes whose end is awaited.
    watched: BTreeSet<WorkerId>,
    /// Workers that died while their merge was open; they leave when it is settled.
    dead: BTreeSet<WorkerId>,
    /// Merges that git has been asked about.
    asked_git: Option<AttemptId>,
    effects: Vec<Effect>,
    pid: u32,
    since: Timestamp,
}

/// What a step leads to.
#[derive(Debug, Default)]
pub struct Step {
    /// To be appended first.
    pub batch: Vec<Recorded>,
    /// To be carried out when the batch is durable, in order.
    pub effects: Vec<Effect>,
    /// Step again with [`Input::Tick`] at this time at the latest.
    pub wake_ms: Option<u64>,
}

impl Machine {
    /// A scheduler on what the log holds.
    pub fn new(core: Core, entropy: Box<dyn Entropy + Send>, crew: Crew, pid: u32) -> Self {
        Self {
            core,
            entropy,
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            merging: Merging::default(),
            crew,
            world: World::default(),
            asked: 0,
            stage: Stage::Working,
            watched: BTreeSet::new(),
            dead: BTreeSet::new(),
            asked_git: None,
            effects: Vec::new(),
            pid,
            since: Timestamp(0),
        }
    }

    /// The working state.
    pub fn state(&self) -> &State {
        self.core.state()
    }

    /// Keep the run open when everything is done.
    pub fn stay(&mut self) {
        self.world.stay = true;
    }

    /// Begins, or goes on with, a run whose branch is at `head`. To be called once, first.
    pub fn start(
        &mut self,
        now: Now,
        branch: &str,
        head: &CommitId,
        settings: &Settings,
        seed: u64,
    ) -> Result<(), crate::model::command::Rejection> {
        self.since = now.wall;
        let command = Command::StartRun {
            branch: branch.to_owned(),
            head: head.clone(),
            settings: settings.clone(),
            seed,
        };
        self.core.submit_own(now.wall, &command)?;
        self.recover(now);
        Ok(())
    }

    /// Takes one input in. Call [`Machine::finish`] when all that wait are in.
    pub fn step(&mut self, now: Now, input: Input) {
        match input {
            Input::Opened { connection, pid } => {
                self.connections.insert(connection, Peer::Stranger { pid });
            }
            Input::OpenedClient { connection } => {
                self.connections.insert(connection, Peer::Client);
            }
            Input::Worker {
                connection,
                message,
            } => self.worker_message(now, connection, *message),
            Input::Client {
                connection,
                message,
            } => self.client_message(now, connection, *message),
            Input::Closed { connection } => self.closed(connection),
            Input::Died { worker } => self.died(now, worker),
            Input::Reaped { worker, spooled } => self.reaped(now, worker, spooled.map(|it| *it)),
            Input::Merged { attempt, merged } => self.merged(now, attempt, &merged),
            Input::ChildStarted { kind, pid } => self.crew.started(now.mono_ms, kind, pid),
            Input::ChildEnded { pid } => self.crew.ended(now.mono_ms, pid),
            Input::Stop(mode) => self.stop(now, mode),
            Input::Tick => {}
        }
    }

    /// Plans what follows from the inputs, and hands out what is to be done.
    pub fn finish(&mut self, now: Now) -> Step {
        self.overdue(now);
        self.next_merges(now);
        let wake_at = self.plan(now);
        self.open_merge();
        self.fill_crew(now);
        self.advance(now);
        let wall_wait = wake_at.map(|at| now.mono_ms + at.since_ms(now.wall).max(1));
        let wakes = [
            wall_wait,
            self.crew.wake_at_ms(now.mono_ms),
            self.deadline_ms(now),
        ];
        Step {
            batch: self.core.take_batch(),
            effects: std::mem::take(&mut self.effects),
            wake_ms: wakes.into_iter().flatten().min(),
        }
    }

    fn plan(&mut self, now: Now) -> Option<Timestamp> {
        if !matches!(self.stage, Stage::Working) {
            return None;
        }
        loop {
            let plan = self.core.plan(now.wall, &self.world, &mut *self.entropy);
            let Some(command) = plan.command else {
                return plan.wake_at;
            };
            let before = self.core.batch().len();
            if let Err(rejection) = self.core.submit_own(now.wall, &command) {
                // The plan and the rules disagree: that is our bug. Waiting is the safe answer.
                tracing::error!(%rejection, ?command, "the plan was rejected");
                return plan.wake_at;
            }
            let started: Vec<AttemptId> = self.core.batch()[before..]
                .iter()
                .filter(|recorded| matches!(recorded.event, Event::AttemptStarted(_)))
                .map(|recorded| AttemptId(recorded.sequence.0))
                .collect();
            for attempt in started {
                self.offer(now, attempt);
            }
            if let Command::FinishRun { outcome, .. } = command {
                self.begin_finishing(now, outcome);
                return None;
            }
        }
    }

    /// Asks git about the open merge, once.
    fn open_merge(&mut self) {
        let merge = self.core.state().open_merge();
        let Some(merge) = merge.filter(|merge| self.asked_git != Some(merge.attempt)) else {
            return;
        };
        self.asked_git = Some(merge.attempt);
        self.effects.push(Effect::Merge {
            attempt: merge.attempt,
            onto: merge.onto.clone(),
            commit: merge.commit.clone(),
        });
    }

    fn fill_crew(&mut self, now: Now) {
        if !matches!(self.stage, Stage::Working) {
            return;
        }
        let mut others: BTreeMap<WorkerKind, u32> = BTreeMap::new();
        for worker in self.core.state().workers().values() {
            if !self.crew.is_child(worker.process.pid) {
                *others.entry(worker.kind).or_default() += 1;
            }
        }
        for kind in self.crew.missing(now.mono_ms, &others) {
            self.effects.push(Effect::StartWorker { kind });
        }
    }

    fn send(&mut self, worker: WorkerId, message: SchedulerMessage) {
        let connection = self.links.get(&worker).and_then(|link| link.connection);
        if let Some(connection) = connection {
            self.send_on(connection, message);
        }
    }

    fn send_on(&mut self, connection: Connection, message: SchedulerMessage) {
        let message = Box::new(message);
        self.effects.push(Effect::Send {
            connection,
            message,
        });
    }

    fn tell(&mut self, connection: Connection, message: ToClient) {
        let message = Box::new(message);
        self.effects.push(Effect::Tell {
            connection,
            message,
        });
    }

    fn closed(&mut self, connection: Connection) {
        let Some(Peer::Worker(worker)) = self.connections.remove(&connection) else {
            return;
        };
        // A closed connection alone requeues nothing: the process may live and come back.
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        if link.connection == Some(connection) {
            link.connection = None;
            self.not_ready(worker);
        }
    }

    fn not_ready(&mut self, worker: WorkerId) {
        let ready = self
            .links
            .get_mut(&worker)
            .and_then(|link| link.ready.take());
        if let Some(place) = ready {
            self.world.idle.remove(&place);
        }
    }

    fn stop(&mut self, now: Now, mode: StopMode) {
        match (self.stage, mode) {
            (Stage::Working, StopMode::Drain) => self.drain(),
            (Stage::Working | Stage::Draining, StopMode::Now) => self.stop_now(now),
            // The second Ctrl-C of somebody who has asked nicely once.
            (Stage::Draining, StopMode::Drain) => self.stop_now(now),
            _ => {}
        }
    }
}
