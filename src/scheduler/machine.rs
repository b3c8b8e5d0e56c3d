//! Everything that can happen to a scheduler, as inputs and effects, without I/O.
//!
//! An effect may speak of events that are not durable yet; the shell carries it out only when
//! they are. That is the one rule by which nothing acknowledged is ever lost.

mod branch;
mod client;
mod death;
mod inputs;
mod life;
mod merge;
mod missing_workers;
mod overdue;
#[cfg(test)]
mod planted;
mod refusal;
mod report;
mod send_job;
mod troubles;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

pub use self::inputs::{Connection, Effect, Ending, Input, Now, Told};
use self::life::Stage;
use self::refusal::Refusals;
use super::core::Core;
use super::merge_call::MergeCall;
use super::merging::{Merging, Waiting};
use super::worker_pool::WorkerPool;
use crate::model::actor::{Actor, Caller};
use crate::model::command::{Command, Rejection};
use crate::model::event::{Event, Recorded};
use crate::model::ids::{AttemptId, CommitId, Timestamp, WorkerId};
use crate::model::plan::{Entropy, World};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;
use crate::protocol::{Phase, SchedulerMessage, ToClient};

/// Who the other side of a connection turned out to be.
#[derive(Clone, Debug)]
enum Peer {
    /// A worker that has not said hello.
    Stranger { caller: Caller },
    /// A worker.
    Worker(WorkerId),
    /// A command, and who gave it.
    Client(Actor),
}

/// A live worker process as the scheduler sees it.
#[derive(Clone, Debug, Default)]
struct Link {
    connection: Option<Connection>,
    /// Its place in the queue of those that asked for a job.
    ready: Option<u64>,
    /// It has been silent for too long: it is given no job, and does not count as there.
    absent: bool,
    phase: Option<Phase>,
    activity: String,
    active_at: Timestamp,
    /// When it was last heard of, in monotonic milliseconds.
    heard_ms: u64,
    /// Since when its attempt is known to this process, in monotonic milliseconds.
    since_ms: u64,
    /// It was told to give its attempt up: when, and why.
    cancelled: Option<(u64, String)>,
    /// It was killed, and its end is awaited.
    killed: bool,
}

/// The scheduler without its I/O.
pub struct Machine {
    core: Core,
    entropy: Box<dyn Entropy + Send>,
    connections: BTreeMap<Connection, Peer>,
    links: BTreeMap<WorkerId, Link>,
    merging: Merging,
    crew: WorkerPool,
    world: World,
    asked: u64,
    stage: Stage,
    /// Processes whose end is awaited.
    watched: BTreeSet<WorkerId>,
    /// Workers of which nothing is left, but whose last report is still on its way; they leave
    /// when it is settled.
    dead: BTreeSet<WorkerId>,
    /// Workers that report on another worker's attempt, found in the spool. They are answered
    /// when it is known what became of it; one each, because a worker has one attempt at hand.
    foreign_reports: BTreeMap<WorkerId, Waiting>,
    /// The merge that git is asked about.
    merge_call: Option<MergeCall>,
    /// Moves of the branch that git has been asked to explain.
    explaining: u32,
    /// Kinds of workers that work waits for and of which nobody is there: since when, in
    /// monotonic milliseconds.
    lacking: BTreeMap<WorkerKind, u64>,
    /// Kinds of which somebody was there, or is to be kept there.
    known_kinds: BTreeSet<WorkerKind>,
    /// Since when a trouble of the machine has kept the crew back, in monotonic milliseconds.
    troubled_since_ms: Option<u64>,
    /// When workers were last looked after, and are to be the next time.
    looked_ms: u64,
    look_at_ms: u64,
    /// Kills at the end of the process that may still wait for the disk.
    unconfirmed: u32,
    refusals: Refusals,
    /// What workers of this run are told; empty when anything goes.
    config: String,
    effects: Vec<Effect>,
    pid: u32,
    since: Timestamp,
    /// The time of the last step.
    now: Timestamp,
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
    pub fn new(core: Core, entropy: Box<dyn Entropy + Send>, crew: WorkerPool, pid: u32) -> Self {
        let known_kinds = crew.kinds().collect();
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
            foreign_reports: BTreeMap::new(),
            merge_call: None,
            explaining: 0,
            lacking: BTreeMap::new(),
            known_kinds,
            troubled_since_ms: None,
            looked_ms: 0,
            look_at_ms: 0,
            unconfirmed: 0,
            refusals: Refusals::default(),
            config: String::new(),
            effects: Vec::new(),
            pid,
            since: Timestamp(0),
            now: Timestamp(0),
        }
    }

    /// The working state.
    pub fn state(&self) -> &State {
        self.core.state()
    }

    /// The state, when nothing more is to happen.
    pub fn into_state(self) -> State {
        self.core.into_state()
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
    ) -> Result<(), Rejection> {
        self.since = now.wall;
        self.now = now.wall;
        let command = Command::StartRun {
            branch: branch.to_owned(),
            head: head.clone(),
            settings: settings.clone(),
            seed,
        };
        self.core.submit_own(now.wall, &command)?;
        self.look_at_earlier_moves();
        self.held(now, None);
        self.recover(now);
        Ok(())
    }

    /// Takes one input in. Call [`Machine::finish`] when all that wait are in.
    pub fn step(&mut self, now: Now, input: Input) {
        match input {
            Input::Opened { connection, caller } => {
                let stranger = Peer::Stranger { caller };
                self.connections.insert(connection, stranger);
            }
            Input::OpenedClient { connection, caller } => {
                let actor = self.actor(&caller);
                self.connections.insert(connection, Peer::Client(actor));
            }
            Input::Worker {
                connection,
                message,
            } => self.worker_message(now, connection, *message),
            Input::Client {
                connection,
                message,
            } => self.client_message(now, connection, *message),
            Input::Closed { connection } => self.closed(now, connection),
            Input::Died { worker } => self.died(now, worker),
            Input::CleanedUp { worker, spooled } => self.reaped(now, worker, spooled.map(|it| *it)),
            Input::Merged { attempt, merged } => self.merged(now, attempt, &merged),
            Input::GitFailed { attempt, failure } => self.git_failed(now, attempt, failure),
            Input::ChildStarted { kind, pid } => self.child_started(now, kind, pid),
            Input::ChildEnded { pid, end } => {
                self.crew.ended(now.mono_ms, pid, end);
                self.world.crashing = self.crew.crashing();
            }
            Input::Explained(moved) => self.explained(now, moved),
            Input::Confirmed => self.kills_confirmed(now),
            Input::Stop(mode) => self.stop(now, mode),
            Input::ClockJumped { by_ms } => self.clock_jumped(now, by_ms),
            Input::Tick => {}
        }
    }

    /// Plans what follows from the inputs, and hands out what is to be done.
    pub fn finish(&mut self, now: Now) -> Step {
        self.now = now.wall;
        self.look_after_workers(now);
        self.settle_reports(now);
        self.look_for_lack(now);
        self.look_for_trouble(now);
        let wake_at = self.plan(now);
        self.ask_git(now);
        self.fill_crew(now);
        self.advance(now);
        let wall_wait = wake_at.map(|at| {
            let wait = at.since_ms(now.wall).max(1);
            now.mono_ms.saturating_add(wait)
        });
        let wakes = [
            wall_wait,
            self.crew.wake_at_ms(now.mono_ms),
            self.deadline_ms(),
            self.patience_until_ms(now),
            self.merge_call.as_ref().and_then(MergeCall::again_ms),
            self.trouble_until_ms(now),
        ];
        Step {
            batch: self.core.take_batch(),
            effects: std::mem::take(&mut self.effects),
            wake_ms: wakes.into_iter().flatten().min(),
        }
    }

    fn plan(&mut self, now: Now) -> Option<Timestamp> {
        // A feature whose work is no longer on the branch must not count as passing meanwhile.
        if !matches!(self.stage, Stage::Working) || self.explaining > 0 {
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
            let fresh = self.core.batch().iter().skip(before);
            let started: Vec<AttemptId> = fresh
                .filter(|recorded| matches!(recorded.event, Event::AttemptStarted(_)))
                .map(|recorded| AttemptId(recorded.sequence.0))
                .collect();
            for attempt in started {
                self.offer(now, attempt);
            }
            if let Command::FinishRun { outcome, .. } = command {
                #[cfg(test)]
                if planted!(TestAfterEnd) {
                    self.test_after_the_end(now);
                }
                self.begin_leaving(now, Ending::Finished(outcome), "the run is over");
                return None;
            }
        }
    }

    /// The wall clock went forward by so much while no time passed for this process.
    fn clock_jumped(&mut self, now: Now, by_ms: u64) {
        for link in self.links.values_mut() {
            link.active_at = link.active_at.plus_ms(by_ms);
        }
        let command = Command::NoteJump { by_ms };
        if let Err(rejection) = self.core.submit_own(now.wall, &command) {
            tracing::error!(%rejection, by_ms, "a jump of the clock was not noted");
        }
    }

    fn fill_crew(&mut self, now: Now) {
        if !matches!(self.stage, Stage::Working) || self.crew.wants_nobody() {
            return;
        }
        let mut others: BTreeMap<WorkerKind, u32> = BTreeMap::new();
        for (id, worker) in self.core.state().workers() {
            let absent = self.links.get(id).is_some_and(|link| link.absent);
            if !absent && !self.crew.is_child(worker.process.pid) {
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

    /// The attempt that a worker holds, as far as the log says.
    fn held_by(&self, worker: WorkerId) -> Option<AttemptId> {
        self.core.state().workers().get(&worker)?.attempt
    }

    /// Whether this attempt's commit is on its way to the branch.
    fn is_merging(&self, attempt: AttemptId) -> bool {
        let merge = self.core.state().open_merge();
        merge.is_some_and(|merge| merge.attempt == attempt)
    }
}
