//! The world around one scheduler machine: a disk, a network, processes, git, a person, and time.
//! Everything that happens stands in an agenda; what is random comes from one seed.

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

    // The scheduler's process.

    fn now(&self) -> Now {
        Now {
            wall: Timestamp(self.now_ms),
            mono_ms: self.now_ms,
        }
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.reign += 1;
        let state = match self.dice.percent(30) {
            // From a snapshot, which holds only what cannot be computed.
            true => State::from_bytes(&self.checks.state.to_bytes().expect("bytes")).expect("it"),
            false => self.checks.state.clone(),
        };
        let core = Core::new(state, Epoch(self.reign));
        let crew = Crew::new(self.crew.clone());
        let entropy = Box::new(Dice(self.dice.roll()));
        let mut machine = Machine::new(core, entropy, crew, 1);
        let (now, head) = (self.now(), self.git.head());
        let started = machine.start(now, "main", &head, &self.settings, 7);
        started.expect("a run starts");
        self.process = Some(Process {
            machine,
            reign: self.reign,
            waiting: Step::default(),
            committing: None,
            children: BTreeSet::new(),
            watches: Vec::new(),
        });
        self.input(Input::Tick);
    }

    pub fn input(&mut self, input: Input) {
        let now = self.now();
        let Some(process) = &mut self.process else {
            return;
        };
        if let Input::ChildEnded { pid } = &input {
            process.children.remove(pid);
        }
        process.machine.step(now, input);
        self.finish();
    }

    fn finish(&mut self) {
        let now = self.now();
        let Some(process) = &mut self.process else {
            return;
        };
        let step = process.machine.finish(now);
        process.waiting.batch.extend(step.batch);
        process.waiting.effects.extend(step.effects);
        let reign = process.reign;
        if let Some(at_ms) = step.wake_ms {
            self.at(at_ms, Item::Wake(reign));
        }
        self.hand_over();
    }

    fn hand_over(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.committing.is_some() {
            return;
        }
        let step = std::mem::take(&mut process.waiting);
        if step.batch.is_empty() {
            return self.carry(step.effects);
        }
        process.committing = Some((step.batch, step.effects));
        let reign = process.reign;
        let slow = self.dice.percent(3);
        let ms = if slow {
            self.dice.between(500, 5_000)
        } else {
            self.dice.between(0, 8)
        };
        self.after(ms, Item::Commit(reign));
    }

    fn commit(&mut self) {
        let committing = self
            .process
            .as_mut()
            .and_then(|process| process.committing.take());
        let Some((batch, effects)) = committing else {
            return;
        };
        self.write(batch);
        self.carry(effects);
        self.finish();
    }

    fn write(&mut self, batch: Vec<Recorded>) {
        for recorded in batch {
            let truth = Truth {
                git: &self.git,
                alive: &self.alive,
                reaped: &self.reaped,
            };
            self.checks.committed(&recorded, &truth);
            self.log.push(recorded);
        }
    }

    fn carry(&mut self, effects: Vec<Effect>) {
        let mut ending = None;
        for effect in effects {
            match effect {
                Effect::Exit(how) => ending = Some(how),
                effect => self.carry_one(effect),
            }
        }
        if let Some(ending) = ending {
            self.exit(ending);
        }
    }

    fn carry_one(&mut self, effect: Effect) {
        let reign = self.reign;
        match effect {
            Effect::Send {
                connection,
                message,
            } => self.send(connection, *message),
            Effect::Tell {
                connection,
                message,
            } => self.told(connection, &message),
            Effect::Close { connection } => self.cut(connection),
            Effect::Watch { worker, process } => {
                let ms = self.dice.between(0, 50);
                match self.alive.contains(&process.pid) {
                    true => {
                        if let Some(own) = &mut self.process {
                            own.watches.push((worker, process.pid));
                        }
                    }
                    false => self.after(ms, Item::Input(reign, Input::Died { worker })),
                }
            }
            Effect::Reap { worker, attempt } => {
                self.reaped.insert(attempt);
                let spooled = self.spool.get(&attempt).map(|(_, spooled)| spooled.clone());
                let spooled = spooled.map(Box::new);
                let ms = self.dice.between(0, 500);
                self.after(ms, Item::Input(reign, Input::Reaped { worker, spooled }));
            }
            Effect::Kill { process, .. } => self.kill(process.pid),
            Effect::EndChild { pid } => self.kill(pid),
            Effect::Merge {
                attempt,
                onto,
                commit,
            } => {
                let slow = self.dice.percent(5) && !self.fair();
                let ms = if slow {
                    self.dice.between(1_000, 60_000)
                } else {
                    self.dice.between(1, 50)
                };
                self.after(ms, Item::Git(reign, attempt, onto, commit));
            }
            Effect::StartWorker { kind } => {
                let pid = self.spawn(kind);
                if let Some(process) = &mut self.process {
                    process.children.insert(pid);
                }
                let pid = Some(pid);
                self.after(1, Item::Input(reign, Input::ChildStarted { kind, pid }));
            }
            Effect::Stream { .. } | Effect::Exit(_) => {}
        }
    }

    fn exit(&mut self, ending: Ending) {
        let children = self
            .process
            .as_ref()
            .map(|process| process.children.clone());
        for pid in children.unwrap_or_default() {
            assert!(!self.alive.contains(&pid), "process {pid} is left behind");
        }
        self.process = None;
        self.hang_up();
        match ending {
            Ending::Finished(_) => self.ended = Some(ending),
            Ending::Interrupted => {
                let ms = self.dice.between(100, 5_000);
                self.after(ms, Item::Start);
            }
        }
    }

    /// The scheduler's process is gone, and its ends of all connections with it.
    fn hang_up(&mut self) {
        for (connection, (pid, _, _)) in std::mem::take(&mut self.wires) {
            let ms = self.dice.between(0, 5);
            self.after(ms, Item::Lost(connection, pid));
        }
        if let Some((_, _, connection)) = &mut self.wish {
            *connection = None;
        }
    }

    /// kill -9 of the scheduler; what it handed to the disk may be there or not.
    fn crash(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some((batch, _)) = process.committing.take()
            && self.dice.percent(50)
        {
            self.write(batch);
        }
        self.hang_up();
        let ms = self.dice.between(50, 20_000);
        self.after(ms, Item::Start);
    }

    // The network.

    fn send(&mut self, connection: Connection, message: SchedulerMessage) {
        match &message {
            SchedulerMessage::Reported {
                command,
                attempt,
                verdict,
                acknowledged,
            } => self
                .checks
                .reported(*command, *attempt, *verdict, *acknowledged),
            SchedulerMessage::Job(job) => self.checks.offered(job.attempt, job.acknowledged),
            _ => {}
        }
        let delay = self.dice.between(0, 3);
        let Some((pid, last, _)) = self.wires.get_mut(&connection) else {
            return;
        };
        *last = (*last).max(self.now_ms + delay);
        let (at_ms, pid) = (*last, *pid);
        self.at(at_ms, Item::Hear(connection, pid, message));
    }

    fn tell_scheduler(&mut self, connection: Connection, input: Input) {
        let (delay, reign) = (self.dice.between(0, 3), self.reign);
        let Some((_, _, last)) = self.wires.get_mut(&connection) else {
            return;
        };
        *last = (*last).max(self.now_ms + delay);
        let at_ms = *last;
        self.at(at_ms, Item::Input(reign, input));
    }

    /// A connection breaks: what was said arrives, and then its end.
    fn cut(&mut self, connection: Connection) {
        self.tell_scheduler(connection, Input::Closed { connection });
        if let Some((pid, last, _)) = self.wires.remove(&connection) {
            // What was on its way to the worker arrives or does not.
            let at_ms = if self.dice.percent(50) {
                last
            } else {
                self.now_ms
            };
            self.at(at_ms, Item::Lost(connection, pid));
        }
    }

    fn connect(&mut self, pid: u32) {
        let up = self.process.is_some();
        let Some(worker) = self.workers.get_mut(&pid).filter(|worker| worker.alive) else {
            return;
        };
        if worker.wire.is_some() {
            return;
        }
        let stopped = worker.stopped_ms > self.now_ms;
        if !up || stopped {
            let again = self.dice.between(100, 5_000);
            return self.after(again, Item::Connect(pid));
        }
        self.connections += 1;
        let connection = Connection(self.connections);
        worker.wire = Some(connection);
        let hello = Box::new(worker.hello());
        self.wires
            .insert(connection, (pid, self.now_ms, self.now_ms));
        let pid = Some(pid);
        self.tell_scheduler(connection, Input::Opened { connection, pid });
        let message = hello;
        self.tell_scheduler(
            connection,
            Input::Worker {
                connection,
                message,
            },
        );
    }

    // Workers.

    fn spawn(&mut self, kind: WorkerKind) -> u32 {
        self.pids += 1;
        let pid = self.pids;
        let mut orphans = VecDeque::new();
        for (&attempt, (owner, spooled)) in &mut self.spool {
            // A file whose owner is dead belongs to whoever takes it up first.
            if !self.alive.contains(owner) && self.dice.percent(50) {
                *owner = pid;
                orphans.push_back((attempt, spooled.clone()));
            }
        }
        self.workers.insert(pid, Worker::new(pid, kind, orphans));
        self.alive.insert(pid);
        let (soon, beat) = (self.dice.between(1, 200), self.dice.between(1, 10_000));
        self.after(soon, Item::Connect(pid));
        self.after(beat, Item::Heartbeat(pid));
        pid
    }

    /// A worker does something unless it is dead; one that is stopped does it later.
    fn awake(&mut self, pid: u32, item: Item) -> Option<Item> {
        let worker = self.workers.get(&pid).filter(|worker| worker.alive)?;
        if worker.stopped_ms > self.now_ms {
            self.at(worker.stopped_ms, item);
            return None;
        }
        Some(item)
    }

    fn hear(&mut self, connection: Connection, pid: u32, message: SchedulerMessage) {
        let item = self.awake(pid, Item::Hear(connection, pid, message));
        let Some(Item::Hear(_, _, message)) = item else {
            return;
        };
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        if worker.wire == Some(connection) {
            let deeds = worker.hear(now_ms, &mut self.dice, message);
            self.deeds(pid, deeds);
        }
    }

    fn lost(&mut self, connection: Connection, pid: u32) {
        if self.awake(pid, Item::Lost(connection, pid)).is_none() {
            return;
        }
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        if worker.wire == Some(connection) {
            let deeds = worker.disconnected();
            let again = self.dice.between(50, 5_000);
            self.after(again, Item::Connect(pid));
            self.deeds(pid, deeds);
        }
    }

    fn look(&mut self, pid: u32) {
        if self.awake(pid, Item::Look(pid)).is_none() {
            return;
        }
        let (now_ms, fair) = (self.now_ms, self.fair());
        if let Some(worker) = self.workers.get_mut(&pid) {
            let deeds = worker.look(now_ms, &mut self.dice, &mut self.git, fair);
            self.deeds(pid, deeds);
        }
    }

    fn heartbeat(&mut self, pid: u32) {
        if self.awake(pid, Item::Heartbeat(pid)).is_none() {
            return;
        }
        let worker = self.workers.get(&pid).filter(|worker| worker.welcome);
        if let Some(connection) = worker.and_then(|worker| worker.wire) {
            let message = Box::new(WorkerMessage::Heartbeat);
            self.tell_scheduler(
                connection,
                Input::Worker {
                    connection,
                    message,
                },
            );
        }
        self.after(10_000, Item::Heartbeat(pid));
    }

    fn deeds(&mut self, pid: u32, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Say(message) => {
                    let wire = self.workers.get(&pid).and_then(|worker| worker.wire);
                    if let Some(connection) = wire {
                        let message = Box::new(message);
                        self.tell_scheduler(
                            connection,
                            Input::Worker {
                                connection,
                                message,
                            },
                        );
                    }
                }
                Deed::Spool(attempt, spooled) => {
                    self.spool.insert(attempt, (pid, spooled));
                }
                Deed::Unspool(attempt) => drop(self.spool.remove(&attempt)),
                Deed::Later(at_ms) => self.at(at_ms, Item::Look(pid)),
                Deed::Die => self.kill(pid),
            }
        }
    }

    /// The process is gone, with all of its agents.
    fn kill(&mut self, pid: u32) {
        if !self.alive.remove(&pid) {
            return;
        }
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        worker.alive = false;
        let (wire, kind) = (worker.wire.take(), worker.kind);
        if let Some(connection) = wire {
            self.cut(connection);
        }
        let reign = self.reign;
        if let Some(process) = &mut self.process {
            let watches = process.watches.iter();
            let its: Vec<_> = watches
                .filter(|(_, of)| *of == pid)
                .map(|(id, _)| *id)
                .collect();
            let child = process.children.contains(&pid);
            for worker in its {
                let ms = self.dice.between(0, 50);
                self.after(ms, Item::Input(reign, Input::Died { worker }));
            }
            if child {
                let ms = self.dice.between(0, 50);
                self.after(ms, Item::Input(reign, Input::ChildEnded { pid }));
            }
        }
        if self.crew.is_empty() {
            // Somebody starts another one by hand.
            let ms = self.dice.between(500, 20_000);
            self.after(ms, Item::Spawn(kind));
        }
    }

    // What goes wrong.

    fn fault(&mut self) {
        if self.fair() {
            return;
        }
        let next = self.dice.between(200, 20_000);
        self.after(next, Item::Fault);
        let alive: Vec<u32> = self.alive.iter().copied().collect();
        let victim = self.dice.pick(&alive);
        match self.dice.between(0, 10) {
            0 | 1 => self.crash(),
            2 | 3 => victim.into_iter().for_each(|pid| self.kill(pid)),
            4 | 5 => {
                let wire = victim.and_then(|pid| self.workers.get(&pid)?.wire);
                wire.into_iter().for_each(|connection| self.cut(connection));
            }
            6 => {
                // Where a crew is kept, somebody else takes its place in the end.
                let endless = !self.crew.is_empty() && self.dice.percent(30);
                let most = if endless { 100_000_000 } else { 1_500_000 };
                let ms = self.now_ms + self.dice.between(1_000, most);
                let stopped = victim.and_then(|pid| self.workers.get_mut(&pid));
                if let Some(worker) = stopped {
                    worker.stopped_ms = ms;
                }
            }
            7 => self.git.outsider(),
            8 => {
                let modes = [
                    crewlog::protocol::StopMode::Drain,
                    crewlog::protocol::StopMode::Now,
                ];
                let mode = modes[self.dice.between(0, 1) as usize];
                self.input(Input::Stop(mode));
            }
            9 => victim.into_iter().for_each(|pid| self.stop_worker(pid)),
            _ => {
                // All at once.
                self.crash();
                alive.into_iter().for_each(|pid| self.kill(pid));
            }
        }
    }

    /// Somebody is faster than git, and the worker does not hear of it.
    fn disturb_merge(&mut self, attempt: AttemptId) {
        if self.fair() || !self.dice.percent(10) {
            return;
        }
        self.git.outsider();
        let mut workers = self.workers.values();
        let its = workers.find(|worker| {
            let job = worker.job.as_ref();
            worker.alive && job.is_some_and(|job| job.attempt == attempt)
        });
        if let Some(connection) = its.and_then(|worker| worker.wire)
            && self.dice.percent(50)
        {
            self.cut(connection);
        }
    }

    /// Its user stops a worker, which does not wait until everything is given back.
    fn stop_worker(&mut self, pid: u32) {
        let reason = "its user stopped it".to_owned();
        let leaving = Deed::Say(WorkerMessage::Leaving { reason });
        self.deeds(pid, vec![leaving]);
        let ms = self.dice.between(1, 3_000);
        self.after(ms, Item::Kill(pid));
    }

    // A person.

    fn person(&mut self) {
        let often = if self.fair() { 2_000 } else { 15_000 };
        let next = self.dice.between(500, often);
        self.after(next, Item::Person);
        if self.process.is_none() {
            return;
        }
        if self.wish.is_none() {
            let fair = self.fair();
            let state = &self.checks.state;
            let wanted = crate::person::wish(&mut self.dice, state, fair);
            self.wishes += 1;
            let id = CommandId((1 << 120) + u128::from(self.wishes));
            self.wish = wanted.map(|command| (id, command, None));
        }
        let Some((id, command, _)) = self.wish.clone() else {
            return;
        };
        // Said again on a new connection until it is answered.
        self.connections += 1;
        let connection = Connection(self.connections);
        self.wish = Some((id, command.clone(), Some(connection)));
        self.wires.insert(connection, (0, self.now_ms, self.now_ms));
        self.tell_scheduler(connection, Input::OpenedClient { connection });
        let message = Box::new(ClientMessage::Command { id, command });
        self.tell_scheduler(
            connection,
            Input::Client {
                connection,
                message,
            },
        );
    }

    fn told(&mut self, connection: Connection, message: &ToClient) {
        let Some((id, _, Some(asked))) = &self.wish else {
            return;
        };
        let (id, asked) = (*id, *asked);
        if let ToClient::Accepted { first, last } = message {
            self.checks.accepted(id, *first, *last);
        }
        // An answer may be lost on its way; then it is asked for again.
        if asked == connection && self.dice.percent(80) {
            self.wish = None;
        }
        self.cut(connection);
    }
}
