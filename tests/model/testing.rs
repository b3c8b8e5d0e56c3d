//! Passing features are tested again, and what is found about them.

use std::collections::BTreeSet;

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::{Event, RunOutcome, TestTerms};
use crewlog::model::evidence::{Basis, CheckEnd, FailureKind};
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, FeatureId, WorkerId};
use crewlog::model::plan::World;
use crewlog::model::report::{Report, TestVerdict};
use crewlog::model::settings::Settings;
use crewlog::model::state::INCONCLUSIVE_MAX;
use crewlog::model::views::status;

use crate::commands::*;
use crate::commands::{end, rules};
use crate::given::*;

fn testers(testing: u32) -> Settings {
    Settings {
        testing,
        ..Settings::default()
    }
}

/// Features 1 and 2 pass, 3 is being worked on so that the run goes on.
fn going_on(testing: u32) -> Story {
    let mut story = Story::with(testers(testing), &[(1, &[]), (2, &[1]), (3, &[2])]);
    assert_eq!(story.implement(), id(1));
    assert_eq!(story.implement(), id(2));
    story.hire(CODING);
    story
}

fn test_of(story: &mut Story, worker: WorkerId, feature: u32) -> AttemptId {
    let command = Command::AssignTest {
        worker,
        profile: agent_for(story, &[feature]),
        features: vec![id(feature)],
        last: false,
        draw: 0,
        terms: TestTerms::default(),
        runners_up: Vec::new(),
    };
    story.ok(command);
    story.state.workers()[&worker].attempt.unwrap()
}

fn verdict(feature: u32, verdict: TestVerdict) -> Report {
    tested(vec![(id(feature), verdict)])
}

fn broken() -> TestVerdict {
    TestVerdict::Broken(failure(FailureKind::CheckFailed))
}

#[test]
fn what_was_touched_weighs_most() {
    let mut story = Story::of(&[]);
    let features = (1..=3).map(|number| (id(number), spec(number, &[])));
    story.import(features.collect());
    for touched in [&["a", "b"], &["c", "d"], &["b", "e"]] {
        let attempt = story.hire(CODING);
        let mut work = story.work(attempt);
        work.touched = touched.iter().map(ToString::to_string).collect();
        work.touched_total = 2;
        let head = work.commit.clone();
        story.report(attempt, Report::Mergeable(work)).unwrap();
        story.ok(Command::SettleMerge {
            attempt,
            merged: true,
            head,
        });
    }
    story.import(vec![(id(4), spec(4, &[1]))]);
    story.wait(180_000);
    let worker = story.join(TESTING);
    let mut drawn = BTreeSet::new();
    for _ in 0..50 {
        let Some(Command::AssignTest {
            features,
            last: false,
            draw,
            terms,
            runners_up,
            ..
        }) = story.plan(&[worker]).command
        else {
            panic!("no test");
        };
        let mut all = runners_up;
        all.push((features[0], terms));
        all.sort_by_key(|&(id, _)| id);
        let sum: u64 = all.iter().map(|(_, terms)| terms.weight).sum();
        assert!(draw < sum);
        let terms = |touched_since, dependents, weight| TestTerms {
            touched_since,
            dependents,
            untested_ms: 180_000,
            weight,
        };
        // The third is proven at the head; nobody tests it again there.
        let wanted = [
            (id(1), terms(1, 1, 1 + 20 + 2 + 3)),
            (id(2), terms(0, 0, 1 + 3)),
        ];
        assert_eq!(all, wanted);
        drawn.insert(features[0]);
    }
    assert_eq!(drawn.len(), 2, "both come up in fifty draws");
}

#[test]
fn a_repair_does_not_make_a_feature_forget_its_files() {
    let mut story = Story::of(&[(1, &[]), (2, &[1]), (3, &[2])]);
    story.implement();
    story.ok(Command::MoveHead { head: commit(60) });
    let tester = story.join(TESTING);
    let test = test_of(&mut story, tester, 1);
    story.find_broken(test);
    let merge = |story: &mut Story, file: &str| {
        let attempt = story.hire(CODING);
        let mut work = story.work(attempt);
        work.touched = vec![file.to_owned()];
        let head = work.commit.clone();
        story.report(attempt, Report::Mergeable(work)).unwrap();
        story.ok(Command::SettleMerge {
            attempt,
            merged: true,
            head,
        });
    };
    merge(&mut story, "src/mend.rs");
    merge(&mut story, "src/#1.rs");
    let Some(Command::AssignTest { terms, .. }) = story.plan(&[tester]).command else {
        panic!("no test");
    };
    assert_eq!(terms.touched_since, 1);
}

#[test]
fn as_many_tests_as_allowed_also_of_one_feature() {
    for allowed in 0..=3 {
        let mut story = going_on(allowed);
        let workers: Vec<WorkerId> = (0..4).map(|_| story.join(TESTING)).collect();
        let mut started = Vec::new();
        for worker in workers {
            let plan = story.plan(&[worker]).command;
            if let Some(command) = plan {
                story.ok(command);
                started.push(story.state.workers()[&worker].attempt.unwrap());
            }
        }
        assert_eq!(started.len() as u32, allowed);
        for test in started {
            assert_eq!(story.features_of(test), [id(1)], "2 is proven at the head");
            let events = story.test(test);
            assert_eq!(names(&events), ["TestPassed"]);
        }
    }
}

#[test]
fn a_test_changes_nothing_but_what_is_known() {
    let mut story = going_on(3);
    let tester = story.join(TESTING);
    let test = test_of(&mut story, tester, 1);
    assert_eq!(story.status(1), Status::Passing, "while it is tested");
    let before = story.state.feature(id(1)).unwrap().verified;
    story.test(test);
    let feature = story.state.feature(id(1)).unwrap();
    assert!(feature.verified > before);
    assert_eq!((feature.status, feature.tries), (Status::Passing, 1));
}

#[test]
fn a_regression_is_ready_work_before_new_work_and_its_suspects_are_named() {
    let mut story = Story::with(
        testers(1),
        &[(1, &[]), (2, &[]), (3, &[]), (4, &[1]), (5, &[4])],
    );
    let mut commits = Vec::new();
    for _ in 0..3 {
        story.implement();
        commits.push(story.state.head.clone());
    }
    let tester = story.join(TESTING);
    let test = test_of(&mut story, tester, 1);
    // What is merged after the tested commit is no suspect.
    story.implement();
    let events = story.find_broken(test);
    assert_eq!(names(&events), ["RegressionFound"]);
    let Event::RegressionFound(found) = &events[0] else {
        panic!("{events:?}");
    };
    let (second, third) = (commits[1].clone(), commits[2].clone());
    let merges: Vec<FeatureId> = story
        .state
        .merges()
        .iter()
        .map(|merge| merge.feature)
        .collect();
    assert_eq!(found.suspects, [(merges[1], second), (merges[2], third)]);
    assert_eq!(story.status(1), Status::Regressed);
    assert_eq!(story.state.unmet(id(4)), 1, "who waits for it waits again");
    story.state.settle();
    let broken = *story.ready().first().unwrap();
    assert_eq!(broken, merges[0].0);
    let attempt = story.hire(CODING);
    assert_eq!(story.features_of(attempt), [merges[0]]);
    story.pass(attempt);
    let feature = story.state.feature(merges[0]).unwrap();
    assert_eq!((feature.status, feature.regressions), (Status::Passing, 1));
}

#[test]
fn features_that_keep_breaking_are_parked() {
    let settings = Settings {
        max_attempts: 1,
        ..Settings::default()
    };
    let mut story = Story::with(settings, &[(1, &[])]);
    for round in 0..2 {
        story.implement();
        story.ok(Command::MoveHead {
            head: commit(60 + round),
        });
        let test = story.hire(TESTING);
        let parks: &[&str] = match round {
            0 => &["RegressionFound"],
            _ => &["RegressionFound", "FeatureParked"],
        };
        assert_eq!(names(&story.find_broken(test)), parks);
    }
    let features = vec![id(1)];
    story.person(PersonCommand::Retry { features }).unwrap();
    assert_eq!(story.status(1), Status::Regressed);
}

#[test]
fn stale_verdicts_say_nothing() {
    // Two tests of the first feature are open; the first finds it broken.
    let tests = || {
        let mut story = going_on(3);
        let (one, two) = (story.join(TESTING), story.join(TESTING));
        let first = test_of(&mut story, one, 1);
        let second = test_of(&mut story, two, 1);
        (story, first, second)
    };
    let released = ["AttemptReleased"];
    let (mut story, first, second) = tests();
    story.find_broken(first);
    let good = story.proven(second, id(1));
    for late in [broken(), good] {
        let events = story.decide(&reporting(second, verdict(1, late))).unwrap();
        assert_eq!(names(&events), released, "it is broken already");
    }
    let coder = story.hire(CODING);
    assert_eq!(story.features_of(coder), [id(1)]);
    let mut ended = story.clone();
    for end in [losing(second), reporting(second, verdict(1, broken()))] {
        let mut story = story.clone();
        story.ok(end);
        assert_eq!(
            story.status(1),
            Status::Running,
            "a test's end takes nobody's work away"
        );
        story.state.settle();
        assert!(!story.ready().contains(&1));
    }
    // Without any change, so that the head is the one that was tested.
    let mut work = ended.work(coder);
    work.commit = work.onto.clone();
    let known = ended.state.feature(id(1)).unwrap().spec.clone();
    work.evidence = vec![(id(1), evidence(&known, &work.onto, 0))];
    ended.report(coder, Report::Mergeable(work)).unwrap();
    assert_eq!(ended.status(1), Status::Passing);
    let events = ended
        .decide(&reporting(second, verdict(1, broken())))
        .unwrap();
    assert_eq!(names(&events), released, "it passed anew since");

    let (mut story, old, _) = tests();
    let coder = *story.state.attempts().keys().next().unwrap();
    story.pass(coder);
    let worker = story.join(TESTING);
    let new = test_of(&mut story, worker, 1);
    story.test(new);
    let events = story.decide(&reporting(old, verdict(1, broken()))).unwrap();
    assert_eq!(names(&events), released, "it was proven at a later commit");
}

#[test]
fn verdicts_need_proof_too() {
    type Change = fn(&mut crewlog::model::evidence::Evidence);
    let table: [(&str, Change); 4] = [
        ("a word", |it| it.basis = Basis::AgentWord),
        ("another commit", |it| it.commit = commit(66)),
        ("other checks", |it| {
            it.checks[0].command = "true".to_owned()
        }),
        ("a failed check", |it| {
            it.checks[0].end = CheckEnd::Exited(1)
        }),
    ];
    for (what, change) in table {
        let mut story = going_on(1);
        let test = story.hire(TESTING);
        let TestVerdict::Passed(mut proof) = story.proven(test, id(1)) else {
            panic!("no evidence");
        };
        change(&mut proof);
        let events = story
            .report(test, verdict(1, TestVerdict::Passed(proof)))
            .unwrap();
        assert_eq!(names(&events), ["TestInconclusive"], "{what}");
        assert_eq!(story.status(1), Status::Passing, "{what}");
    }
}

#[test]
fn a_test_that_comes_to_no_verdict_is_not_tried_for_ever() {
    let inconclusive = || TestVerdict::Inconclusive(failure(FailureKind::Setup));
    let not_even = || Report::Failed {
        failures: vec![(id(1), failure(FailureKind::Setup))],
        limited_until: None,
    };
    // Without a number `retry` means it, too.
    for (report, features) in [
        (verdict(1, inconclusive()), vec![id(1)]),
        (not_even(), Vec::new()),
    ] {
        let mut story = Story::of(&[(1, &[])]);
        story.implement();
        story.ok(Command::MoveHead { head: commit(60) });
        let tester = story.join(TESTING);
        for _ in 0..INCONCLUSIVE_MAX {
            let test = story.take(tester);
            let events = story.report(test, report.clone()).unwrap();
            assert_eq!(names(&events), ["TestInconclusive"]);
        }
        let Some(Command::FinishRun { reason, .. }) = story.plan(&[tester]).command else {
            panic!("not finished");
        };
        assert!(
            reason.contains("1 without a verdict from its last tests (#1;"),
            "{reason}"
        );
        story.person(PersonCommand::Retry { features }).unwrap();
        let test = story.take(tester);
        story.test(test);
        assert_eq!(story.state.feature(id(1)).unwrap().inconclusive, 0);
    }
}

#[test]
fn an_edit_of_the_checks_calls_tests_of_the_old_ones_off() {
    let mut story = going_on(1);
    let test = story.hire(TESTING);
    let mut edited = spec(1, &[]);
    edited.checks = vec!["make all".to_owned()];
    let features = vec![(id(1), edited)];
    let update = true;
    story
        .person(PersonCommand::Import { features, update })
        .unwrap();
    let events = story.report(test, verdict(1, broken())).unwrap();
    assert_eq!(names(&events), ["AttemptReleased"]);
    assert_eq!(story.status(1), Status::Passing);
}

#[test]
fn at_the_end_every_feature_is_verified_once_at_the_final_commit() {
    let settings = Settings {
        batch_size: 2,
        testing: 2,
        ..Settings::default()
    };
    let features: Vec<(u32, &[u32])> = (1..=7).map(|number| (number, &[][..])).collect();
    let mut story = Story::with(settings, &features);
    while story.state.ready_count() > 0 {
        story.implement();
    }
    let workers = [story.join(TESTING), story.join(TESTING)];
    let mut verified = Vec::new();
    let finish = loop {
        while let Some(command @ Command::AssignTest { .. }) = story.plan(&workers).command {
            verified.extend(final_test(&mut story, &command));
        }
        let tests: Vec<AttemptId> = story.state.attempts().keys().copied().collect();
        if tests.is_empty() {
            break story.plan(&workers).command.expect("the end");
        }
        for test in tests {
            story.test(test);
        }
    };
    verified.sort_unstable();
    // The feature that was merged last was proven on the final commit itself.
    let last = story.state.merges().last().unwrap().feature;
    let others: Vec<FeatureId> = (1..=7).map(FeatureId).filter(|&id| id != last).collect();
    assert_eq!(verified, others);
    let Command::FinishRun { outcome, reason } = &finish else {
        panic!("{finish:?}");
    };
    assert_eq!(
        (*outcome, reason.as_str()),
        (RunOutcome::AllPassing, "all 7 features pass")
    );
    story.ok(finish);
    assert!(
        story.plan(&workers).command.is_none(),
        "nothing is started after that"
    );
    expect(
        &story,
        "after the end",
        &testing(workers[0], &[1]),
        Err("no run is open"),
    );
}

fn testing(worker: WorkerId, features: &[u32]) -> Command {
    Command::AssignTest {
        worker,
        profile: None,
        features: features.iter().copied().map(FeatureId).collect(),
        last: true,
        draw: 0,
        terms: TestTerms::default(),
        runners_up: Vec::new(),
    }
}

/// Starts a test of the last round, and sees to it that nobody can be given the same again.
fn final_test(story: &mut Story, command: &Command) -> Vec<FeatureId> {
    let Command::AssignTest { features, last, .. } = command else {
        panic!("{command:?}");
    };
    assert!(last);
    story.ok(command.clone());
    let mut workers = story.state.workers().iter();
    let idle = workers.find(|(_, worker)| worker.kind == TESTING && worker.attempt.is_none());
    if let Some((&idle, _)) = idle {
        let again: Vec<u32> = features.iter().map(|id| id.0).collect();
        expect(story, "twice", &testing(idle, &again), Err("about to be"));
    }
    features.clone()
}

#[test]
fn without_tests_the_end_says_what_was_not_verified() {
    let untested = Settings {
        testing: 0,
        ..Settings::default()
    };
    let mut story = Story::with(untested, &[(1, &[]), (2, &[]), (3, &[])]);
    story.implement();
    story.implement();
    let note = "1 feature not verified at the final commit (testing = 0)";
    let seen = status(&story.state, story.now);
    assert_eq!(
        (seen.unverified, seen.unverified_note.as_deref()),
        (1, Some(note))
    );
    story.implement();
    let (outcome, reason) = end(&mut story).expect("the end");
    assert_eq!(outcome, RunOutcome::AllPassing, "the user wanted it so");
    let note = "all 3 features pass; 2 features not verified at the final commit (testing = 0)";
    assert_eq!(reason, note);
    // Where tests are wanted, they are still to come, and nothing is to be said.
    story.ok(rules(Settings::default()));
    let seen = status(&story.state, story.now);
    assert_eq!((seen.unverified, seen.unverified_note), (2, None));
}

#[test]
fn the_run_stays_open_for_features_to_come_when_asked_to() {
    let mut story = Story::of(&[(1, &[])]);
    story.implement();
    let stay = World {
        stay: true,
        ..World::default()
    };
    assert!(story.plan_in(&stay).command.is_none());
    let draining = World {
        draining: true,
        ..World::default()
    };
    assert!(story.plan_in(&draining).command.is_none());
}
