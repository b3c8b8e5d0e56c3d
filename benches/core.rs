//! What one event costs in a backlog of 100 and of 100,000 features, how fast a log folds, and
//! what the state of 100,000 features weighs. Without the disk.
//!
//! `cargo bench --bench core`

use std::fs;
use std::time::Instant;

use crewlog::model::actor::Actor;
use crewlog::model::apply::apply;
use crewlog::model::command::Command;
use crewlog::model::decide::decide;
use crewlog::model::event::{Event, FeatureAdded, ProcessIdentity, Recorded};
use crewlog::model::evidence::{Basis, CheckEnd, CheckRun, Evidence, Failure, FailureKind, Usage};
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{
    AttemptId, CommandId, CommitId, ContentHash, Epoch, FeatureId, Timestamp, WorkerId,
};
use crewlog::model::plan::{Entropy, World, plan};
use crewlog::model::report::{Mergeable, Report, TestVerdict};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::state::{PRIOR_MS, State};

const MANY: u32 = 100_000;
const FEW: u32 = 100;
/// Workers that are at work while one is served.
const CREW: usize = 32;
/// Events that are measured in each backlog.
const EVENTS: usize = 20_000;

struct Draw(u64);

impl Entropy for Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// A feature as backlogs have them: half a kilobyte of text, a check or two, and up to three
/// dependencies in the layer before; there are twenty layers.
fn spec(number: u32, count: u32, draw: &mut Draw) -> FeatureSpec {
    let width = count / 20;
    let (layer, place) = ((number - 1) / width, (number - 1) % width);
    let on = (0..1 + draw.next() % 3).map(|_| {
        let near = (place + width - 2 + (draw.next() % 5) as u32) % width;
        FeatureId((layer.max(1) - 1) * width + near + 1)
    });
    let mut depends_on: Vec<FeatureId> = on.filter(|_| layer > 0).collect();
    depends_on.sort_unstable();
    depends_on.dedup();
    let step = |step: u32| format!("Step {step}: see to it that part {number} does what it should");
    FeatureSpec {
        category: ["core", "ui", "api", "docs"][(number % 4) as usize].to_owned(),
        name: format!("Feature {number} of the backlog"),
        description: format!(
            "What is wanted of feature {number}, {}",
            "in some words ".repeat(12)
        ),
        steps: (1..=4).map(step).collect(),
        checks: vec![format!("sh tests/run.sh {number}")],
        depends_on,
        priority: 0,
    }
}

fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().unwrap_or_default()
}

/// A log in the making.
struct Story {
    state: State,
    log: Option<Vec<Recorded>>,
    now: Timestamp,
    draw: Draw,
    commands: u128,
    cause: CommandId,
    /// Nanoseconds that were spent in the core, and the events that came of it.
    spent_ns: u128,
    events: u32,
}

impl Story {
    fn new(count: u32, keep: bool) -> Self {
        let mut story = Self {
            state: State::default(),
            log: keep.then(Vec::new),
            now: Timestamp(1_000_000),
            draw: Draw(7),
            commands: 0,
            cause: CommandId(1 << 90),
            spent_ns: 0,
            events: 0,
        };
        for number in 1..=count {
            let feature = FeatureId(number);
            let spec = spec(number, count, &mut story.draw);
            story.record(FeatureAdded { feature, spec }.into());
        }
        story.submit(&Command::StartRun {
            branch: "crewlog/main".to_owned(),
            head: commit(1),
            settings: Settings {
                max_concurrency: 1_000,
                testing: 1_000,
                max_attempts: 100,
                ..Settings::default()
            },
            seed: 7,
        });
        story.state.settle();
        story
    }

    fn record(&mut self, event: Event) {
        let recorded = Recorded {
            sequence: self.state.sequence.next(),
            epoch: Epoch(1),
            at: self.now,
            cause: self.cause,
            actor: Actor::Unknown,
            event,
        };
        apply(&mut self.state, &recorded);
        if let Some(log) = &mut self.log {
            log.push(recorded);
        }
    }

    /// Decides and applies, as the loop does it; measured.
    fn submit(&mut self, command: &Command) {
        self.commands += 1;
        // The scheduler's own commands have small ids, outsiders' are ULIDs.
        let own = matches!(
            command,
            Command::Assign { .. } | Command::AssignTest { .. } | Command::SettleMerge { .. }
        );
        self.cause = CommandId(self.commands + if own { 0 } else { 1 << 90 });
        let begin = Instant::now();
        let events = decide(&self.state, self.now, command).expect("an accepted command");
        self.events += events.len() as u32;
        for event in events {
            self.record(event);
        }
        self.spent_ns += begin.elapsed().as_nanos();
    }

    fn join(&mut self, kind: WorkerKind) -> WorkerId {
        let process = ProcessIdentity::default();
        self.submit(&Command::Join { kind, process });
        WorkerId(self.state.sequence.0)
    }

    /// Plans for one idle worker and starts what is planned; measured.
    fn take(&mut self, worker: WorkerId, kind: WorkerKind) -> Option<AttemptId> {
        let mut world = World::default();
        world.idle.insert(1, (worker, kind));
        let begin = Instant::now();
        self.state.settle();
        let plan = plan(&self.state, self.now, &world, &mut self.draw);
        self.spent_ns += begin.elapsed().as_nanos();
        self.submit(&plan.command?);
        self.state.workers().get(&worker)?.attempt
    }

    fn evidence(&self, feature: FeatureId, commit: &CommitId) -> Evidence {
        let checks = self
            .state
            .feature(feature)
            .map(|feature| &feature.spec.checks);
        let run = |command: &String| CheckRun {
            command: command.clone(),
            end: CheckEnd::Exited(0),
            duration_ms: 900,
            output: ContentHash([7; 32]),
        };
        Evidence {
            basis: Basis::Checks,
            commit: commit.clone(),
            tree: commit.clone(),
            checks: checks.into_iter().flatten().map(run).collect(),
        }
    }

    fn report(&mut self, attempt: AttemptId, report: Report) {
        let usage = Usage {
            input_tokens: 90_000,
            output_tokens: 4_000,
            cost_microusd: 300_000,
        };
        let jitter = self.draw.next();
        self.submit(&Command::Report {
            attempt,
            report,
            usage,
            jitter,
        });
    }

    fn feature_of(&self, attempt: AttemptId) -> FeatureId {
        let open = self.state.attempts().get(&attempt);
        open.and_then(|open| open.job.features.first())
            .copied()
            .unwrap_or_default()
    }

    /// An attempt ends as most do: merged.
    fn merge(&mut self, attempt: AttemptId) {
        let feature = self.feature_of(attempt);
        let head = commit(self.state.sequence.0 + 2);
        let touched: Vec<String> = (0..4)
            .map(|file| format!("src/part_{}/file_{file}.rs", feature.0 % 500))
            .collect();
        let work = Mergeable {
            onto: self.state.head.clone(),
            commit: head.clone(),
            touched_total: touched.len() as u32,
            touched,
            evidence: vec![(feature, self.evidence(feature, &head))],
            notes: Vec::new(),
        };
        self.report(attempt, Report::Mergeable(work));
        let merged = true;
        self.submit(&Command::SettleMerge {
            attempt,
            merged,
            head,
        });
    }

    fn fail(&mut self, attempt: AttemptId) {
        let failure = Failure::new(
            FailureKind::CheckFailed,
            "\"sh tests/run.sh\" exited with 1",
        );
        let failures = vec![(self.feature_of(attempt), failure)];
        let limited_until = None;
        self.report(
            attempt,
            Report::Failed {
                failures,
                limited_until,
            },
        );
    }

    fn test(&mut self, attempt: AttemptId) {
        let feature = self.feature_of(attempt);
        let base = self
            .state
            .attempts()
            .get(&attempt)
            .map(|open| open.job.base.clone());
        let evidence = self.evidence(feature, &base.unwrap_or_default());
        let verdicts = vec![(feature, TestVerdict::Passed(evidence))];
        let limited_until = None;
        self.report(
            attempt,
            Report::Tested {
                verdicts,
                limited_until,
            },
        );
    }

    /// A crew of coders and two testers work; after each finished attempt the next is started.
    /// Stops when nothing is left to start. Returns nanoseconds per event of each such cycle.
    fn work(&mut self, crew: usize, cycles: usize) -> Vec<u64> {
        let coders: Vec<WorkerId> = (0..crew).map(|_| self.join(WorkerKind::Coding)).collect();
        let tester = self.join(WorkerKind::Testing);
        let mut open: Vec<(WorkerId, AttemptId)> = Vec::new();
        for &coder in &coders {
            let attempt = self.take(coder, WorkerKind::Coding);
            open.extend(attempt.map(|attempt| (coder, attempt)));
        }
        let mut costs = Vec::new();
        for cycle in 0..cycles {
            self.now = self.now.plus_ms(PRIOR_MS / crew as u64);
            if open.is_empty() {
                break;
            }
            let (coder, attempt) = open.remove(0);
            (self.spent_ns, self.events) = (0, 0);
            if cycle % 8 == 5 {
                self.fail(attempt);
            } else {
                self.merge(attempt);
            }
            let next = self.take(coder, WorkerKind::Coding);
            if cycle % 2 == 0
                && let Some(test) = self.take(tester, WorkerKind::Testing)
            {
                self.test(test);
            }
            costs.push((self.spent_ns / u128::from(self.events.max(1))) as u64);
            open.extend(next.map(|next| (coder, next)));
        }
        costs
    }
}

fn percentile(costs: &mut [u64], percent: usize) -> f64 {
    costs.sort_unstable();
    let at = (costs.len() * percent / 100).min(costs.len().saturating_sub(1));
    costs.get(at).copied().unwrap_or(0) as f64 / 1_000.0
}

fn per_event() {
    let cycles = EVENTS / 6;
    // Both are warmed up alike and measured in turns, so that neither has the quieter machine.
    let mut large = Story::new(MANY, false);
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        many.extend(large.work(CREW, cycles / 10));
        let mut small = 0;
        while small < cycles / 10 {
            let costs = Story::new(FEW, false).work(3, 90);
            small += costs.len();
            few.extend(costs);
        }
        // The crew goes home, so that the next one does not find hundreds of open attempts.
        let open: Vec<AttemptId> = large.state.attempts().keys().copied().collect();
        for attempt in open {
            let reason = "over".to_owned();
            large.submit(&Command::Lose {
                attempt,
                reason: reason.into(),
            });
        }
    }
    let (at_few, at_many) = (percentile(&mut few, 50), percentile(&mut many, 50));
    println!("one event, with its share of deciding, applying and planning:");
    for (name, costs) in [("100", &mut few), ("100,000", &mut many)] {
        let (half, most) = (percentile(costs, 50), percentile(costs, 99));
        println!("  {name:>8} features: median {half:6.2} µs, p99 {most:6.2} µs");
    }
    println!("  ratio {:.2}", at_many / at_few);
}

fn fold() {
    let mut story = Story::new(MANY, true);
    while story.state.ready_count() > 0 && story.log.as_ref().is_some_and(|log| log.len() < 500_000)
    {
        story.work(CREW, 10_000);
    }
    let log = story.log.take().unwrap_or_default();
    let added = MANY as usize;
    let (mut best_all, mut best_work) = (0.0_f64, 0.0_f64);
    for _ in 0..5 {
        let mut state = State::default();
        let begin = Instant::now();
        log.iter()
            .take(added)
            .for_each(|recorded| apply(&mut state, recorded));
        let middle = Instant::now();
        log.iter()
            .skip(added)
            .for_each(|recorded| apply(&mut state, recorded));
        let (all, work) = (
            begin.elapsed().as_secs_f64(),
            middle.elapsed().as_secs_f64(),
        );
        best_all = best_all.max(log.len() as f64 / all);
        best_work = best_work.max((log.len() - added) as f64 / work);
    }
    println!(
        "fold of {} events: {best_all:.0}/s; without the {added} additions {best_work:.0}/s",
        log.len()
    );
    let begin = Instant::now();
    let bytes = story.state.to_bytes().unwrap_or_default();
    let written = begin.elapsed();
    let begin = Instant::now();
    let read = State::from_bytes(&bytes);
    println!(
        "snapshot of {:.1} MB: written in {:.0} ms, read and indexed in {:.0} ms ({})",
        bytes.len() as f64 / 1e6,
        written.as_secs_f64() * 1e3,
        begin.elapsed().as_secs_f64() * 1e3,
        if read.is_ok() { "whole" } else { "damaged" },
    );
}

/// Resident memory in megabytes.
fn resident_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next());
    kb.and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn memory() {
    let before = resident_mb();
    let mut story = Story::new(MANY, false);
    println!("{MANY} features: {:.0} MB", resident_mb() - before);
    story.work(CREW, MANY as usize / 2);
    println!(
        "{MANY} features, half of them done: {:.0} MB",
        resident_mb() - before
    );
}

fn main() {
    // First, while the process is small.
    memory();
    per_event();
    fold();
}
