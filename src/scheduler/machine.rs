//! Everything that can happen to a scheduler, as inputs and effects, without I/O.
//!
//! An effect may depend on events that are not durable yet, so the runtime executes it only once
//! they are. This single rule keeps everything acknowledged from being lost.

mod branch;
mod client;
mod death;
mod inputs;
mod life;
mod merge;
mod missing_workers;
mod overdue;
mod peers;
#[cfg(test)]
mod planted;
mod probing;
mod refusal;
mod report;
mod send_job;
mod troubles;
mod worker;

use std::collections::BTreeMap;

use self::death::Departures;
pub use self::inputs::{Connection, Effect, Ending, Input, Now, RunConfig};
use self::life::Life;
use self::merge::Merges;
use self::missing_workers::MissingKinds;
use self::overdue::Watch;
use self::peers::{Peer, Peers};
use self::probing::{Asked, Workless};
use self::refusal::Refusals;
use super::core::Core;
use super::worker_pool::WorkerPool;
use crate::model::command::{Command, Rejection};
use crate::model::end_reason::EndReason;
use crate::model::event::{Event, Recorded};
use crate::model::ids::{AttemptId, CommitId, Timestamp, WorkerId};
use crate::model::plan::{Entropy, World};
use crate::model::profile::{ProfileName, Profiles};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;
use crate::protocol::{SchedulerMessage, ToClient};

/// The scheduler without its I/O.
pub struct Machine {
    /// The rules, on the working state.
    core: Core,
    entropy: Box<dyn Entropy + Send>,
    /// What `plan` gets besides the state.
    world: World,
    peers: Peers,
    merges: Merges,
    departures: Departures,
    missing: MissingKinds,
    watch: Watch,
    /// Since when only a problem of the setup holds the run up, in monotonic milliseconds.
    troubled_since_ms: Option<u64>,
    /// What agents have to show before the next one of their profile is let out.
    asked: BTreeMap<ProfileName, Asked>,
    workless: BTreeMap<ProfileName, Workless>,
    /// The agents of this run.
    profiles: Profiles,
    /// Workers of the scheduler's own.
    pool: WorkerPool,
    refusals: Refusals,
    /// The recorded config's part for workers, as text; empty if any config is accepted.
    config: String,
    life: Life,
    /// Effects of the present step.
    effects: Vec<Effect>,
}

/// The result of a step.
#[derive(Debug, Default)]
pub struct Step {
    /// Events to append first.
    pub batch: Vec<Recorded>,
    /// Effects to execute once the batch is durable, in order.
    pub effects: Vec<Effect>,
    /// Monotonic milliseconds at which the next [`Input::Tick`] is due.
    pub wake_ms: Option<u64>,
}

impl Machine {
    /// A scheduler that continues from the log's state.
    pub fn new(core: Core, entropy: Box<dyn Entropy + Send>, pool: WorkerPool, pid: u32) -> Self {
        Self {
            core,
            entropy,
            world: World::default(),
            peers: Peers::default(),
            merges: Merges::default(),
            departures: Departures::default(),
            missing: MissingKinds::knowing(pool.kinds()),
            watch: Watch::default(),
            troubled_since_ms: None,
            asked: BTreeMap::new(),
            workless: BTreeMap::new(),
            profiles: Profiles::default(),
            pool,
            refusals: Refusals::default(),
            config: String::new(),
            life: Life::new(pid),
            effects: Vec::new(),
        }
    }

    /// The working state.
    pub fn state(&self) -> &State {
        self.core.state()
    }

    /// The working state, after the last step.
    pub fn into_state(self) -> State {
        self.core.into_state()
    }

    /// Keep the run open when everything is done.
    pub fn stay(&mut self) {
        self.world.stay = true;
    }

    /// The agents that jobs may use. Without this, there is one without a name.
    pub fn use_profiles(&mut self, profiles: Profiles) {
        self.profiles = profiles;
    }

    /// Begins a run whose branch is at `head`, or continues one. Call it once, first.
    pub fn start(
        &mut self,
        now: Now,
        branch: &str,
        head: &CommitId,
        settings: &Settings,
        seed: u64,
    ) -> Result<(), Rejection> {
        self.life.since = now.wall;
        self.life.now = now.wall;
        let command = Command::StartRun {
            branch: branch.to_owned(),
            head: head.clone(),
            settings: settings.clone(),
            seed,
        };
        self.core.submit_own(now.wall, &command)?;
        let profiles = self.profiles.clone();
        let command = Command::SetProfiles { profiles };
        self.core.submit_own(now.wall, &command)?;
        self.look_at_earlier_moves();
        self.held(now, None);
        self.ask_for_starts();
        self.recover(now);
        Ok(())
    }

    /// Takes one input. Call [`Machine::finish`] after all that wait.
    pub fn step(&mut self, now: Now, input: Input) {
        match input {
            Input::Opened { connection, caller } => {
                let stranger = Peer::Stranger { caller };
                self.peers.connections.insert(connection, stranger);
            }
            Input::OpenedClient { connection, caller } => {
                let actor = self.actor(&caller);
                self.peers
                    .connections
                    .insert(connection, Peer::Client(actor));
            }
            Input::Worker {
                connection,
                message,
            } => self.worker_message(now, connection, *message),
            Input::Client {
                connection,
                message,
            } => self.client_message(now, connection, *message),
            Input::Asked {
                connection,
                actor,
                message,
            } => {
                let asking = Peer::Client(actor);
                self.peers.connections.insert(connection, asking);
                self.client_message(now, connection, *message);
                self.peers.connections.remove(&connection);
            }
            Input::Closed { connection } => self.closed(now, connection),
            Input::Died { worker } => self.died(now, worker),
            Input::CleanedUp { worker, report } => self.reaped(now, worker, report.map(|it| *it)),
            Input::Merged { attempt, merged } => self.merged(now, attempt, &merged),
            Input::GitFailed { attempt, failure } => self.git_failed(now, attempt, failure),
            Input::ChildStarted { kind, pid } => self.child_started(now, kind, pid),
            Input::ChildEnded { pid, end } => {
                self.pool.ended(now.mono_ms, pid, end);
                self.world.crashing = self.pool.crashing();
            }
            Input::Explained(moved) => self.explained(now, moved),
            Input::Confirmed => self.kills_confirmed(now),
            Input::Stop(mode) => self.stop(now, mode),
            Input::ClockJumped { by_ms } => self.clock_jumped(now, by_ms),
            Input::Tick => {}
        }
    }

    /// Plans what follows from the inputs, and returns what to do.
    pub fn finish(&mut self, now: Now) -> Step {
        self.life.now = now.wall;
        self.look_after_workers(now);
        self.settle_reports(now);
        self.note_missing_workers(now);
        self.look_for_trouble(now);
        self.look_for_outages();
        let wake_at = self.plan(now);
        self.ask_git(now);
        self.start_own_workers(now);
        self.advance(now);
        let wall_wait = wake_at.map(|at| {
            let wait = at.since_ms(now.wall).max(1);
            now.mono_ms.saturating_add(wait)
        });
        let wakes = [
            wall_wait,
            self.pool.wake_at_ms(now.mono_ms),
            self.deadline_ms(),
            self.wait_deadline_ms(now),
            self.merges.again_ms(),
            self.trouble_until_ms(now),
        ];
        Step {
            batch: self.core.take_batch(),
            effects: std::mem::take(&mut self.effects),
            wake_ms: wakes.into_iter().flatten().min(),
        }
    }

    fn plan(&mut self, now: Now) -> Option<Timestamp> {
        // A feature whose work is no longer on the branch must not count as passing until then.
        if !self.life.is_working() || self.merges.explaining > 0 {
            return None;
        }
        loop {
            let plan = self.core.plan(now.wall, &self.world, &mut *self.entropy);
            let Some(command) = plan.command else {
                return plan.wake_at;
            };
            let before = self.core.batch().len();
            if !self.record(now, &command) {
                // The plan and the rules disagree. Waiting is the safe answer.
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
                self.begin_leaving(now, Ending::Finished(outcome), EndReason::RunOver);
                return None;
            }
        }
    }

    /// The wall clock gained this many milliseconds on the time in which this process ran.
    fn clock_jumped(&mut self, now: Now, by_ms: u64) {
        self.peers.clock_jumped(by_ms);
        let command = Command::NoteJump { by_ms };
        self.record(now, &command);
    }

    /// Records what the scheduler itself knows or decides. False if the rules forbid it, which is a
    /// bug; nothing has changed then.
    fn record(&mut self, now: Now, command: &Command) -> bool {
        let recorded = self.core.submit_own(now.wall, command);
        if let Err(rejection) = &recorded {
            bug!("the scheduler's own command was rejected: {rejection}: {command:?}");
        }
        recorded.is_ok()
    }

    fn start_own_workers(&mut self, now: Now) {
        if !self.life.is_working() || self.pool.wants_nobody() {
            return;
        }
        let mut others: BTreeMap<WorkerKind, u32> = BTreeMap::new();
        for (id, worker) in self.core.state().workers() {
            let absent = self.peers.links.get(id).is_some_and(|link| link.absent);
            if !absent && !self.pool.is_child(worker.process.pid) {
                *others.entry(worker.kind).or_default() += 1;
            }
        }
        for kind in self.pool.missing(now.mono_ms, &others) {
            self.effects.push(Effect::StartWorker { kind });
        }
    }

    fn send(&mut self, worker: WorkerId, message: SchedulerMessage) {
        if let Some(connection) = self.peers.connection_of(worker) {
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

    fn reply(&mut self, connection: Connection, message: ToClient) {
        let message = Box::new(message);
        self.effects.push(Effect::Reply {
            connection,
            message,
        });
    }

    /// The attempt that a worker holds according to the log.
    fn held_by(&self, worker: WorkerId) -> Option<AttemptId> {
        self.core.state().workers().get(&worker)?.attempt
    }

    /// Whether this attempt's commit is being merged.
    fn is_merging(&self, attempt: AttemptId) -> bool {
        let merge = self.core.state().open_merge();
        merge.is_some_and(|merge| merge.attempt == attempt)
    }
}
