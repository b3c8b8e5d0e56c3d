//! The world around one scheduler machine: a disk, a network, processes, git, a person, and time.
//! Everything that happens stands in an agenda; what is random comes from one seed.

mod faults;
mod network;
mod process;
mod processes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crewlog::model::command::PersonCommand;
use crewlog::model::event::Recorded;
use crewlog::model::ids::{AttemptId, CommandId, Epoch, Timestamp, WorkerId};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::state::State;
use crewlog::protocol::{ClientMessage, SchedulerMessage, ToClient, WorkerMessage};
use crewlog::scheduler::core::Core;
use crewlog::scheduler::crew::Crew;
use crewlog::scheduler::machine::{Connection, Effect, Ending, Input, Machine, Now, Step};
use crewlog::scheduler::outside::Spooled;

use crate::checks::{Checks, Truth};
use crate::dice::Dice;
use crate::git::Git;
use crate::worker::{Deed, Worker};

/// The run has to end so long after the last fault: two hours, for waits and killed workers.
const PATIENCE_MS: u64 = 7_200_000;

pub enum Item {
    /// For the scheduler of that reign, if it still lives.
    Input(u64, Input),
    /// The batch that is on its way becomes durable.
    Commit(u64),
    /// The machine wanted to be woken.
    Wake(u64),
    /// A message for a worker.
    Hear(Connection, u32, SchedulerMessage),
    /// The worker's end of a connection is closed.
    Lost(Connection, u32),
    Look(u32),
    Heartbeat(u32),
    Connect(u32),
    Kill(u32),
    Git(
        u64,
        AttemptId,
        crewlog::model::ids::CommitId,
        crewlog::model::ids::CommitId,
    ),
    Start,
    Fault,
    Person,
    Spawn(WorkerKind),
}

/// A scheduler process.
struct Process {
    machine: Machine,
    reign: u64,
    waiting: Step,
    committing: Option<(Vec<Recorded>, Vec<Effect>)>,
    /// Workers that it started and that have not ended.
    children: BTreeSet<u32>,
    watches: Vec<(WorkerId, u32)>,
}

pub struct World {
    pub dice: Dice,
    pub now_ms: u64,
    agenda: BTreeMap<(u64, u64), Item>,
    entries: u64,
    process: Option<Process>,
    reign: u64,
    pub log: Vec<Recorded>,
    pub git: Git,
    pub checks: Checks,
    pub workers: BTreeMap<u32, Worker>,
    pub alive: BTreeSet<u32>,
    reaped: BTreeSet<AttemptId>,
    spool: BTreeMap<AttemptId, (u32, Spooled)>,
    /// Who is at the other end of a connection, and when the last message on it arrives there.
    wires: BTreeMap<Connection, (u32, u64, u64)>,
    connections: u64,
    pids: u32,
    pub settings: Settings,
    crew: BTreeMap<WorkerKind, u32>,
    /// No faults after this time.
    pub fair_ms: u64,
    /// The person's command that waits for its answer.
    wish: Option<(CommandId, PersonCommand, Option<Connection>)>,
    wishes: u64,
    pub ended: Option<Ending>,
    pub steps: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let settings = Settings {
            max_concurrency: dice.between(1, 4) as u32,
            testing: dice.between(0, 2) as u32,
            batch_size: dice.between(1, 3) as u32,
            retry_backoff_ms: 100,
            retry_backoff_ms_max: 5_000,
            time_limit_ms: 300_000,
            check_limit_ms: 60_000,
            ..Settings::default()
        };
        let count = dice.between(3, 8) as u32;
        let backlog = crate::person::backlog(&mut dice, count);
        let fair_ms = dice.between(10_000, 400_000);
        let crewed = dice.percent(50);
        let crew = [(WorkerKind::Coding, 2), (WorkerKind::Testing, 1)];
        let mut world = Self {
            now_ms: 1_000_000,
            agenda: BTreeMap::new(),
            entries: 0,
            process: None,
            reign: 0,
            log: Vec::new(),
            git: Git::new(),
            checks: Checks::default(),
            workers: BTreeMap::new(),
            alive: BTreeSet::new(),
            reaped: BTreeSet::new(),
            spool: BTreeMap::new(),
            wires: BTreeMap::new(),
            connections: 0,
            pids: 10,
            settings,
            crew: crew.into_iter().filter(|_| crewed).collect(),
            fair_ms: 1_000_000 + fair_ms,
            wish: None,
            wishes: 0,
            ended: None,
            steps: 0,
            dice,
        };
        world.import(backlog);
        world.after(0, Item::Start);
        let hands = if crewed { 0 } else { world.dice.between(1, 4) };
        for _ in 0..hands {
            world.after(100, Item::Spawn(WorkerKind::Coding));
        }
        if !crewed {
            world.after(100, Item::Spawn(WorkerKind::Testing));
        }
        world.after(1_000, Item::Fault);
        world.after(1_500, Item::Person);
        world
    }

    /// The backlog was imported before the first scheduler started.
    fn import(&mut self, features: Vec<crate::person::Entry>) {
        let mut core = Core::new(State::default(), Epoch(0));
        let import = PersonCommand::Import {
            features,
            update: false,
        };
        let command = crewlog::model::command::Command::Person(import);
        let submitted = core.submit(CommandId(1 << 90), Timestamp(1), &command);
        submitted.expect("a good backlog");
        self.write(core.take_batch());
    }

    pub fn after(&mut self, ms: u64, item: Item) {
        self.at(self.now_ms + ms, item);
    }

    pub fn at(&mut self, at_ms: u64, item: Item) {
        self.entries += 1;
        let at_ms = at_ms.max(self.now_ms);
        self.agenda.insert((at_ms, self.entries), item);
    }

    pub fn fair(&self) -> bool {
        self.now_ms >= self.fair_ms
    }

    /// Runs until the run is over, and looks whether all is well.
    pub fn run(&mut self) {
        while self.ended.is_none() {
            let Some(((at_ms, _), item)) = self.agenda.pop_first() else {
                panic!("nothing happens any more");
            };
            self.now_ms = at_ms;
            self.steps += 1;
            let late = self.now_ms > self.fair_ms + PATIENCE_MS;
            assert!(!late, "it does not end: {:#?}", self.sight());
            self.happen(item);
        }
        self.checks.end(&self.log, &self.git);
    }

    fn sight(&self) -> String {
        let state = &self.checks.state;
        let last = self.log.iter().rev().take(12).rev();
        let last: Vec<_> = last.map(|recorded| recorded.event.name()).collect();
        let workers: Vec<_> = (self.workers.values().filter(|worker| worker.alive))
            .map(|worker| (worker.pid, &worker.stage, worker.welcome))
            .collect();
        format!(
            "attempts {:?}\nmerge {:?}\nworkers {workers:?}\nlast {last:?}\nlive {:?}",
            state.attempts().keys(),
            state.open_merge().map(|merge| merge.attempt),
            self.process.as_ref().map(|process| process.machine.live()),
        )
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Input(reign, input) if self.reigns(reign) => self.input(input),
            Item::Commit(reign) if self.reigns(reign) => self.commit(),
            Item::Wake(reign) if self.reigns(reign) => self.input(Input::Tick),
            Item::Input(..) | Item::Commit(_) | Item::Wake(_) => {}
            Item::Hear(connection, pid, message) => self.hear(connection, pid, message),
            Item::Lost(connection, pid) => self.lost(connection, pid),
            Item::Look(pid) => self.look(pid),
            Item::Heartbeat(pid) => self.heartbeat(pid),
            Item::Connect(pid) => self.connect(pid),
            Item::Kill(pid) => self.kill(pid),
            Item::Git(reign, attempt, onto, commit) => {
                self.disturb_merge(attempt);
                let merged = self.git.merge(&onto, &commit);
                let ms = self.dice.between(0, 20);
                self.after(ms, Item::Input(reign, Input::Merged { attempt, merged }));
            }
            Item::Start => self.start(),
            Item::Fault => self.fault(),
            Item::Person => self.person(),
            Item::Spawn(kind) => {
                self.spawn(kind);
            }
        }
    }

    /// How many scheduler processes there were.
    pub fn reigns_so_far(&self) -> u64 {
        self.reign
    }

    fn reigns(&self, reign: u64) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.reign == reign)
    }
}
