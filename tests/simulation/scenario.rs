//! What a seed means: a backlog, rules, a crew, and what goes wrong when. Plain data, so that a
//! failing history can be made smaller by taking things out.

use crate::model::feature::FeatureSpec;
use crate::model::ids::FeatureId;
use crate::model::profile::{ProfileName, Profiles};
use crate::model::settings::Settings;

use super::dice::{Dice, Stream};

pub type Entry = (FeatureId, FeatureSpec);

/// Something that goes wrong, or that somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    KillScheduler,
    /// As soon as git is asked to move the branch.
    KillAtMerge,
    /// As soon as something is on the disk, and before anybody hears of it.
    KillAtSync,
    KillWorker,
    KillAll,
    /// The machine loses its power and starts again.
    PowerCut,
    Cut,
    PauseWorker,
    PauseScheduler,
    /// All processes at once.
    PauseHost,
    /// The wall clock is set.
    SetClock,
    /// The machine sleeps: all clocks but the wall clock stand still.
    Suspend,
    /// git fails for a while, at times after it has done what it was asked to do.
    GitFails,
    DiskFull,
    SlowDisk,
    /// The machine fails attempts for a while: a full disk, no memory, a missing program.
    Trouble,
    /// The provider fails every session for a while.
    Outage,
    /// An agent tries to steer the run, or to work for it.
    Hostile,
    /// Somebody commits on the branch.
    Outsider,
    /// Somebody sets the branch back.
    Rewind,
    Drain,
    StopNow,
    /// A worker's user wants it to end.
    Signal,
    /// A report is sent twice.
    Echo,
    /// A worker reports on an attempt that is over.
    Rogue,
    /// A person wants something.
    Wish,
}

const ALL: [What; 26] = [
    What::KillScheduler,
    What::KillAtMerge,
    What::KillAtSync,
    What::KillWorker,
    What::KillAll,
    What::PowerCut,
    What::Cut,
    What::PauseWorker,
    What::PauseScheduler,
    What::PauseHost,
    What::SetClock,
    What::Suspend,
    What::GitFails,
    What::DiskFull,
    What::SlowDisk,
    What::Trouble,
    What::Outage,
    What::Hostile,
    What::Outsider,
    What::Rewind,
    What::Drain,
    What::StopNow,
    What::Signal,
    What::Echo,
    What::Rogue,
    What::Wish,
];

/// It happens then; what is drawn for it comes from its own salt.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at_ms: u64,
    pub what: What,
    pub salt: u64,
}

/// How often agents and their surroundings misbehave, in percent of sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    pub fails: u64,
    pub lies: u64,
    pub asks: u64,
    pub crashes: u64,
    pub hangs: u64,
    pub limits: u64,
    pub breaks: u64,
    pub conflicts: u64,
    /// Hooks, disks, checks that fail for no reason.
    pub flaky: u64,
    /// Steps that never end, whatever they are told.
    pub stuck: u64,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub settings: Settings,
    pub profiles: Profiles,
    pub backlog: Vec<Entry>,
    /// The scheduler starts its workers itself.
    pub crewed: bool,
    pub coding: u32,
    pub testing: u32,
    pub orphan_limit_ms: u64,
    pub trouble: Trouble,
    pub planned: Vec<Planned>,
    /// Nothing goes wrong from then on.
    pub fair_ms: u64,
    /// A power cut in the middle of the batch with this event, which is the last that survives.
    pub cut_at: Option<u64>,
    /// How often the run is started anew after its end, with more features.
    pub runs: u32,
}

/// Features, some of which wait for earlier ones.
pub fn entry(dice: &mut Dice, number: u32) -> Entry {
    let waits = (1..number).filter(|_| dice.percent(25)).map(FeatureId);
    let depends_on = waits.take(2).collect();
    let checks = match dice.percent(70) {
        true => vec![format!("check {number}")],
        false => Vec::new(),
    };
    let spec = FeatureSpec {
        name: format!("feature {number}"),
        category: format!("kind {}", dice.between(0, 1)),
        priority: dice.between(0, 2) as i32,
        depends_on,
        checks,
        ..FeatureSpec::default()
    };
    (FeatureId(number), spec)
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, Stream::Scenario, 0);
        let settings = settings(dice);
        let count = 2 + dice.skewed(30) as u32;
        let fair_ms = match dice.percent(10) {
            true => 0,
            false => dice.between(5_000, 600_000),
        };
        let crewed = dice.percent(50);
        let mut scenario = Self {
            seed,
            backlog: (1..=count).map(|number| entry(dice, number)).collect(),
            crewed,
            coding: dice.between(1, 4) as u32,
            testing: dice.between(u64::from(settings.testing > 0), 2) as u32,
            orphan_limit_ms: dice.between(30_000, 3_600_000),
            trouble: trouble(dice),
            profiles: profiles(dice),
            planned: Vec::new(),
            fair_ms,
            cut_at: dice.percent(15).then(|| dice.between(10, 150)),
            runs: 1 + u32::from(dice.percent(15)),
            settings,
        };
        scenario.plan(dice);
        scenario
    }

    /// Every seed has its own few kinds of trouble: all kinds at once hide each other.
    fn plan(&mut self, dice: &mut Dice) {
        let some = dice.between(15, 70);
        let mut kinds: Vec<What> = ALL.into_iter().filter(|_| dice.percent(some)).collect();
        kinds.push(What::Wish);
        let pause = dice.between(2_000, 60_000);
        let mut at_ms = dice.between(100, pause);
        while at_ms < self.fair_ms {
            let what = dice.pick(&kinds).unwrap_or(What::Wish);
            let salt = dice.roll();
            self.planned.push(Planned { at_ms, what, salt });
            // Now and then one thing comes right upon another.
            let next = if dice.percent(25) { 300 } else { pause };
            at_ms += dice.between(1, next);
        }
    }
}

/// One agent, or several that replace each other.
fn profiles(dice: &mut Dice) -> Profiles {
    let count = match dice.percent(50) {
        true => 1,
        false => dice.between(2, 3),
    };
    let all: Vec<ProfileName> = (1..=count)
        .map(|it| ProfileName(format!("p{it}")))
        .collect();
    let mut testing = all.clone();
    testing.reverse();
    testing.truncate(dice.between(1, count) as usize);
    Profiles {
        coding: all,
        testing,
    }
}

fn settings(dice: &mut Dice) -> Settings {
    let budget = match dice.percent(30) {
        true => dice.between(100, 2_000),
        false => 0,
    };
    Settings {
        max_concurrency: dice.between(1, 4) as u32,
        testing: dice.between(0, 2) as u32,
        batch_size: 1 + dice.skewed(3) as u32,
        max_attempts: dice.between(1, 4) as u32,
        retry_backoff_ms: 100,
        retry_backoff_ms_max: 5_000,
        idle_limit_ms: dice.between(20_000, 120_000),
        time_limit_ms: dice.between(30_000, 300_000),
        check_limit_ms: 60_000,
        test_with_agent: dice.percent(20),
        budget_tokens: budget,
        ..Settings::default()
    }
}

fn trouble(dice: &mut Dice) -> Trouble {
    let mut some = |most: u64| match dice.percent(60) {
        true => dice.between(0, most),
        false => 0,
    };
    Trouble {
        fails: some(30),
        lies: some(30),
        asks: some(15),
        crashes: some(20),
        hangs: some(15),
        limits: some(15),
        breaks: some(20),
        conflicts: some(20),
        flaky: some(10),
        stuck: some(4),
    }
}
