//! Events for the tests of the log.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod dirs;

use crewlog::model::actor::Actor;
use crewlog::model::branch::NamedCommit;
use crewlog::model::config::ConfigChange;
use crewlog::model::event::*;
use crewlog::model::evidence::*;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::*;
use crewlog::model::profile::Profiles;
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::trouble::{Stage, TroubleKind};

pub fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

pub fn record(sequence: u64, epoch: Epoch, event: impl Into<Event>) -> Recorded {
    Recorded {
        sequence: Sequence(sequence),
        epoch,
        at: Timestamp(1_700_000_000_000 + sequence),
        cause: CommandId(0x0123_4567_89ab_cdef_0011_2233_4455_6677 + u128::from(sequence)),
        actor: Actor::Unknown,
        event: event.into(),
    }
}

/// A small event, as most are; different for every sequence.
pub fn small(sequence: u64, epoch: Epoch) -> Recorded {
    let reason = format!("the worker gave job {sequence} back because its user stopped it");
    record(
        sequence,
        epoch,
        AttemptReleased {
            attempt: AttemptId(sequence),
            reason: reason.into(),
            detail: String::new(),
        },
    )
}

pub fn smalls(from: u64, count: u64, epoch: Epoch) -> Vec<Recorded> {
    (from..from + count)
        .map(|sequence| small(sequence, epoch))
        .collect()
}

/// An event whose body is too long for its envelope.
pub fn big(sequence: u64, epoch: Epoch, bytes: usize) -> Recorded {
    let spec = FeatureSpec {
        name: format!("feature {sequence}"),
        description: "long ".repeat(bytes / 5),
        ..FeatureSpec::default()
    };
    let feature = FeatureId(sequence as u32);
    record(sequence, epoch, FeatureAdded { feature, spec })
}

fn named(digit: char) -> NamedCommit {
    NamedCommit::new(commit(digit), "Ann", "mend the clock")
}

fn spec() -> FeatureSpec {
    FeatureSpec {
        category: "core".into(),
        name: "Greets — grüßt".into(),
        description: "Say hello.\nPolitely.".into(),
        steps: vec!["write it".into(), "read it".into()],
        checks: vec!["sh test.sh greet".into()],
        depends_on: vec![FeatureId(1), FeatureId(4)],
        priority: -7,
    }
}

fn checks() -> Vec<CheckRun> {
    vec![CheckRun {
        command: "sh test.sh greet".into(),
        end: CheckEnd::Exited(124),
        duration_ms: 1_500,
        output: ContentHash([0xab; 32]),
    }]
}

fn evidence() -> Evidence {
    Evidence {
        basis: Basis::AgentWord,
        commit: commit('a'),
        tree: commit('b'),
        checks: checks(),
    }
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::CheckFailed,
        reason: "greet: expected hello".into(),
        checks: checks(),
    }
}

fn rank() -> RankTerms {
    RankTerms {
        regressed: true,
        chain_ms: 90_000,
        unblocks: 12,
        priority: -3,
    }
}

fn weight() -> TestTerms {
    TestTerms {
        touched_since: 3,
        dependents: 4,
        untested_ms: 60_000,
        weight: 77,
    }
}

fn usage() -> Usage {
    Usage {
        input_tokens: 1_000,
        output_tokens: 200,
        cost_microusd: 31_415,
    }
}

const FEATURE: FeatureId = FeatureId(118);
const ATTEMPT: AttemptId = AttemptId(4_711);
const WORKER: WorkerId = WorkerId(9);
const UNTIL: Timestamp = Timestamp(1_700_000_123_456);

fn features() -> Vec<FeatureId> {
    vec![FEATURE, FeatureId(119)]
}

fn reason() -> String {
    "because".to_owned()
}

/// One event of every kind, in the order of their numbers. Changing one changes its golden bytes.
pub fn samples() -> Vec<Event> {
    [
        backlog_samples(),
        job_samples(),
        merge_samples(),
        outcome_samples(),
        people_samples(),
        run_samples(),
    ]
    .concat()
}

fn job_samples() -> Vec<Event> {
    vec![
        FeatureAssigned {
            worker: WORKER,
            features: features(),
            attempt_number: 2,
            base: commit('1'),
            terms: rank(),
            runners_up: vec![(FeatureId(7), rank())],
            ready: 40,
        }
        .into(),
        TestAssigned {
            worker: WORKER,
            features: features(),
            base: commit('1'),
            last: true,
            draw: 31,
            terms: weight(),
            runners_up: vec![(FeatureId(8), weight())],
        }
        .into(),
        JobCancelled {
            attempt: ATTEMPT,
            reason: reason().into(),
        }
        .into(),
        AttemptStarted {
            job: JobId(4_710),
            worker: WORKER,
            profile: Some("claude".into()),
        }
        .into(),
        AttemptReleased {
            attempt: ATTEMPT,
            reason: reason().into(),
            detail: String::new(),
        }
        .into(),
        AttemptLost {
            attempt: ATTEMPT,
            reason: reason().into(),
        }
        .into(),
        LateResultIgnored {
            attempt: ATTEMPT,
            report: "passed".into(),
        }
        .into(),
    ]
}

fn merge_samples() -> Vec<Event> {
    vec![
        MergeStarted {
            attempt: ATTEMPT,
            onto: commit('2'),
            commit: commit('4'),
            touched: vec!["src/a b.sh".into()],
            touched_total: 1,
            evidence: vec![(FEATURE, evidence())],
        }
        .into(),
        MergeAborted {
            attempt: ATTEMPT,
            head: commit('3'),
        }
        .into(),
        HeadMoved { head: commit('3') }.into(),
    ]
}

fn outcome_samples() -> Vec<Event> {
    vec![
        FeaturePassed {
            feature: FEATURE,
            attempt: ATTEMPT,
            evidence: evidence(),
        }
        .into(),
        FeatureFailed {
            feature: FEATURE,
            attempt: ATTEMPT,
            failure: failure(),
            not_before: UNTIL,
        }
        .into(),
        RegressionFound {
            feature: FEATURE,
            attempt: ATTEMPT,
            failure: failure(),
            suspects: vec![(FeatureId(9), commit('5'))],
        }
        .into(),
        TestPassed {
            feature: FEATURE,
            attempt: ATTEMPT,
            evidence: evidence(),
        }
        .into(),
        TestInconclusive {
            feature: FEATURE,
            attempt: ATTEMPT,
            failure: failure(),
        }
        .into(),
        FeatureParked {
            feature: FEATURE,
            failures: 3,
        }
        .into(),
    ]
}

fn people_samples() -> Vec<Event> {
    vec![
        InputRequested {
            feature: FEATURE,
            attempt: ATTEMPT,
            question: "Which port?".into(),
        }
        .into(),
        InputAnswered {
            feature: FEATURE,
            answer: "8080".into(),
        }
        .into(),
        RunPaused { reason: reason() }.into(),
        RunResumed {}.into(),
        RetryRequested { feature: FEATURE }.into(),
        UsageRecorded {
            attempt: ATTEMPT,
            usage: usage(),
        }
        .into(),
        ProviderLimited {
            attempt: ATTEMPT,
            profile: "claude".into(),
            kind: FailureKind::ProviderLimited,
            until: UNTIL,
            reason: reason(),
        }
        .into(),
        BudgetReached { spent: usage() }.into(),
    ]
}

fn run_samples() -> Vec<Event> {
    vec![
        RunStarted {
            branch: "crewlog/demo".into(),
            head: commit('3'),
            settings: Settings::default(),
            seed: 42,
        }
        .into(),
        WorkerJoined {
            kind: WorkerKind::Testing,
            name: "worker-3".into(),
            process: process(),
        }
        .into(),
        WorkerLeft {
            worker: WORKER,
            reason: reason().into(),
        }
        .into(),
        SettingsChanged {
            settings: Settings {
                max_concurrency: 8,
                ..Settings::default()
            },
        }
        .into(),
        RunFinished {
            outcome: RunOutcome::SomeFailed,
            reason: reason(),
        }
        .into(),
        CrewTroubled {
            attempt: ATTEMPT,
            kind: TroubleKind::Git,
            stage: Stage::Check,
            until: UNTIL,
            reason: reason(),
        }
        .into(),
        CrewRecovered { attempt: ATTEMPT }.into(),
        ProfileRecovered {
            attempt: ATTEMPT,
            profile: "claude".into(),
        }
        .into(),
        ClockJumped { by_ms: 3_600_000 }.into(),
        ProfilesSet {
            profiles: Profiles {
                coding: vec!["claude".into(), "codex".into()],
                testing: vec!["codex".into()],
            },
        }
        .into(),
        CommandRefused {
            attempt: Some(AttemptId(44)),
            command: "skip #9".into(),
            reason: "agents of an attempt cannot steer the run".into(),
        }
        .into(),
        ConfigRecorded {
            content: ContentHash([7; 32]),
            changes: vec![ConfigChange {
                key: "checks.keep_ignored".into(),
                before: "[]".into(),
                after: "[\"*\"]".into(),
            }],
            changes_total: 9,
        }
        .into(),
        BranchMoved {
            from: commit('a'),
            to: commit('b'),
            added: vec![named('b')],
            added_total: 1,
            lost: vec![named('a'), named('c')],
            lost_total: 2,
        }
        .into(),
        WorkLost {
            feature: FeatureId(7),
            commit: commit('a'),
        }
        .into(),
        MergesHeld {
            at: "/home/ann/project".into(),
        }
        .into(),
        AttemptNoted {
            attempt: ATTEMPT,
            note: reason(),
        }
        .into(),
    ]
}

fn backlog_samples() -> Vec<Event> {
    let feature = FeatureId(118);
    let depends_on = vec![FeatureId(3)];
    let reason = "not needed".to_owned();
    vec![
        FeatureAdded {
            feature,
            spec: spec(),
        }
        .into(),
        FeatureEdited {
            feature,
            spec: spec(),
        }
        .into(),
        FeatureRemoved { feature }.into(),
        FeatureSkipped { feature, reason }.into(),
        DependenciesSet {
            feature,
            depends_on,
        }
        .into(),
    ]
}

fn process() -> ProcessIdentity {
    ProcessIdentity {
        host: "loom".into(),
        boot_id: "5b0c6fbc-1d2e-4f0a-9f7e-0d9b1a2c3d4e".into(),
        pid: 4_242,
        start_ticks: 123_456,
    }
}

/// A sample as its first version, which knew no profiles, is read.
#[allow(dead_code, reason = "not every test reads logs of earlier versions")]
pub fn without_profiles(mut event: Event) -> Event {
    match &mut event {
        Event::AttemptStarted(it) => it.profile = None,
        Event::ProviderLimited(it) => it.profile = Default::default(),
        _ => {}
    }
    event
}
