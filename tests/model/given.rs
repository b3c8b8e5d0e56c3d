//! A run told step by step, on the pure core alone.

use crewlog::model::actor::Actor;
use crewlog::model::apply::apply;
use crewlog::model::command::{Command, PersonCommand, Rejection};
use crewlog::model::decide::decide;
use crewlog::model::end_reason::EndReason;
use crewlog::model::event::{Event, ProcessIdentity, Recorded};
use crewlog::model::evidence::{Basis, CheckRun, Evidence, Failure, FailureKind, Usage};
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::{
    AttemptId, CommandId, CommitId, ContentHash, Epoch, FeatureId, Sequence, Timestamp, WorkerId,
};
use crewlog::model::plan::{Entropy, Plan, World, plan};
use crewlog::model::report::{Mergeable, Report, TestVerdict};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::state::State;
use proptest::test_runner::Config as ProptestConfig;

/// How often a property is tried, unless `PROPTEST_CASES` says otherwise. The seed of a failure is
/// printed and kept in no file.
pub fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let asked = asked.and_then(|number| number.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Numbers that look random and are the same every time (SplitMix64).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`, or 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).cloned()
    }
}

impl Entropy for Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The log so far, what it folds to, and the time.
#[derive(Clone)]
pub struct Story {
    pub state: State,
    pub log: Vec<Recorded>,
    pub now: Timestamp,
    pub numbers: Numbers,
    commits: u64,
}

pub const CODING: WorkerKind = WorkerKind::Coding;
pub const TESTING: WorkerKind = WorkerKind::Testing;

pub fn id(number: u32) -> FeatureId {
    FeatureId(number)
}

pub fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().unwrap()
}

/// A feature with one check of its own, `make N`.
pub fn spec(number: u32, depends_on: &[u32]) -> FeatureSpec {
    FeatureSpec {
        category: "core".to_owned(),
        name: format!("feature {number}"),
        checks: vec![format!("make {number}")],
        depends_on: depends_on.iter().copied().map(FeatureId).collect(),
        ..FeatureSpec::default()
    }
}

/// The same without checks.
pub fn unchecked(number: u32, depends_on: &[u32]) -> FeatureSpec {
    FeatureSpec {
        checks: Vec::new(),
        ..spec(number, depends_on)
    }
}

pub fn process(pid: u32) -> ProcessIdentity {
    ProcessIdentity {
        host: "here".to_owned(),
        boot_id: "boot".to_owned(),
        pid,
        start_ticks: u64::from(pid) * 100,
    }
}

pub fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "it went wrong")
}

/// The proof that a feature's checks, as the spec has them, exit with `exit_code`.
pub fn evidence(spec: &FeatureSpec, commit: &CommitId, exit_code: i32) -> Evidence {
    let run = |command: &String| CheckRun {
        command: command.clone(),
        end: exit_code.into(),
        duration_ms: 5,
        output: ContentHash::default(),
    };
    Evidence {
        basis: match spec.checks.as_slice() {
            [] => Basis::AgentWord,
            _ => Basis::Checks,
        },
        commit: commit.clone(),
        tree: commit.clone(),
        checks: spec.checks.iter().map(run).collect(),
    }
}

pub fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::name).collect()
}

impl Story {
    /// An empty log.
    pub fn empty() -> Self {
        Self {
            state: State::default(),
            log: Vec::new(),
            now: Timestamp(1_000_000),
            numbers: Numbers::new(7),
            commits: 1,
        }
    }

    /// A run that has begun at commit 1, with these features and what they depend on.
    pub fn with(settings: Settings, features: &[(u32, &[u32])]) -> Self {
        let mut story = Self::empty();
        let features = features
            .iter()
            .map(|&(id, on)| (FeatureId(id), spec(id, on)));
        story.import(features.collect());
        story.start(settings);
        story
    }

    /// The same with the usual settings.
    pub fn of(features: &[(u32, &[u32])]) -> Self {
        Self::with(Settings::default(), features)
    }

    pub fn start(&mut self, settings: Settings) -> Vec<Event> {
        let head = match self.state.head.is_none() {
            true => commit(1),
            false => self.state.head.clone(),
        };
        self.ok(Command::StartRun {
            branch: "crewlog/main".to_owned(),
            head,
            settings,
            seed: 7,
        })
    }

    pub fn import(&mut self, features: Vec<(FeatureId, FeatureSpec)>) -> Vec<Event> {
        self.person(PersonCommand::Import {
            features,
            update: false,
        })
        .unwrap()
    }

    /// A fact, decided by nobody.
    pub fn fact(&mut self, event: impl Into<Event>) -> Sequence {
        self.fact_of(CommandId(0), event.into())
    }

    pub fn fact_of(&mut self, cause: CommandId, event: Event) -> Sequence {
        let recorded = Recorded {
            sequence: self.state.sequence.next(),
            epoch: Epoch(1),
            at: self.now,
            cause,
            actor: Actor::Unknown,
            event,
        };
        apply(&mut self.state, &recorded);
        self.log.push(recorded);
        self.state.sequence
    }

    /// What a command would cause.
    pub fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        decide(&self.state, self.now, command)
    }

    /// Decides a command and applies what it causes.
    pub fn submit(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        let events = self.decide(command)?;
        for event in &events {
            self.fact(event.clone());
        }
        Ok(events)
    }

    pub fn ok(&mut self, command: Command) -> Vec<Event> {
        match self.submit(&command) {
            Ok(events) => events,
            Err(rejection) => panic!("{command:?} was rejected: {rejection}"),
        }
    }

    pub fn person(&mut self, command: PersonCommand) -> Result<Vec<Event>, Rejection> {
        self.submit(&Command::Person(command))
    }

    pub fn join(&mut self, kind: WorkerKind) -> WorkerId {
        let process = process(self.state.sequence.0 as u32);
        self.ok(Command::Join { kind, process });
        WorkerId(self.state.sequence.0)
    }

    pub fn wait(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// What is planned when these workers are idle.
    pub fn plan(&mut self, idle: &[WorkerId]) -> Plan {
        let world = self.world(idle);
        self.plan_in(&world)
    }

    /// A world in which these workers are idle.
    pub fn world(&self, idle: &[WorkerId]) -> World {
        World {
            idle: self.idle(idle),
            ..World::default()
        }
    }

    pub fn plan_in(&mut self, world: &World) -> Plan {
        self.state.settle();
        plan(&self.state, self.now, world, &mut self.numbers)
    }

    fn idle(
        &self,
        workers: &[WorkerId],
    ) -> std::collections::BTreeMap<u64, (WorkerId, WorkerKind)> {
        let known = workers.iter().filter_map(|worker| {
            let kind = self.state.workers().get(worker)?.kind;
            Some((*worker, kind))
        });
        (0..).zip(known).collect()
    }

    /// Gives a worker the job that is planned for it.
    pub fn take(&mut self, worker: WorkerId) -> AttemptId {
        let plan = self.plan(&[worker]);
        let command = plan.command.expect("a job for the worker");
        self.ok(command);
        self.state.workers()[&worker].attempt.expect("an attempt")
    }

    /// A new worker with a job.
    pub fn hire(&mut self, kind: WorkerKind) -> AttemptId {
        let worker = self.join(kind);
        self.take(worker)
    }

    pub fn report(&mut self, attempt: AttemptId, report: Report) -> Result<Vec<Event>, Rejection> {
        self.submit(&reporting(attempt, report))
    }

    /// Proven work on the head, as a new commit.
    pub fn work(&mut self, attempt: AttemptId) -> Mergeable {
        self.commits += 1;
        let commit = commit(self.commits);
        let features = self.features_of(attempt);
        let proofs = features.iter().map(|&feature| {
            let spec = self
                .state
                .feature(feature)
                .map(|feature| feature.spec.clone());
            (feature, evidence(&spec.unwrap_or_default(), &commit, 0))
        });
        Mergeable {
            onto: self.state.head.clone(),
            commit: commit.clone(),
            touched: features.iter().map(|id| format!("src/{id}.rs")).collect(),
            touched_total: features.len() as u32,
            evidence: proofs.collect(),
            notes: Vec::new(),
        }
    }

    pub fn features_of(&self, attempt: AttemptId) -> Vec<FeatureId> {
        let open = self.state.attempts().get(&attempt);
        open.map(|open| open.job.features.clone())
            .unwrap_or_default()
    }

    /// Merges an attempt's work, all the way.
    pub fn pass(&mut self, attempt: AttemptId) -> Vec<Event> {
        let work = self.work(attempt);
        let head = work.commit.clone();
        let mut events = self.report(attempt, Report::Mergeable(work)).unwrap();
        events.extend(self.ok(Command::SettleMerge {
            attempt,
            merged: true,
            head,
        }));
        events
    }

    pub fn fail(&mut self, attempt: AttemptId, kind: FailureKind) -> Vec<Event> {
        let features = self.features_of(attempt);
        let failures = features.into_iter().map(|id| (id, failure(kind)));
        let report = Report::Failed {
            failures: failures.collect(),
            limited_until: None,
        };
        self.report(attempt, report).unwrap()
    }

    pub fn lose(&mut self, attempt: AttemptId) -> Vec<Event> {
        self.ok(losing(attempt))
    }

    pub fn proven(&self, attempt: AttemptId, feature: FeatureId) -> TestVerdict {
        let base = &self.state.attempts()[&attempt].job.base;
        let spec = &self.state.feature(feature).expect("a feature").spec;
        TestVerdict::Passed(evidence(spec, base, 0))
    }

    /// The test finds everything in order.
    pub fn test(&mut self, attempt: AttemptId) -> Vec<Event> {
        let features = self.features_of(attempt);
        let verdicts = features.iter().map(|&id| (id, self.proven(attempt, id)));
        let report = tested(verdicts.collect());
        self.report(attempt, report).unwrap()
    }

    /// The test finds everything broken.
    pub fn find_broken(&mut self, attempt: AttemptId) -> Vec<Event> {
        let broken = || TestVerdict::Broken(failure(FailureKind::CheckFailed));
        let features = self.features_of(attempt);
        let report = tested(features.into_iter().map(|id| (id, broken())).collect());
        self.report(attempt, report).unwrap()
    }

    /// A fresh worker implements the feature of highest rank.
    pub fn implement(&mut self) -> FeatureId {
        let attempt = self.hire(CODING);
        let feature = self.features_of(attempt)[0];
        self.pass(attempt);
        feature
    }

    pub fn status(&self, number: u32) -> Status {
        let slot = self.state.slot(id(number)).expect("a feature");
        self.state.in_slot(slot).expect("a feature").status
    }

    pub fn ready(&self) -> Vec<u32> {
        self.state.ready().map(|(id, _)| id.0).collect()
    }
}

pub fn reporting(attempt: AttemptId, report: Report) -> Command {
    Command::Report {
        attempt,
        report,
        usage: Usage::default(),
        jitter: 0,
    }
}

pub fn losing(attempt: AttemptId) -> Command {
    Command::Lose {
        attempt,
        reason: EndReason::WorkerDied,
    }
}

pub fn tested(verdicts: Vec<(FeatureId, TestVerdict)>) -> Report {
    Report::Tested {
        verdicts,
        limited_until: None,
    }
}

/// The names of the events that a command is to cause, or a part of what the rejection says.
pub type Expected<'a> = Result<&'a [&'a str], &'a str>;

#[track_caller]
pub fn expect(story: &Story, what: &str, command: &Command, expected: Expected<'_>) {
    match (story.decide(command), expected) {
        (Ok(events), Ok(wanted)) => assert_eq!(names(&events), wanted, "{what}"),
        (Err(rejection), Err(part)) => {
            let said = rejection.to_string();
            assert!(
                said.contains(part),
                "{what}: {said:?} does not say {part:?}"
            );
        }
        (got, wanted) => panic!("{what}: got {got:?}, wanted {wanted:?}"),
    }
}
