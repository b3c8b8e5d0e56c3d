//! The world around the real machines: a disk, connections, processes, git, people, and time.
//! Everything that happens stands in an agenda. Nothing here decides what a scheduler or a worker
//! does.

mod agents;
mod carry;
mod faults;
mod network;
mod people;
mod scheduler;
mod steps;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::apply::apply;
use crate::model::event::{Event, ProcessIdentity, Recorded};
use crate::model::ids::{AttemptId, CommandId, CommitId, FeatureId, Timestamp, WorkerId};
use crate::model::profile::ProfileName;
use crate::model::settings::WorkerKind;
use crate::model::state::State;
use crate::model::trouble::TroubleKind;
use crate::protocol::{SchedulerMessage, ToClient};
use crate::queue::EventLog;
use crate::queue::memory::MemoryLog;
use crate::scheduler::machine::{Connection, Input};
use crate::scheduler::runtime::Ending;
use crate::worker::machine as worker;

use self::network::Wire;
use self::people::Wish;
use self::scheduler::Scheduler;
use self::steps::Spool;
use self::workers::Worker;
use super::dice::{Dice, Stream};
use super::git::Git;
use super::scenario::Scenario;
use super::sight::{Observers, Sight, Violation};

/// The run has to end so long after the last fault: some hours, because a provider's limits and
/// the waits for stopped workers add up.
const PATIENCE_MS: u64 = 6 * 3_600_000;

/// No history that ends takes so many steps.
const STEPS_MAX: u64 = 200_000;

/// Where virtual time begins, on the wall clock.
const DAWN_MS: u64 = 1_700_000_000_000;

/// A process, by a number that is never given twice.
pub type Who = u64;

/// Something that is going to happen.
pub enum Item {
    /// For the scheduler of that reign, if it still lives.
    Input(u64, Input),
    /// It takes in what has arrived.
    Turn(u64),
    /// The batch that is on its way becomes durable.
    Synced(u64),
    /// The machine wanted to be woken.
    Wake(u64),
    /// Something for a worker.
    Give(Who, worker::Input),
    Hear(Connection, SchedulerMessage),
    /// The worker's end of a connection is closed.
    Lost(Connection),
    Connect(Who),
    StepDone(Who, u64),
    /// An agent shows that its provider answers.
    Answers(Who, u64),
    Tick(Who),
    /// A dead worker's agents end.
    TreeGone(AttemptId),
    CleanedUp(u64, WorkerId, AttemptId),
    /// A git ends: of which reign and boot, for whom, from where to where.
    Git(u64, u64, AttemptId, CommitId, CommitId),
    Spawn(WorkerKind),
    Start,
    Planned(usize),
    /// A person looks whether there is something to do.
    Look,
    Answer(Connection),
}

/// The moment at which a scheduler is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ambush {
    BeforeMerge,
    AfterMerge,
    Sync,
}

/// What a history was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub steps: u64,
    pub events: u64,
    pub sessions: u64,
    pub reigns: u64,
    /// Processes that were killed or lost their power.
    pub crashes: u64,
    pub virtual_ms: u64,
}

impl Stats {
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.events += other.events;
        self.sessions += other.sessions;
        self.reigns += other.reigns;
        self.crashes += other.crashes;
        self.virtual_ms += other.virtual_ms;
    }
}

pub struct World {
    pub scenario: Scenario,
    now_ms: u64,
    agenda: BTreeMap<(u64, u64), Item>,
    entries: u64,
    /// Until when the machine fails attempts, and how.
    machine_fails: Option<(u64, TroubleKind)>,
    /// Until when a profile's provider fails every session.
    outages: BTreeMap<ProfileName, u64>,
    /// Connections of agents.
    agents: BTreeSet<Connection>,
    /// What the wall clock is off by.
    skew_ms: i64,
    log: MemoryLog,
    disk: Dice,
    /// What `scheduler status` would show: the fold of what is on the disk.
    view: State,
    /// A snapshot: up to which event, and its bytes.
    snapshot: Option<(u64, Vec<u8>)>,
    scheduler: Option<Scheduler>,
    reigns: u64,
    workers: BTreeMap<Who, Worker>,
    births: u64,
    boot: u64,
    pids: u32,
    spool: BTreeMap<AttemptId, Spool>,
    /// Whose agents live, by attempt.
    trees: BTreeMap<AttemptId, Who>,
    /// Agents have been started so often for a feature.
    sessions: BTreeMap<FeatureId, u64>,
    wires: BTreeMap<Connection, Wire>,
    connections: u64,
    git: Git,
    wishes: VecDeque<Wish>,
    commands: u64,
    /// What this log's disk refuses or delays.
    disk_full: bool,
    disk_slow_until: u64,
    /// git fails until then.
    git_fails_until: u64,
    /// A git that is on its way to move the branch, and holds the lock: since which boot.
    git_on_its_way: Option<u64>,
    /// When attempts began, and in which reign.
    began: BTreeMap<AttemptId, (u64, u64)>,
    /// The scheduler is killed as soon as it does this.
    ambush: Option<Ambush>,
    runs_left: u32,
    observers: Observers,
    pub stats: Stats,
    /// What happened, in words, if anybody wants to know.
    pub trail: Option<Vec<String>>,
    violation: Option<Violation>,
    over: Option<Ending>,
}

impl World {
    pub fn new(scenario: Scenario) -> Self {
        let disk = Dice::new(scenario.seed, Stream::Disk, 0);
        let mut world = Self {
            now_ms: 0,
            agenda: BTreeMap::new(),
            entries: 0,
            machine_fails: None,
            outages: BTreeMap::new(),
            agents: BTreeSet::new(),
            skew_ms: 0,
            log: MemoryLog::new(),
            disk,
            view: State::default(),
            snapshot: None,
            scheduler: None,
            reigns: 0,
            workers: BTreeMap::new(),
            births: 0,
            boot: 1,
            pids: 10,
            spool: BTreeMap::new(),
            trees: BTreeMap::new(),
            sessions: BTreeMap::new(),
            wires: BTreeMap::new(),
            connections: 0,
            git: Git::new(),
            wishes: VecDeque::new(),
            commands: 0,
            disk_full: false,
            disk_slow_until: 0,
            git_fails_until: 0,
            git_on_its_way: None,
            began: BTreeMap::new(),
            ambush: None,
            runs_left: scenario.runs,
            observers: Observers::new(),
            stats: Stats::default(),
            trail: None,
            violation: None,
            over: None,
            scenario,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let backlog = self.scenario.backlog.clone();
        self.import_before_the_run(backlog);
        self.after(0, Item::Start);
        self.after(500, Item::Look);
        if !self.scenario.crewed {
            for _ in 0..self.scenario.coding {
                self.after(50, Item::Spawn(WorkerKind::Coding));
            }
            for _ in 0..self.scenario.testing {
                self.after(60, Item::Spawn(WorkerKind::Testing));
            }
        }
        for (number, planned) in self.scenario.planned.clone().iter().enumerate() {
            self.at(planned.at_ms, Item::Planned(number));
        }
    }

    fn after(&mut self, ms: u64, item: Item) {
        self.at(self.now_ms + ms, item);
    }

    fn at(&mut self, at_ms: u64, item: Item) {
        self.entries += 1;
        let at_ms = at_ms.max(self.now_ms);
        self.agenda.insert((at_ms, self.entries), item);
    }

    /// Kills the scheduler if its killer has waited for this; true when it did.
    fn ambushed(&mut self, at: Ambush) -> bool {
        let hit = self.ambush.take_if(|ambush| *ambush == at).is_some();
        if hit {
            self.note(|| format!("killed: {at:?}"));
            self.scheduler_dies();
        }
        hit
    }

    /// Nothing goes wrong any more.
    fn fair(&self) -> bool {
        self.now_ms >= self.scenario.fair_ms
    }

    fn wall(&self) -> Timestamp {
        let skewed = (DAWN_MS + self.now_ms).saturating_add_signed(self.skew_ms);
        Timestamp(skewed)
    }

    /// Notes what happens, if anybody wants to know.
    fn note(&mut self, words: impl FnOnce() -> String) {
        if let Some(trail) = &mut self.trail {
            let seconds = self.now_ms as f64 / 1_000.0;
            trail.push(format!("{seconds:>10.3} s  {}", words()));
        }
    }

    /// Shows something to the observers.
    fn show(&mut self, sight: &Sight<'_>) {
        if self.violation.is_none() {
            self.violation = self.observers.see(sight, &self.git);
        }
    }

    fn violate(&mut self, checker: &'static str, what: String) {
        self.violation.get_or_insert(Violation { checker, what });
    }

    /// Runs until the run is over or something does not hold.
    pub fn run(&mut self) -> Result<(), Violation> {
        let limit_ms = self.scenario.fair_ms + PATIENCE_MS;
        while self.over.is_none() && self.violation.is_none() {
            let Some(((at_ms, _), item)) = self.agenda.pop_first() else {
                self.violate("the run ends", "nothing happens any more".to_owned());
                break;
            };
            self.now_ms = at_ms;
            self.stats.steps += 1;
            if at_ms > limit_ms || self.stats.steps > STEPS_MAX {
                let sight = self.sight();
                self.violate("the run ends", sight);
                break;
            }
            self.happen(item);
        }
        self.stats.events = self.view.sequence.0;
        self.stats.reigns = self.reigns;
        self.stats.virtual_ms = self.now_ms;
        match self.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    /// Where things stand, for whoever looks for the reason.
    fn sight(&self) -> String {
        let state = &self.view;
        let count = |kind| {
            state
                .workers()
                .values()
                .filter(|it| it.kind == kind)
                .count()
        };
        let workers = self.workers.values().map(Worker::words);
        format!(
            "it does not end: attempts {:?}, merge {:?}, paused {:?}, outages {:?}, scheduler {}, {} coding and {} testing workers known, processes {:?}",
            state.attempts().keys(),
            state.open_merge().map(|merge| merge.attempt),
            state.paused,
            state.outages().collect::<Vec<_>>(),
            self.scheduler.is_some(),
            count(WorkerKind::Coding),
            count(WorkerKind::Testing),
            workers.collect::<Vec<_>>(),
        )
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Input(reign, input) => self.arrive(reign, input),
            Item::Turn(reign) => self.turn(reign),
            Item::Synced(reign) => self.synced(reign),
            Item::Wake(reign) => self.wake(reign),
            Item::Give(who, input) => self.give(who, input),
            Item::Hear(connection, message) => self.hear(connection, message),
            Item::Lost(connection) => self.lost(connection),
            Item::Connect(who) => self.connect(who),
            Item::StepDone(who, serial) => self.step_done(who, serial),
            Item::Answers(who, serial) => self.answers(who, serial),
            Item::Tick(who) => self.tick(who),
            Item::TreeGone(attempt) => self.tree_gone(attempt),
            Item::CleanedUp(reign, worker, attempt) => self.reap(reign, worker, attempt),
            Item::Git(reign, boot, attempt, onto, commit) => {
                self.merge((reign, boot), attempt, &onto, &commit);
            }
            Item::Spawn(kind) => drop(self.spawn(kind)),
            Item::Start => self.start(),
            Item::Planned(number) => self.planned(number),
            Item::Look => self.look(),
            Item::Answer(connection) => self.answered(connection),
        }
    }

    /// Events are on the disk for good.
    fn durable(&mut self, events: &[Recorded]) {
        for recorded in events {
            self.note(|| {
                let sequence = recorded.sequence;
                format!("event {sequence}: {:?}", recorded.event)
            });
            self.show(&Sight::Durable(recorded));
            self.measure(recorded);
            apply(&mut self.view, recorded);
        }
    }

    /// Compares how long an attempt took with what the log makes of it.
    fn measure(&mut self, recorded: &Recorded) {
        let now = (self.reigns, self.now_ms);
        match &recorded.event {
            Event::AttemptStarted(_) => {
                self.began.insert(AttemptId(recorded.sequence.0), now);
            }
            Event::FeaturePassed(event) => {
                let began = self.began.get(&event.attempt).copied();
                let open = self.view.attempts().get(&event.attempt);
                // Between two schedulers nobody measures.
                if let (Some((reign, began_ms)), Some(open)) = (began, open)
                    && reign == self.reigns
                {
                    let told_ms = self.view.ran_ms(open.started, open.jumped_ms, recorded.at);
                    let real_ms = self.now_ms - began_ms;
                    self.show(&Sight::Lasted { told_ms, real_ms });
                }
            }
            _ => {}
        }
    }

    /// The processes of this boot that live.
    fn living(&self) -> BTreeSet<Who> {
        self.workers.keys().copied().collect()
    }

    fn lives(&self, process: &ProcessIdentity) -> bool {
        self.workers
            .values()
            .any(|worker| worker.process == *process)
    }

    fn who_is(&self, pid: u32) -> Option<Who> {
        let mut workers = self.workers.iter();
        workers.find_map(|(&who, worker)| (worker.process.pid == pid).then_some(who))
    }

    /// All bytes of the log.
    fn log_bytes(&self) -> Vec<u8> {
        let first = crate::model::ids::Sequence(1);
        let chunk = self.log.read(first, usize::MAX);
        chunk.map(|chunk| chunk.bytes).unwrap_or_default()
    }

    /// A name for a command, as a person's program would draw it.
    fn command_id(&mut self) -> CommandId {
        self.commands += 1;
        CommandId((1 << 100) + u128::from(self.commands))
    }
}
