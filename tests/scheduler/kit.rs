//! A machine on virtual time, whose disk is quick unless told otherwise, and whose world does what
//! the test says.

use std::collections::BTreeMap;

use crewlog::model::actor::Caller;
use crewlog::model::apply::apply;
use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::{Event, Recorded};
use crewlog::model::evidence::Usage;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::*;
use crewlog::model::report::{AttemptReport, Report};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::state::State;
use crewlog::protocol::{
    ClientMessage, Holding, JobOffer, Phase, SchedulerMessage, ToClient, WorkerMessage,
};
use crewlog::scheduler::core::Core;
use crewlog::scheduler::machine::{Connection, Effect, Input, Machine, Now};
use crewlog::scheduler::ports::Merged;
use crewlog::scheduler::worker_pool::WorkerPool;

pub use crate::parts::*;

/// A few seconds after the epoch of these tests.
pub const BEGIN_MS: u64 = 1_000_000;

pub fn fold(log: &[Recorded]) -> State {
    let mut state = State::default();
    log.iter().for_each(|recorded| apply(&mut state, recorded));
    state.settle();
    state
}

/// What a worker of these tests knows of itself.
#[derive(Clone, Debug)]
pub struct Hand {
    pub connection: Connection,
    pub pid: u32,
    pub worker: WorkerId,
}

pub struct World {
    pub machine: Machine,
    /// What is on the disk.
    pub log: Vec<Recorded>,
    pub now: Now,
    pub wake_ms: Option<u64>,
    pub settings: Settings,
    /// What was carried out and not looked at yet.
    pub effects: Vec<Effect>,
    /// Effects wait for the disk: nobody says `Confirmed` but the test.
    pub slow_disk: bool,
    /// git answers at once, and knows nothing, when it is asked what was done to the branch.
    pub git_explains: bool,
    connections: u64,
    commands: u64,
}

impl World {
    /// A run whose backlog is still to come.
    pub fn new() -> Self {
        let feature = FeatureId(999);
        let mut world = Self::of(vec![(feature, spec("for the moment", &[]))]);
        world.machine.stay();
        world.person(PersonCommand::Remove { feature });
        world
    }

    /// A run with this backlog.
    pub fn of(backlog: Vec<(FeatureId, FeatureSpec)>) -> Self {
        Self::with(quiet(), &[], backlog)
    }

    pub fn with(
        settings: Settings,
        crew: &[(WorkerKind, u32)],
        backlog: Vec<(FeatureId, FeatureSpec)>,
    ) -> Self {
        let mut core = Core::new(State::default(), Epoch(0));
        let (features, update) = (backlog, false);
        let import = Command::Person(PersonCommand::Import { features, update });
        let now = Timestamp(BEGIN_MS - 1_000);
        core.submit(&person(), command(1), now, &import)
            .expect("a good backlog");
        let log = core.take_batch();
        Self::on(log, settings, crew, &commit(0), BEGIN_MS)
    }

    /// A scheduler that starts on this log.
    pub fn on(
        log: Vec<Recorded>,
        settings: Settings,
        crew: &[(WorkerKind, u32)],
        head: &CommitId,
        wall_ms: u64,
    ) -> Self {
        Self::begin(log, settings, crew, head, wall_ms, true)
    }

    fn begin(
        log: Vec<Recorded>,
        settings: Settings,
        crew: &[(WorkerKind, u32)],
        head: &CommitId,
        wall_ms: u64,
        git_explains: bool,
    ) -> Self {
        let epoch = Epoch(log.last().map_or(0, |last| last.epoch.0) + 1);
        let core = Core::new(fold(&log), epoch);
        let crew = WorkerPool::new(BTreeMap::from_iter(crew.iter().copied()));
        let machine = Machine::new(core, Box::new(Counting(7)), crew, 1);
        let now = Now {
            wall: Timestamp(wall_ms),
            mono_ms: 0,
        };
        let mut world = Self {
            machine,
            log,
            now,
            wake_ms: None,
            settings,
            effects: Vec::new(),
            slow_disk: false,
            git_explains,
            connections: epoch.0 * 1_000,
            commands: epoch.0 * 1_000,
        };
        let settings = world.settings.clone();
        let started = world.machine.start(now, "main", head, &settings, 7);
        started.expect("a run starts");
        world.finish();
        world
    }

    /// The scheduler is killed, and started again on what is on the disk.
    pub fn restart(self, head: &CommitId) -> Self {
        let wall = self.now.wall.0 + 1_000;
        Self::on(self.log, self.settings, &[], head, wall)
    }

    /// The same, and git has not answered yet what was done to the branch.
    pub fn restart_asking(self, head: &CommitId) -> Self {
        let wall = self.now.wall.0 + 1_000;
        Self::begin(self.log, self.settings, &[], head, wall, false)
    }

    pub fn step(&mut self, input: Input) {
        self.machine.step(self.now, input);
        self.finish();
    }

    pub fn finish(&mut self) {
        let step = self.machine.finish(self.now);
        self.log.extend(step.batch);
        let mut confirms = step
            .effects
            .iter()
            .filter(|it| **it == Effect::Confirm)
            .count();
        let explain = |it: &&Effect| matches!(it, Effect::Explain { .. });
        let explains = step.effects.iter().filter(explain).count();
        self.effects.extend(step.effects);
        self.wake_ms = step.wake_ms;
        if self.slow_disk {
            confirms = 0;
        }
        if self.git_explains {
            for _ in 0..explains {
                self.step(Input::Explained(None));
            }
        }
        for _ in 0..confirms {
            self.step(Input::Confirmed);
        }
    }

    /// Lets time pass, stepping whenever the machine wants to be.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        let mut steps = 0;
        while let Some(at) = self.wake_ms.filter(|&at| at <= end) {
            let at = at.max(self.now.mono_ms);
            self.now.wall = self.now.wall.plus_ms(at - self.now.mono_ms);
            self.now.mono_ms = at;
            self.step(Input::Tick);
            steps += 1;
            assert!(steps < 10_000, "it wakes again and again at {at}");
        }
        self.now.wall = self.now.wall.plus_ms(end - self.now.mono_ms);
        self.now.mono_ms = end;
    }

    pub fn open(&mut self, pid: u32) -> Connection {
        self.connections += 1;
        let connection = Connection(self.connections);
        let caller = caller(pid);
        self.step(Input::Opened { connection, caller });
        connection
    }

    pub fn say(&mut self, connection: Connection, message: WorkerMessage) {
        let message = Box::new(message);
        self.step(Input::Worker {
            connection,
            message,
        });
    }

    /// A worker connects and says who it is; what it is answered.
    pub fn hello(
        &mut self,
        kind: WorkerKind,
        pid: u32,
        worker: Option<WorkerId>,
        holding: Option<AttemptId>,
    ) -> (Connection, Vec<SchedulerMessage>) {
        let connection = self.open(pid);
        let holding = holding.map(|attempt| Holding {
            attempt,
            acknowledged: Sequence(0),
        });
        self.say(
            connection,
            WorkerMessage::Hello {
                kind,
                process: process(pid),
                worker,
                holding,
                config: String::new(),
            },
        );
        let heard = self.heard(connection);
        (connection, heard)
    }

    /// A worker that has joined.
    pub fn worker(&mut self, kind: WorkerKind, pid: u32) -> Hand {
        let (connection, heard) = self.hello(kind, pid, None, None);
        let [SchedulerMessage::Welcome { worker, .. }, ..] = heard.as_slice() else {
            panic!("no welcome: {heard:?}");
        };
        Hand {
            connection,
            pid,
            worker: *worker,
        }
    }

    /// A coding worker that has joined and asked for a job.
    pub fn coder(&mut self, pid: u32) -> Hand {
        let hand = self.worker(WorkerKind::Coding, pid);
        self.say(hand.connection, WorkerMessage::Ready);
        hand
    }

    /// The job that was sent to a worker.
    pub fn job(&mut self, hand: &Hand) -> JobOffer {
        let heard = self.heard(hand.connection);
        match heard.as_slice() {
            [SchedulerMessage::Job(job)] => {
                let job = (**job).clone();
                // The first agent of a scheduler goes alone until it has started.
                self.progress(hand, job.attempt, Phase::Session, 0);
                job
            }
            other => panic!("no job: {other:?}"),
        }
    }

    /// A worker says how far its attempt is.
    pub fn progress(&mut self, hand: &Hand, attempt: AttemptId, phase: Phase, steps: u32) {
        let activity = String::new();
        self.say(
            hand.connection,
            WorkerMessage::Progress {
                attempt,
                phase,
                activity,
                steps,
            },
        );
    }

    pub fn report(&mut self, hand: &Hand, attempt: AttemptId, report: Report) -> CommandId {
        self.commands += 1;
        let command = command(self.commands);
        self.report_as(hand, attempt, report, command);
        command
    }

    /// A report of an agent that may have done nothing at all.
    pub fn report_of(&mut self, hand: &Hand, attempt: AttemptId, report: Report, workless: bool) {
        self.commands += 1;
        let command = command(self.commands);
        let report = AttemptReport {
            command,
            attempt,
            report,
            usage: Usage::default(),
            workless,
        };
        self.say(hand.connection, WorkerMessage::Report(report));
    }

    pub fn report_as(
        &mut self,
        hand: &Hand,
        attempt: AttemptId,
        report: Report,
        command: CommandId,
    ) {
        let usage = Usage::default();
        self.say(
            hand.connection,
            WorkerMessage::Report(AttemptReport {
                command,
                attempt,
                report,
                usage,
                workless: false,
            }),
        );
    }

    pub fn close(&mut self, connection: Connection) {
        self.step(Input::Closed { connection });
    }

    /// The process ends; what it had written down.
    pub fn dies(&mut self, hand: &Hand, spooled: Option<Report>) {
        let worker = hand.worker;
        self.close(hand.connection);
        self.step(Input::Died { worker });
        let reaped = |effect: &Effect| match effect {
            Effect::CleanUpAttempt {
                worker: its,
                attempt,
            } if *its == worker => Some(*attempt),
            _ => None,
        };
        if let Some(attempt) = self.effects.iter().find_map(reaped) {
            self.effects.retain(|effect| reaped(effect).is_none());
            self.commands += 1;
            let command = command(self.commands);
            let report = spooled.map(|report| {
                Box::new(AttemptReport {
                    command,
                    attempt,
                    report,
                    usage: Usage::default(),
                    workless: false,
                })
            });
            self.step(Input::CleanedUp { worker, report });
        }
    }

    /// What was sent to a worker since the last look.
    pub fn heard(&mut self, connection: Connection) -> Vec<SchedulerMessage> {
        let mut heard = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::Send {
                connection: its,
                message,
            } if *its == connection => {
                heard.push((**message).clone());
                false
            }
            _ => true,
        });
        heard
    }

    /// A person's command, and its answer.
    pub fn person(&mut self, command: PersonCommand) -> ToClient {
        self.commands += 1;
        let id = self::command(self.commands);
        self.person_as(id, command)
    }

    pub fn person_as(&mut self, id: CommandId, command: PersonCommand) -> ToClient {
        let message = Box::new(ClientMessage::Command { id, command });
        self.client(*message)
    }

    pub fn client(&mut self, message: ClientMessage) -> ToClient {
        self.connections += 1;
        let connection = Connection(self.connections);
        self.step(Input::OpenedClient {
            connection,
            caller: Caller::person(1000, 4_711, "pts/3"),
        });
        let message = Box::new(message);
        self.step(Input::Client {
            connection,
            message,
        });
        let mut told = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::Reply {
                connection: its,
                message,
            } if *its == connection => {
                told.push((**message).clone());
                false
            }
            _ => true,
        });
        self.close(connection);
        assert_eq!(told.len(), 1, "one answer: {told:?}");
        told.remove(0)
    }

    pub fn import(&mut self, features: Vec<(FeatureId, FeatureSpec)>) {
        let update = false;
        let answer = self.person(PersonCommand::Import { features, update });
        assert!(matches!(answer, ToClient::Accepted { .. }), "{answer:?}");
    }

    /// The merge that git is asked for.
    pub fn merge_asked(&mut self) -> Option<(AttemptId, CommitId, CommitId)> {
        let mut asked = None;
        self.effects.retain(|effect| match effect {
            Effect::Merge {
                attempt,
                onto,
                commit,
            } => {
                assert!(asked.is_none(), "two merges at once");
                asked = Some((*attempt, onto.clone(), commit.clone()));
                false
            }
            _ => true,
        });
        asked
    }

    pub fn git_says(&mut self, attempt: AttemptId, merged: bool, head: &CommitId) {
        let head = head.clone();
        let merged = Merged { merged, head };
        self.step(Input::Merged { attempt, merged });
    }

    /// The names of the events from `from` on.
    pub fn events(&self, from: usize) -> Vec<&'static str> {
        let fresh = self.log.iter().skip(from);
        fresh.map(|recorded| recorded.event.name()).collect()
    }

    pub fn has(&self, wanted: impl Fn(&Effect) -> bool) -> bool {
        self.effects.iter().any(wanted)
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        let events = self.log.iter().map(|recorded| &recorded.event);
        events.filter(|event| wanted(event)).count()
    }
}
