//! Who gets which job.

use crewlog::model::command::Command;
use crewlog::model::event::{Event, FeatureAssigned, RankTerms, RunPaused};
use crewlog::model::evidence::{FailureKind, Usage};
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::{AttemptId, FeatureId, Timestamp, WorkerId};
use crewlog::model::report::Report;
use crewlog::model::settings::Settings;
use crewlog::model::state::PRIOR_MS;

use crate::commands::*;
use crate::given::*;

fn assign(worker: WorkerId, numbers: &[u32]) -> Command {
    Command::Assign {
        worker,
        features: numbers.iter().copied().map(FeatureId).collect(),
        profile: Default::default(),
        terms: RankTerms::default(),
        runners_up: Vec::new(),
        ready: 1,
    }
}

fn assigned(events: &[Event]) -> &FeatureAssigned {
    let found = events.iter().find_map(|event| match event {
        Event::FeatureAssigned(assigned) => Some(assigned),
        _ => None,
    });
    found.expect("an assignment")
}

fn batches(batch_size: u32) -> Settings {
    Settings {
        batch_size,
        ..Settings::default()
    }
}

#[test]
fn the_feature_of_highest_rank_goes_first_and_the_log_says_why() {
    let mut story = Story::of(&[
        (1, &[]),
        (2, &[]),
        (3, &[2]),
        (4, &[3]),
        (5, &[1]),
        (6, &[]),
    ]);
    let worker = story.join(CODING);
    let command = story.plan(&[worker]).command.unwrap();
    let events = story.ok(command);
    assert_eq!(names(&events), ["FeatureAssigned", "AttemptStarted"]);
    let chosen = assigned(&events);
    let terms = |chain_ms, unblocks| RankTerms {
        chain_ms,
        unblocks,
        ..RankTerms::default()
    };
    assert_eq!(chosen.features, [id(2)]);
    assert_eq!(chosen.terms, terms(3 * PRIOR_MS, 2));
    let behind = [(id(1), terms(2 * PRIOR_MS, 1)), (id(6), terms(PRIOR_MS, 0))];
    assert_eq!(chosen.runners_up, behind);
    assert_eq!((chosen.ready, chosen.attempt_number), (3, 1));
    assert_eq!(chosen.base, commit(1));
    assert_eq!(story.status(2), Status::Running);
    assert_eq!(story.ready(), [1, 6]);
}

#[test]
fn assignments_that_no_longer_fit() {
    let settings = Settings {
        batch_size: 2,
        max_concurrency: 2,
        budget_tokens: 10,
        ..Settings::default()
    };
    let mut story = Story::with(
        settings,
        &[(1, &[]), (2, &[1]), (3, &[]), (4, &[]), (5, &[])],
    );
    let long = |number| FeatureSpec {
        description: "x".repeat(200_000),
        ..spec(number, &[])
    };
    story.import(vec![(id(8), long(8)), (id(9), long(9))]);
    let (worker, tester) = (story.join(CODING), story.join(TESTING));
    let first = story.join(CODING);
    story.ok(assign(first, &[1]));
    let failed = story.state.workers()[&first].attempt.unwrap();
    story.fail(failed, FailureKind::CheckFailed);
    let other = story.join(CODING);
    story.ok(assign(other, &[3]));

    let table: [(&str, Command, &str); 10] = [
        ("gone", assign(WorkerId(999), &[4]), "the worker has left"),
        (
            "a tester",
            assign(tester, &[4]),
            "takes other kinds of jobs",
        ),
        ("busy", assign(other, &[4]), "has a job"),
        ("nothing", assign(worker, &[]), "the job has no features"),
        ("unknown", assign(worker, &[77]), "no feature #77"),
        ("blocked", assign(worker, &[2]), "not ready"),
        (
            "waiting for its next try",
            assign(worker, &[1]),
            "not ready",
        ),
        ("running", assign(worker, &[3]), "not ready"),
        ("twice", assign(worker, &[4, 4]), "the same feature twice"),
        (
            "too much text",
            assign(worker, &[8, 9]),
            "texts are too long",
        ),
    ];
    for (what, command, says) in table {
        expect(&story, what, &command, Err(says));
    }
    expect(
        &story,
        "three",
        &assign(worker, &[4, 5, 8]),
        Err("too many features"),
    );
    let fits: Expected<'_> = Ok(&["FeatureAssigned", "AttemptStarted"]);
    expect(&story, "what fits", &assign(worker, &[4, 5]), fits);

    let mut paused = story.clone();
    paused.fact(RunPaused {
        reason: String::new(),
    });
    expect(&paused, "paused", &assign(worker, &[4]), Err("paused"));
    let mut full = story.clone();
    full.hire(CODING);
    expect(
        &full,
        "full",
        &assign(worker, &[4]),
        Err("no more attempts may run"),
    );
    let mut limited = story.clone();
    let attempt = limited.hire(CODING);
    limited.fail(attempt, FailureKind::ProviderLimited);
    expect(
        &limited,
        "limited",
        &assign(worker, &[4]),
        Err("the provider refuses"),
    );
    let mut spent = story.clone();
    let attempt = *spent.state.attempts().keys().next().unwrap();
    spent.ok(using(attempt, 10));
    expect(
        &spent,
        "spent",
        &assign(worker, &[4]),
        Err("the budget is spent"),
    );
    let mut none = Story::empty();
    none.import(vec![(id(4), spec(4, &[]))]);
    expect(
        &none,
        "no run",
        &assign(worker, &[4]),
        Err("no run is open"),
    );
}

fn using(attempt: AttemptId, input_tokens: u64) -> Command {
    Command::Report {
        attempt,
        report: Report::Released {
            detail: String::new(),
            reason: "enough".into(),
        },
        usage: Usage {
            input_tokens,
            ..Usage::default()
        },
        jitter: 0,
    }
}

#[test]
fn a_batch_carries_fresh_features_only_and_one_that_failed_goes_alone() {
    let mut story = Story::with(
        batches(3),
        &[(1, &[]), (2, &[]), (3, &[]), (4, &[]), (5, &[])],
    );
    let first = story.hire(CODING);
    assert_eq!(story.features_of(first), [id(1), id(2), id(3)]);
    let events = story
        .report(first, failing(&[2], FailureKind::AgentGaveUp))
        .unwrap();
    assert_eq!(names(&events), ["FeatureFailed", "AttemptReleased"]);
    for (number, failures) in [(1, 0), (2, 1), (3, 0)] {
        let feature = story.state.feature(id(number)).unwrap();
        assert_eq!(feature.failures, failures, "#{number}");
        assert_eq!(feature.status, Status::Pending);
        assert!(feature.attempts.is_empty());
    }
    story.wait(300_000);
    let second = story.hire(CODING);
    assert_eq!(
        story.features_of(second),
        [id(1), id(3), id(4)],
        "what failed joins no batch"
    );
    let third = story.hire(CODING);
    assert_eq!(
        story.features_of(third),
        [id(2)],
        "and takes nobody with it"
    );
    // All of them fail: nothing is left to release.
    let events = story
        .report(second, failing(&[1, 3, 4, 2, 1], FailureKind::Conflict))
        .unwrap();
    assert_eq!(names(&events), ["FeatureFailed"; 3]);
    assert!(!story.state.attempts().contains_key(&second));
}

#[test]
fn a_batch_that_passes_passes_as_a_whole() {
    let mut story = Story::with(batches(2), &[(1, &[]), (2, &[])]);
    let attempt = story.hire(CODING);
    let mut work = story.work(attempt);
    work.evidence.remove(1);
    let half = story
        .decide(&reporting(attempt, Report::Mergeable(work)))
        .unwrap();
    assert_eq!(
        names(&half),
        ["FeatureFailed", "AttemptReleased"],
        "half a proof is none"
    );
    let events = story.pass(attempt);
    assert_eq!(
        names(&events),
        ["MergeStarted", "FeaturePassed", "FeaturePassed"]
    );
    assert_eq!(story.state.merges().len(), 1);
    assert_eq!(story.state.tally.merged, 1);
}

#[test]
fn a_batch_says_no_more_than_one_feature_may() {
    let mut story = Story::with(batches(4), &[]);
    let long = |number, bytes| FeatureSpec {
        description: "x".repeat(bytes),
        ..spec(number, &[])
    };
    let sizes = [
        (1, 262_000),
        (2, 10),
        (3, 150_000),
        (4, 150_000),
        (5, 100_000),
    ];
    story.import(
        sizes
            .map(|(number, bytes)| (id(number), long(number, bytes)))
            .to_vec(),
    );
    let jobs: Vec<Vec<u32>> = (0..3)
        .map(|_| {
            let attempt = story.hire(CODING);
            story.features_of(attempt).iter().map(|id| id.0).collect()
        })
        .collect();
    assert_eq!(jobs, [vec![1, 2], vec![3, 5], vec![4]]);
}

#[test]
fn a_clock_that_is_set_back_does_not_make_plan_and_decide_disagree() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    story.fail(attempt, FailureKind::CheckFailed);
    story.wait(10_000);
    let worker = story.join(CODING);
    story.now = Timestamp(0);
    let attempt = story.take(worker);
    assert_eq!(story.features_of(attempt), [id(1)]);
}

#[test]
fn durations_are_learnt_by_category_and_taken_into_use_when_they_differ() {
    let mut story = Story::of(&[]);
    let of = |number, category: &str, depends_on: &[u32]| FeatureSpec {
        category: category.to_owned(),
        ..spec(number, depends_on)
    };
    let quick = (1..=4).map(|number| (id(number), of(number, "quick", &[])));
    story.import(quick.collect());
    let others = [(5, "quick", &[][..]), (6, "quick", &[5]), (7, "slow", &[])];
    let others = others.map(|(number, category, on)| (id(number), of(number, category, on)));
    // The prior is one sample among the others: 600 s, then (600 + n * 60) / (n + 1).
    let table = [
        (60_000, 330_000),
        (60_000, 240_000),
        (60_000, 240_000),
        (60_000, 168_000),
    ];
    for (took, known) in table {
        let attempt = story.hire(CODING);
        story.wait(took);
        story.pass(attempt);
        assert_eq!(story.state.estimates().ms("quick"), known);
        assert_eq!(story.state.estimates().ms("slow"), PRIOR_MS);
    }
    story.import(others.to_vec());
    story.state.settle();
    // Two quick ones behind each other are sooner done than a slow one.
    assert_eq!(story.ready(), [7, 5]);
    let terms = story.state.terms(id(5)).unwrap();
    assert_eq!((terms.chain_ms, terms.unblocks), (2 * 168_000, 1));
}
