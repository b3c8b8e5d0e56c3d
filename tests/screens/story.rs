//! A log that is written for the screens: one of everything that can happen.

use crewlog::model::actor::Actor;
use crewlog::model::apply::apply;
use crewlog::model::event::*;
use crewlog::model::evidence::{Basis, CheckRun, Evidence, Failure, FailureKind, Usage};
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::*;
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::state::State;

/// 2026-11-22T15:04:05Z, when every story begins.
const BEGIN: Timestamp = Timestamp(1_795_359_845_000);

/// A growing log with its state. Each event is some seconds later than the one before.
#[derive(Default)]
pub struct Story {
    pub events: Vec<Recorded>,
    pub state: State,
    actor: Actor,
}

impl Story {
    /// Time of the last event.
    pub fn now(&self) -> Timestamp {
        BEGIN.plus_ms(self.state.sequence.0 * 7_000)
    }

    pub fn record(&mut self, event: impl Into<Event>) -> Sequence {
        let sequence = self.state.sequence.next();
        let recorded = Recorded {
            sequence,
            epoch: Epoch(1),
            at: BEGIN.plus_ms(sequence.0 * 7_000),
            cause: CommandId(u128::from(sequence.0)),
            actor: self.actor.clone(),
            event: event.into(),
        };
        apply(&mut self.state, &recorded);
        self.state.settle();
        self.events.push(recorded);
        sequence
    }

    /// Records an event that somebody causes.
    pub fn by(&mut self, actor: Actor, event: impl Into<Event>) -> Sequence {
        self.actor = actor;
        let sequence = self.record(event);
        self.actor = Actor::Unknown;
        sequence
    }

    pub fn add(&mut self, number: u32, name: &str, depends_on: &[u32]) {
        let spec = FeatureSpec {
            name: name.to_owned(),
            category: "core".to_owned(),
            checks: vec![format!("cargo test --test feature_{number}")],
            depends_on: depends_on.iter().copied().map(FeatureId).collect(),
            ..FeatureSpec::default()
        };
        let feature = FeatureId(number);
        self.record(FeatureAdded { feature, spec });
    }

    pub fn begin(&mut self, settings: Settings) {
        self.record(RunStarted {
            branch: "main".to_owned(),
            head: commit('a'),
            settings,
            seed: 4_711,
        });
    }

    pub fn join(&mut self, kind: WorkerKind, number: u32) -> WorkerId {
        let process = ProcessIdentity {
            host: "build-7".to_owned(),
            pid: 2_000 + number,
            ..ProcessIdentity::default()
        };
        let name = format!("worker-{number}");
        WorkerId(
            self.record(WorkerJoined {
                kind,
                name,
                process,
            })
            .0,
        )
    }

    /// A worker starts on a feature.
    pub fn code(&mut self, worker: WorkerId, feature: u32, attempt_number: u32) -> AttemptId {
        let job = self.record(FeatureAssigned {
            worker,
            features: vec![FeatureId(feature)],
            attempt_number,
            base: self.state.head.clone(),
            terms: rank(900_000, 2, 0),
            runners_up: vec![(FeatureId(7), rank(300_000, 1, 0))],
            ready: 4,
        });
        let job = JobId(job.0);
        AttemptId(
            self.record(AttemptStarted {
                job,
                worker,
                profile: None,
            })
            .0,
        )
    }

    /// A worker starts to test a feature.
    pub fn test(&mut self, worker: WorkerId, feature: u32, last: bool) -> AttemptId {
        let terms = TestTerms {
            touched_since: 3,
            dependents: 1,
            untested_ms: 3_600_000,
            weight: 77,
        };
        let job = self.record(TestAssigned {
            worker,
            features: vec![FeatureId(feature)],
            base: self.state.head.clone(),
            last,
            draw: 31,
            terms,
            runners_up: vec![(
                FeatureId(if feature == 1 { 12 } else { 1 }),
                TestTerms {
                    weight: 12,
                    ..terms
                },
            )],
        });
        let job = JobId(job.0);
        AttemptId(
            self.record(AttemptStarted {
                job,
                worker,
                profile: None,
            })
            .0,
        )
    }

    /// The attempt's work is merged, and its feature passes.
    pub fn pass(&mut self, attempt: AttemptId, feature: u32, to: char) {
        let feature = FeatureId(feature);
        let evidence = evidence(to);
        self.record(MergeStarted {
            attempt,
            onto: self.state.head.clone(),
            commit: commit(to),
            touched: vec!["src/lib.rs".to_owned(), "tests/lib.rs".to_owned()],
            touched_total: 2,
            evidence: vec![(feature, evidence.clone())],
        });
        self.record(FeaturePassed {
            feature,
            attempt,
            evidence,
        });
    }

    pub fn fail(&mut self, attempt: AttemptId, feature: u32, wait_ms: u64) {
        self.record(FeatureFailed {
            feature: FeatureId(feature),
            attempt,
            failure: failure(FailureKind::CheckFailed),
            not_before: self.now().plus_ms(wait_ms),
        });
    }

    /// A test that gives no verdict.
    pub fn unsure(&mut self, attempt: AttemptId, feature: u32) {
        self.record(TestInconclusive {
            feature: FeatureId(feature),
            attempt,
            failure: failure(FailureKind::TimeLimit),
        });
    }
}

pub fn person() -> Actor {
    Actor::person(1_000, 4_711, "pts/3")
}

pub fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().expect("digits")
}

pub fn rank(chain_ms: u64, unblocks: u32, priority: i32) -> RankTerms {
    RankTerms {
        regressed: false,
        chain_ms,
        unblocks,
        priority,
    }
}

pub fn usage() -> Usage {
    Usage {
        input_tokens: 120_000,
        output_tokens: 4_500,
        cost_microusd: 1_230_000,
    }
}

pub fn check(exit_code: i32) -> CheckRun {
    CheckRun {
        command: "cargo test --test dates".to_owned(),
        end: exit_code.into(),
        duration_ms: 12_400,
        output: ContentHash([0xab; 32]),
    }
}

pub fn evidence(at: char) -> Evidence {
    Evidence {
        basis: Basis::Checks,
        commit: commit(at),
        tree: commit('f'),
        checks: vec![check(0)],
    }
}

/// A failure with a reason as the workers write it.
pub fn failure(kind: FailureKind) -> Failure {
    let reason = match kind {
        FailureKind::CheckFailed => {
            "`cargo test --test dates` exited with 101\nassertion failed: parse(\"2026-02-30\").is_err()"
        }
        FailureKind::TimeLimit => "the attempt took longer than 2h00m",
        _ => "the reason that the worker gives",
    };
    let mut failure = Failure::new(kind, reason);
    if kind == FailureKind::CheckFailed {
        failure.checks = vec![check(0), check(101)];
    }
    failure
}

/// Two coding workers and a testing worker.
pub struct Workers {
    pub one: WorkerId,
    pub two: WorkerId,
    pub testing: WorkerId,
}

/// A run in which every feature has another status.
pub fn every_status() -> (Story, Workers) {
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.add(2, "format dates", &[1]);
    story.add(3, "time zones", &[1]);
    story.add(4, "config file", &[]);
    story.add(5, "retry after a network error", &[]);
    story.add(6, "upload", &[5]);
    story.add(7, "command line", &[1]);
    story.add(
        8,
        "completions for bash, zsh and fish, generated from the arguments",
        &[1],
    );
    story.add(9, "manual page", &[7, 8]);
    story.add(10, "colours", &[]);
    story.add(11, "old interface", &[]);
    story.add(12, "leap seconds", &[1]);
    story.begin(Settings::default());
    let workers = Workers {
        one: story.join(WorkerKind::Coding, 1),
        two: story.join(WorkerKind::Coding, 2),
        testing: story.join(WorkerKind::Testing, 3),
    };
    let attempt = story.code(workers.one, 1, 1);
    story.fail(attempt, 1, 2_000);
    let attempt = story.code(workers.one, 1, 2);
    story.record(UsageRecorded {
        attempt,
        usage: usage(),
    });
    story.pass(attempt, 1, 'b');
    let attempt = story.code(workers.one, 12, 1);
    story.pass(attempt, 12, 'c');
    let attempt = story.code(workers.two, 2, 1);
    story.pass(attempt, 2, 'd');
    let attempt = story.code(workers.one, 4, 1);
    story.record(InputRequested {
        feature: FeatureId(4),
        attempt,
        question: "Should the file be TOML or YAML? The backlog names both.".to_owned(),
    });
    for number in 1..=3 {
        let attempt = story.code(workers.two, 5, number);
        story.fail(attempt, 5, 2_000);
    }
    story.record(FeatureParked {
        feature: FeatureId(5),
        failures: 3,
    });
    let reason = "nobody asked for them".to_owned();
    let feature = FeatureId(10);
    story.by(person(), FeatureSkipped { feature, reason });
    let feature = FeatureId(11);
    story.by(person(), FeatureRemoved { feature });
    let attempt = story.test(workers.testing, 12, false);
    story.record(RegressionFound {
        feature: FeatureId(12),
        attempt,
        failure: failure(FailureKind::CheckFailed),
        suspects: vec![(FeatureId(12), commit('c')), (FeatureId(2), commit('d'))],
    });
    for _ in 0..3 {
        let attempt = story.test(workers.testing, 2, false);
        story.unsure(attempt, 2);
    }
    let attempt = story.code(workers.two, 8, 1);
    story.fail(attempt, 8, 240_000);
    story.record(HeadMoved { head: commit('e') });
    story.code(workers.one, 3, 2);
    story.test(workers.testing, 1, false);
    (story, workers)
}
