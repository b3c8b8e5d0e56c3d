use super::*;
use crate::model::end_reason::EndReason;
use crate::model::event::*;
use crate::model::evidence::{Failure, FailureKind};
use crate::model::ids::{Sequence, WorkerId};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::views::fixtures::*;

fn cost(microusd: u64) -> Usage {
    Usage {
        input_tokens: 10,
        output_tokens: 1,
        cost_microusd: microusd,
    }
}

fn used(log: &mut Log, attempt: u64, microusd: u64) {
    let (attempt, usage) = (AttemptId(attempt), cost(microusd));
    log.record(UsageRecorded { attempt, usage });
}

fn begin(log: &mut Log) {
    log.record(RunStarted {
        branch: "crewlog/x".to_owned(),
        head: commit('a'),
        settings: Settings::default(),
        seed: 1,
    });
}

fn drawn(log: &mut Log, worker: Sequence, feature: u32) -> u64 {
    let job = log.record(TestAssigned {
        worker: WorkerId(worker.0),
        features: vec![FeatureId(feature)],
        base: commit('a'),
        last: false,
        draw: 1,
        terms: TestTerms::default(),
        runners_up: Vec::new(),
    });
    log.record(started(job.0, worker.0)).0
}

/// The report of everything after `first`, folded in both ways, which must agree.
fn report(log: &Log, first: usize) -> Report {
    let mut before = Log::default();
    for recorded in log.events.iter().take(first) {
        before.record(recorded.event.clone());
    }
    let mut whole = ReportFold::new(Begin::Event(before.state.sequence.next()));
    log.events.iter().for_each(|event| whole.event(event));
    let whole = whole.report(&log.state, None);
    let mut rest = ReportFold::after(&before.state);
    let events = log.events.iter().skip(first);
    events.for_each(|event| rest.event(event));
    assert_eq!(rest.report(&log.state, None), whole, "after {first} events");
    whole
}

/// One of everything: a failure and then a pass, a question, a lost attempt, one that was given back,
/// a regression, and a feature that is parked.
fn night() -> Log {
    let mut log = Log::default();
    for id in 1..=4 {
        log.record(added(id, &format!("feature {id}"), &[]));
    }
    begin(&mut log);
    let worker = log.record(joined(WorkerKind::Coding, "worker-1"));
    let first = log.start(worker, &[1], 1);
    used(&mut log, first, 100);
    log.record(failed(1, first, "not yet"));
    let second = log.start(worker, &[1], 2);
    used(&mut log, second, 30);
    log.record(passed(1, second, Basis::Checks));
    // Usage that is known late still belongs to the attempt.
    used(&mut log, second, 7);
    let asks = log.start(worker, &[2], 1);
    used(&mut log, asks, 5);
    log.record(InputRequested {
        feature: FeatureId(2),
        attempt: AttemptId(asks),
        question: "TOML or YAML?".to_owned(),
    });
    let lost = log.start(worker, &[3], 1);
    used(&mut log, lost, 11);
    log.record(AttemptLost {
        attempt: AttemptId(lost),
        reason: EndReason::WorkerDied,
    });
    let back = log.start(worker, &[3], 1);
    used(&mut log, back, 13);
    log.record(AttemptReleased {
        attempt: AttemptId(back),
        reason: EndReason::ProviderLimited,
        detail: String::new(),
    });
    let parked = log.start(worker, &[3, 4], 1);
    used(&mut log, parked, 3);
    log.record(failed(3, parked, "never"));
    log.record(AttemptReleased {
        attempt: AttemptId(parked),
        reason: EndReason::OtherFeatureFailed,
        detail: String::new(),
    });
    let (feature, failures) = (FeatureId(3), 1);
    log.record(FeatureParked { feature, failures });
    let test = drawn(&mut log, worker, 1);
    used(&mut log, test, 17);
    log.record(RegressionFound {
        feature: FeatureId(1),
        attempt: AttemptId(test),
        failure: Failure::new(FailureKind::CheckFailed, "it broke"),
        suspects: vec![(FeatureId(1), commit('c'))],
    });
    log
}

#[test]
fn a_night_adds_up() {
    let mut log = night();
    let told = report(&log, 0);
    let spent = told.spent;
    let parts = [
        (spent.failed, 103),
        (spent.passed, 37),
        (spent.asked, 5),
        (spent.lost, 11),
        (spent.given_back, 13),
        (spent.tests, 17),
        (spent.open, 0),
        (spent.total, 186),
        (spent.wasted(), 127),
    ];
    for (place, (part, expected)) in parts.into_iter().enumerate() {
        assert_eq!(part.cost_microusd, expected, "part {place}");
    }
    assert_eq!(spent.total, log.state.spent, "nothing is left out");
    assert_eq!(spent.microusd_per_feature(), Some(186));
    let passed = &told.passed[0];
    assert_eq!((passed.attempts, passed.spent.cost_microusd), (2, 137));
    // An event is recorded each second: two from a start to a failure, and to a pass.
    assert_eq!(passed.worked_ms, 4_000);
    assert_eq!(told.failed.len(), 1);
    let failed = &told.failed[0];
    assert_eq!((failed.feature, failed.failures), (FeatureId(3), 1));
    assert_eq!(
        (failed.status, failed.reason.as_str()),
        (Status::Parked, "never")
    );
    assert_eq!(told.failures, [("check_failed", 2)].into());
    let given_back = [("other_feature_failed", 1), ("provider_limited", 1)];
    assert_eq!(told.given_back, given_back.into());
    assert_eq!(
        (told.lost, told.coding_attempts, told.testing_attempts),
        (1, 6, 1)
    );
    let needs: Vec<NeedKind> = told.needs.iter().map(|need| need.kind).collect();
    use NeedKind::*;
    assert_eq!(needs, [Question, Parked, Regressed]);
    assert!(!told.regressions[0].repaired);
    // The repair is a pass of its own, and the feature is listed once.
    let worker = Sequence(6);
    let again = log.start(worker, &[1], 1);
    log.record(passed_again(again));
    let told = report(&log, 0);
    assert!(told.regressions[0].repaired && told.passed[0].repaired);
    assert_eq!((told.passed.len(), told.needs.len()), (1, 2));
}

fn passed_again(attempt: u64) -> Event {
    passed(1, attempt, Basis::Checks)
}

#[test]
fn any_period_has_its_part_of_the_night() {
    let log = night();
    for first in 0..=log.events.len() {
        let last = log.events.get(first.wrapping_sub(1));
        if last.is_some_and(|last| last.event.name().ends_with("Assigned")) {
            // An assignment and its attempt are in one batch.
            continue;
        }
        if matches!(log.events.get(first).map(|next| &next.event), Some(Event::UsageRecorded(it)) if it.usage == cost(7))
        {
            // What became of an attempt that is over is not known to a fold that begins here.
            continue;
        }
        let told = report(&log, first);
        // What is spent before the period is not part of it.
        let before = log.events.iter().take(first);
        let before: u64 = before
            .map(|event| match &event.event {
                Event::UsageRecorded(it) => it.usage.cost_microusd,
                _ => 0,
            })
            .sum();
        assert_eq!(
            told.spent.total.cost_microusd,
            186 - before,
            "after {first}"
        );
    }
}

#[test]
fn durations_leave_out_jumps_of_the_clock() {
    let mut log = Log::default();
    log.record(added(1, "one", &[]));
    let worker = log.record(joined(WorkerKind::Coding, "worker-1"));
    let attempt = log.start(worker, &[1], 1);
    log.record(ClockJumped { by_ms: 1_500 });
    log.record(passed(1, attempt, Basis::Checks));
    let told = report(&log, 0);
    assert_eq!(told.passed[0].worked_ms, 500);
    assert_eq!(told.wall_ms, 3_500);
    let mut fold = ReportFold::new(Begin::Time(Timestamp(4_000)));
    log.events.iter().for_each(|event| fold.event(event));
    let told = fold.report(&log.state, Some(Timestamp(9_000)));
    assert_eq!(
        (told.since, told.until),
        (Timestamp(4_000), Timestamp(9_000))
    );
    assert_eq!(told.wall_ms, 3_500);
}

#[test]
fn an_empty_period_is_empty() {
    let log = night();
    let mut fold = ReportFold::new(Begin::Time(Timestamp(1_000_000)));
    log.events.iter().for_each(|event| fold.event(event));
    let told = fold.report(&log.state, Some(Timestamp(1_005_000)));
    assert_eq!((told.wall_ms, told.passed.len()), (5_000, 0));
    assert!(told.spent.total.is_zero() && told.failed.is_empty());
    assert_eq!(told.needs.len(), 3, "what is needed is needed now");
}

#[test]
fn a_batch_splits_its_cost() {
    let mut log = Log::default();
    for id in 1..=3 {
        log.record(added(id, "x", &[]));
    }
    let worker = log.record(joined(WorkerKind::Coding, "worker-1"));
    let attempt = log.start(worker, &[1, 2, 3], 1);
    used(&mut log, attempt, 100);
    for id in 1..=3 {
        log.record(passed(id, attempt, Basis::Checks));
    }
    let told = report(&log, 0);
    let costs = told.passed.iter().map(|it| it.spent.cost_microusd);
    assert_eq!(costs.collect::<Vec<_>>(), [34, 33, 33]);
    assert_eq!(told.spent.passed.cost_microusd, 100);
}
