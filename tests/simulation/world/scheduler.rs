//! The scheduler's process: the real machine and the real pipeline on a log that fails.

use super::*;
use crate::model::ids::{Epoch, Sequence};
use crate::queue::memory::Fault;
use crate::scheduler::clock::Clock;
use crate::scheduler::core::Core;
use crate::scheduler::cycle::{Cycle, Due};
use crate::scheduler::load;
use crate::scheduler::machine::{Machine, Now};
use crate::scheduler::worker_pool::WorkerPool;

/// A scheduler process.
pub struct Scheduler {
    pub reign: u64,
    pub cycle: Cycle,
    clock: Clock,
    inbox: Vec<Input>,
    /// It will look into its inbox.
    turning: bool,
    epoch: Epoch,
    /// The batch that is on its way to the disk.
    batch: Option<Vec<Recorded>>,
    /// When it is woken next.
    wake_ms: Option<u64>,
    /// Workers that it started and that have not ended, by pid.
    pub children: BTreeSet<u32>,
    pub watches: Vec<(WorkerId, ProcessIdentity)>,
    /// Stopped by SIGSTOP until then.
    pub stopped_ms: u64,
    /// It has not read its clock since it was stopped.
    stopped: bool,
    /// Jumps of its clock that it has seen between two stops.
    jumps: Vec<Input>,
    dice: Dice,
}

impl Scheduler {
    /// It has been told to end, or wants to.
    pub fn is_ending(&self) -> bool {
        self.cycle.machine().live().draining
    }

    /// The time, as a process reads it that was stopped for a while or never, and the jumps that
    /// its clock has seen.
    fn now(&mut self, now_ms: u64, wall: Timestamp) -> (Now, Vec<Input>) {
        let mut jumps = std::mem::take(&mut self.jumps);
        if std::mem::take(&mut self.stopped) {
            // Its first reading after the last one before the stop.
            self.read(self.stopped_ms, wall, &mut jumps);
        }
        self.clock.keep_up(now_ms);
        (self.read(now_ms, wall, &mut jumps), jumps)
    }

    fn read(&mut self, now_ms: u64, wall: Timestamp, jumps: &mut Vec<Input>) -> Now {
        let now = self.clock.at(now_ms, wall);
        let jumped = self.clock.take_jump();
        jumps.extend(jumped.map(|by_ms| Input::ClockJumped { by_ms }));
        now
    }

    /// SIGSTOP, and SIGCONT then.
    pub fn stop_until(&mut self, now_ms: u64, until_ms: u64, wall: Timestamp) {
        if self.stopped_ms <= now_ms {
            // It ran between the two stops, and read its clock.
            if std::mem::take(&mut self.stopped) {
                let mut jumps = std::mem::take(&mut self.jumps);
                self.read(self.stopped_ms, wall, &mut jumps);
                self.jumps = jumps;
            }
            self.clock.keep_up(now_ms);
        }
        self.stopped_ms = self.stopped_ms.max(until_ms);
        self.stopped = true;
    }
}

impl World {
    pub(super) fn start(&mut self) {
        if self.scheduler.is_some() || self.over.is_some() {
            return;
        }
        self.reigns += 1;
        let reign = self.reigns;
        let mut dice = Dice::new(self.scenario.seed, Stream::Machine, reign);
        let bytes = self.log_bytes();
        self.show(&Sight::Reopened { bytes: &bytes });
        let state = self.resume(&mut dice);
        let epoch = match self.log.lead() {
            Ok(epoch) => epoch,
            Err(error) => return self.violate("the log opens", error.to_string()),
        };
        let mut clock = Clock::starting(state.at, self.now_ms, self.wall());
        let now = clock.at(self.now_ms, self.wall());
        let scenario = &self.scenario;
        let wanted = [
            (WorkerKind::Coding, scenario.coding),
            (WorkerKind::Testing, scenario.testing),
        ];
        let crew = wanted.into_iter().filter(|_| scenario.crewed).collect();
        let entropy = Box::new(Dice::new(scenario.seed, Stream::Plan, reign));
        let core = Core::new(state, epoch);
        let mut machine = Machine::new(core, entropy, WorkerPool::new(crew), 1);
        machine.use_profiles(scenario.profiles.clone());
        let settings = scenario.settings.clone();
        let head = self.git.head();
        if let Err(rejection) = machine.start(now, "main", &head, &settings, scenario.seed) {
            return self.violate("a run starts", rejection.to_string());
        }
        self.note(|| format!("scheduler {reign} starts, epoch {epoch}"));
        let head_of_log = self.log.head().sequence;
        self.scheduler = Some(Scheduler {
            reign,
            cycle: Cycle::new(machine, head_of_log),
            clock,
            inbox: Vec::new(),
            turning: false,
            epoch,
            batch: None,
            wake_ms: None,
            children: BTreeSet::new(),
            watches: Vec::new(),
            stopped_ms: 0,
            stopped: false,
            jumps: Vec::new(),
            dice,
        });
        self.arrive(reign, Input::Tick);
    }

    /// From the log, as a new process does it: from its first event or from a snapshot.
    fn resume(&mut self, dice: &mut Dice) -> State {
        let folded = load::resume(&self.log, None).unwrap_or_default();
        let bytes = folded.to_bytes().unwrap_or_default();
        let view = self.view.to_bytes().unwrap_or_default();
        let how = "from the log alone";
        self.show(&Sight::Folded {
            how,
            one: &view,
            other: &bytes,
        });
        let Some((_, snapshot)) = self.snapshot.clone() else {
            return folded;
        };
        let earlier = State::from_bytes(&snapshot).ok();
        let resumed = load::resume(&self.log, earlier).unwrap_or_default();
        let bytes = resumed.to_bytes().unwrap_or_default();
        let how = "from a snapshot";
        self.show(&Sight::Folded {
            how,
            one: &view,
            other: &bytes,
        });
        if dice.percent(50) { resumed } else { folded }
    }

    fn reigning(&mut self, reign: u64) -> Option<&mut Scheduler> {
        self.scheduler.as_mut().filter(|one| one.reign == reign)
    }

    /// Something waits in the inbox.
    pub(super) fn arrive(&mut self, reign: u64, input: Input) {
        let Some(scheduler) = self.reigning(reign) else {
            return;
        };
        scheduler.inbox.push(input);
        if !std::mem::replace(&mut scheduler.turning, true) {
            // What arrives at the same time is taken in at once.
            let soon = scheduler.dice.between(0, 2);
            self.after(soon, Item::Turn(reign));
        }
    }

    /// The item again, later, when the process is stopped; true when it is.
    fn sleeps(&mut self, item: Item) -> bool {
        let stopped = self.scheduler.as_ref().map_or(0, |one| one.stopped_ms);
        if stopped <= self.now_ms {
            return false;
        }
        self.at(stopped, item);
        true
    }

    pub(super) fn wake(&mut self, reign: u64) {
        let now_ms = self.now_ms;
        let Some(scheduler) = self.reigning(reign) else {
            return;
        };
        if scheduler.wake_ms.is_some_and(|at| at <= now_ms) {
            scheduler.wake_ms = None;
            self.arrive(reign, Input::Tick);
        }
    }

    pub(super) fn turn(&mut self, reign: u64) {
        if self.reigning(reign).is_none() || self.sleeps(Item::Turn(reign)) {
            return;
        }
        let (now_ms, wall) = (self.now_ms, self.wall());
        let Some(scheduler) = &mut self.scheduler else {
            return;
        };
        scheduler.turning = false;
        let inbox = std::mem::take(&mut scheduler.inbox);
        for input in &inbox {
            if let Input::ChildEnded { pid, .. } = input {
                scheduler.children.remove(pid);
            }
        }
        let (now, jumps) = scheduler.now(now_ms, wall);
        self.take_in(now, jumps.into_iter().chain(inbox).collect());
    }

    fn take_in(&mut self, now: Now, inputs: Vec<Input>) {
        let Some(scheduler) = &mut self.scheduler else {
            return;
        };
        scheduler.cycle.turn(now, inputs);
        let (reign, wake) = (scheduler.reign, scheduler.cycle.wake_ms());
        // The machine knows only the time in which it ran.
        let wake = wake.map(|at| self.now_ms + at.saturating_sub(now.mono_ms));
        let changed = wake.is_some() && scheduler.wake_ms != wake;
        scheduler.wake_ms = wake;
        if let Some(at_ms) = wake.filter(|_| changed) {
            self.at(at_ms, Item::Wake(reign));
        }
        self.hand_over();
    }

    fn hand_over(&mut self) {
        let Some(scheduler) = &mut self.scheduler else {
            return;
        };
        let reign = scheduler.reign;
        match scheduler.cycle.due() {
            Due::Nothing => {}
            Due::Append(batch) => {
                scheduler.batch = Some(batch);
                let slow = self.disk_slow_until > self.now_ms || self.disk.percent(2);
                let ms = self.disk.between(0, if slow { 4_000 } else { 6 });
                self.after(ms, Item::Synced(reign));
            }
            due => {
                self.carry(due);
                self.hand_over();
            }
        }
    }

    pub(super) fn synced(&mut self, reign: u64) {
        if self.reigning(reign).is_none() || self.sleeps(Item::Synced(reign)) {
            return;
        }
        let batch = self.scheduler.as_mut().and_then(|one| one.batch.take());
        let Some(batch) = batch else {
            return;
        };
        let cut = self.scenario.cut_at.filter(|cut| {
            let last = batch.last().map_or(0, |last| last.sequence.0);
            (batch[0].sequence.0..=last).contains(cut)
        });
        if let Some(cut) = cut {
            let kept = (cut + 1 - batch[0].sequence.0) as usize;
            self.scenario.cut_at = None;
            self.note(|| format!("the log is cut after event {cut}"));
            self.write(&batch[..kept]);
            // Whoever waits for an answer does not know what has become of the wish.
            self.wishes.clear();
            return self.lose_power();
        }
        if std::mem::take(&mut self.disk_full) {
            self.log.fail_next_append(Fault::Lost);
        }
        if !self.write(&batch) {
            self.note(|| "the log cannot be written".to_owned());
            return self.scheduler_dies();
        }
        if self.ambushed(Ambush::Sync) {
            return;
        }
        if let Some(scheduler) = &mut self.scheduler {
            let due = scheduler.cycle.durable();
            self.carry(due);
        }
        self.take_snapshot();
        let (now_ms, wall) = (self.now_ms, self.wall());
        if let Some(scheduler) = &mut self.scheduler {
            let (now, jumps) = scheduler.now(now_ms, wall);
            self.take_in(now, jumps);
        }
    }

    /// Appends a batch; false when the disk refuses.
    pub(super) fn write(&mut self, batch: &[Recorded]) -> bool {
        let epoch = self.scheduler.as_ref().map_or(Epoch(0), |one| one.epoch);
        let expected = batch.first().map_or(0, |first| first.sequence.0 - 1);
        match self.log.append(batch, Sequence(expected), epoch) {
            Ok(_) => self.durable(batch),
            Err(crate::queue::Error::Poisoned { .. }) => return false,
            Err(error) => self.violate("the log takes what fits", error.to_string()),
        }
        true
    }

    /// Under the same condition as the shell: when the working state is what is on the disk.
    fn take_snapshot(&mut self) {
        let Some(scheduler) = &mut self.scheduler else {
            return;
        };
        let head = self.log.head().sequence;
        if !scheduler.dice.percent(5) {
            return;
        }
        let Some(state) = scheduler.cycle.snapshot(head, true) else {
            return;
        };
        if let Ok(Some(snapshot)) = load::snapshot_of(&self.log, state) {
            self.snapshot = Some((snapshot.sequence.0, snapshot.bytes));
        }
    }

    /// The process ends by itself. What was decided is written and told, as the shell does it.
    pub(super) fn exit(&mut self, ending: Ending) {
        while let Some(scheduler) = &mut self.scheduler {
            let due = if let Some(batch) = scheduler.batch.take() {
                self.write(&batch);
                self.scheduler.as_mut().map(|one| one.cycle.durable())
            } else if scheduler.cycle.is_empty() {
                None
            } else {
                Some(scheduler.cycle.due())
            };
            match due {
                None | Some(Due::Nothing) => break,
                Some(Due::Append(batch)) => {
                    if let Some(scheduler) = &mut self.scheduler {
                        scheduler.batch = Some(batch);
                    }
                }
                Some(Due::Execute(effects) | Due::End(effects, _)) => self.carry_all(effects),
            }
        }
        let Some(scheduler) = self.scheduler.take() else {
            return;
        };
        self.note(|| format!("scheduler {} ends: {ending:?}", scheduler.reign));
        let own = scheduler
            .cycle
            .machine()
            .state()
            .to_bytes()
            .unwrap_or_default();
        let view = self.view.to_bytes().unwrap_or_default();
        let how = "in the scheduler that ends";
        self.show(&Sight::Folded {
            how,
            one: &view,
            other: &own,
        });
        let mut left: Vec<u32> = scheduler.children.into_iter().collect();
        left.retain(|&pid| self.who_is(pid).is_some());
        self.show(&Sight::Ended { left: &left });
        self.hang_up();
        self.ended(ending);
    }

    fn ended(&mut self, ending: Ending) {
        let Ending::Finished(outcome) = ending else {
            let ms = self.disk.between(100, 5_000);
            return self.after(ms, Item::Start);
        };
        self.show(&Sight::Over { outcome });
        self.runs_left = self.runs_left.saturating_sub(1);
        if self.runs_left == 0 {
            self.over = Some(ending);
            return;
        }
        // The person has more in mind.
        let number = self.view.graph().len() as u32 + 1;
        let mut dice = Dice::new(self.scenario.seed, Stream::Person, u64::from(number));
        let entry = super::super::scenario::entry(&mut dice, number);
        self.import_before_the_run(vec![entry]);
        self.after(1_000, Item::Start);
    }

    /// kill -9 of the scheduler, or it could not write; what it handed to the disk may be there
    /// or not, all of it or nothing.
    pub(super) fn scheduler_dies(&mut self) {
        let Some(scheduler) = &mut self.scheduler else {
            return;
        };
        self.stats.crashes += 1;
        if let Some(batch) = scheduler.batch.take()
            && self.disk.percent(50)
        {
            self.write(&batch);
        }
        self.scheduler = None;
        self.note(|| "the scheduler is dead".to_owned());
        self.log = self.log.restart();
        self.hang_up();
        let ms = self.disk.between(50, 20_000);
        self.after(ms, Item::Start);
    }

    /// The machine loses its power: whatever lived is dead, and nothing of it is left.
    pub(super) fn lose_power(&mut self) {
        self.note(|| "the machine loses its power".to_owned());
        self.scheduler_dies();
        for who in self.living() {
            self.worker_dies(who);
        }
        for attempt in self.trees.keys().copied().collect::<Vec<_>>() {
            self.tree_gone(attempt);
        }
        // What was synced is there. A spool file without a result is not.
        let disk = &mut self.disk;
        self.spool
            .retain(|_, spool| spool.result.is_some() || disk.percent(50));
        self.boot += 1;
        self.pids = 10;
    }
}
