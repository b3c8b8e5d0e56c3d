//! The way of checked work onto the branch: what proves it, and when it may go.

use crewlog::model::command::{Command, Rejection};
use crewlog::model::event::{Event, FeaturePassed, MergeStarted};
use crewlog::model::evidence::{Basis, CheckEnd, CheckRun, Evidence, FailureKind};
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::AttemptId;
use crewlog::model::report::{Mergeable, Report, Verdict};

use crate::given::*;

fn settle(attempt: AttemptId, merged: bool, head: u64) -> Command {
    Command::SettleMerge {
        attempt,
        merged,
        head: commit(head),
    }
}

fn failures(events: &[Event]) -> Vec<(FailureKind, &str)> {
    let failure = |event: &Event| match event {
        Event::FeatureFailed(failed) => Some(failed.clone()),
        _ => None,
    };
    let found = events.iter().filter_map(failure);
    found
        .map(|failed| (failed.failure.kind, &*failed.failure.reason.leak()))
        .collect()
}

#[test]
fn the_usual_way() {
    let mut story = Story::of(&[(1, &[]), (2, &[1])]);
    let attempt = story.hire(CODING);
    let work = story.work(attempt);
    let events = story
        .report(attempt, Report::Mergeable(work.clone()))
        .unwrap();
    let wanted = MergeStarted {
        attempt,
        onto: commit(1),
        commit: work.commit.clone(),
        touched: work.touched.clone(),
        touched_total: 1,
        evidence: work.evidence.clone(),
    };
    assert_eq!(events, [Event::from(wanted)]);
    assert_eq!(
        story.status(1),
        Status::Running,
        "not before git has said so"
    );
    assert_eq!(story.state.head, commit(1));
    assert_eq!(story.state.verdict(attempt), None);

    let head = work.commit.clone();
    let merged = true;
    let events = story.ok(Command::SettleMerge {
        attempt,
        merged,
        head,
    });
    let wanted = FeaturePassed {
        feature: id(1),
        attempt,
        evidence: work.evidence[0].1.clone(),
    };
    assert_eq!(events, [Event::from(wanted)]);
    let feature = story.state.feature(id(1)).unwrap();
    assert_eq!(
        (feature.status, feature.basis),
        (Status::Passing, Some(Basis::Checks))
    );
    assert_eq!(feature.verified, story.state.head_generation);
    assert_eq!(story.state.head, work.commit);
    assert_eq!(story.state.verdict(attempt), Some(Verdict::Passed));
    assert_eq!(story.state.merges().len(), 1);
    assert!(story.state.open_merge().is_none() && story.state.attempts().is_empty());
    story.state.settle();
    assert_eq!(story.ready(), [2]);
}

#[test]
fn a_word_passes_nothing_that_has_checks() {
    let checked = FeatureSpec {
        checks: vec!["one".to_owned(), "two".to_owned()],
        ..spec(1, &[])
    };
    type Change = fn(&mut Evidence);
    let table: [(&str, Change, &str); 8] = [
        (
            "a word",
            |it| it.basis = Basis::AgentWord,
            "only the agent's word",
        ),
        (
            "a failed check",
            |it| it.checks[1].end = CheckEnd::Exited(1),
            "\"two\" exited with 1",
        ),
        (
            "a killed check",
            |it| it.checks[0].end = CheckEnd::Signalled(9),
            "\"one\" was killed by signal 9",
        ),
        (
            "no checks",
            |it| it.checks.clear(),
            "not the feature's checks",
        ),
        (
            "a missing check",
            |it| drop(it.checks.pop()),
            "not the feature's checks",
        ),
        (
            "other checks",
            |it| it.checks[1].command = "true".to_owned(),
            "not the feature's checks",
        ),
        (
            "checks in another order",
            |it| it.checks.reverse(),
            "not the feature's checks",
        ),
        (
            "another commit",
            |it| it.commit = commit(66),
            "is for commit",
        ),
    ];
    for (what, change, says) in table {
        let mut story = Story::of(&[]);
        story.import(vec![(id(1), checked.clone())]);
        let attempt = story.hire(CODING);
        let mut work = story.work(attempt);
        change(&mut work.evidence[0].1);
        let events = story.report(attempt, Report::Mergeable(work)).unwrap();
        assert_eq!(names(&events), ["FeatureFailed"], "{what}");
        let (kind, reason) = failures(&events)[0];
        assert_eq!(kind, FailureKind::CheckFailed, "{what}");
        assert!(reason.contains(says), "{what}: {reason}");
        assert_eq!(story.state.feature(id(1)).unwrap().failures, 1);
    }
}

#[test]
fn proof_for_another_feature_proves_nothing() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let attempt = story.hire(CODING);
    let mut work = story.work(attempt);
    work.evidence[0].0 = id(2);
    let events = story.report(attempt, Report::Mergeable(work)).unwrap();
    assert!(failures(&events)[0].1.contains("no evidence"));
    assert_eq!(story.status(2), Status::Pending);
}

#[test]
fn without_checks_the_agents_word_is_good_and_marked_so() {
    for claimed in [Basis::AgentWord, Basis::Checks] {
        let mut story = Story::of(&[]);
        story.import(vec![(id(1), unchecked(1, &[]))]);
        let attempt = story.hire(CODING);
        let mut work = story.work(attempt);
        work.evidence[0].1.basis = claimed;
        let check = spec(1, &[]);
        work.evidence[0].1.checks = evidence(&check, &work.commit, 0).checks;
        let head = work.commit.clone();
        story.report(attempt, Report::Mergeable(work)).unwrap();
        let merged = true;
        let events = story.ok(Command::SettleMerge {
            attempt,
            merged,
            head,
        });
        let Event::FeaturePassed(passed) = &events[0] else {
            panic!("{events:?}");
        };
        assert_eq!(passed.evidence.basis, Basis::AgentWord);
        assert_eq!(passed.evidence.checks, []);
        assert_eq!(
            story.state.feature(id(1)).unwrap().basis,
            Some(Basis::AgentWord)
        );
    }
}

#[test]
fn nothing_to_change_passes_without_a_merge() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    let head = story.state.head.clone();
    let spec = spec(1, &[]);
    let work = Mergeable {
        commit: head.clone(),
        evidence: vec![(id(1), evidence(&spec, &head, 0))],
        ..story.work(attempt)
    };
    let events = story.report(attempt, Report::Mergeable(work)).unwrap();
    assert_eq!(names(&events), ["FeaturePassed"]);
    assert_eq!(story.status(1), Status::Passing);
    assert_eq!((story.state.head, story.state.tally.merged), (head, 0));
}

#[test]
fn work_that_does_not_stand_on_the_head_is_sent_back() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let (slow, fast) = (story.hire(CODING), story.hire(CODING));
    let work = story.work(slow);
    story.pass(fast);
    let head = story.state.head.clone();
    let rejection = story.report(slow, Report::Mergeable(work)).unwrap_err();
    assert_eq!(rejection, Rejection::HeadMoved { head });
    assert_eq!(story.status(1), Status::Running, "it goes on");
    story.pass(slow);
    assert_eq!(story.status(1), Status::Passing);
}

#[test]
fn one_merge_at_a_time() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let (first, second) = (story.hire(CODING), story.hire(CODING));
    let (work, other) = (story.work(first), story.work(second));
    story
        .report(first, Report::Mergeable(work.clone()))
        .unwrap();
    let late = Report::Released {
        detail: String::new(),
        reason: "never mind".into(),
    };
    let head = work.commit.clone();
    let table = [
        ("another's", reporting(second, Report::Mergeable(other))),
        ("the same again", reporting(first, Report::Mergeable(work))),
        ("a change of mind", reporting(first, late)),
        ("its loss", losing(first)),
    ];
    for (what, command) in table {
        assert_eq!(story.decide(&command), Err(Rejection::MergeOpen), "{what}");
    }
    let moved = Command::MoveHead { head: commit(9) };
    expect(&story, "git answers for the head now", &moved, Ok(&[]));
    expect(
        &story,
        "not that one's",
        &settle(second, true, 2),
        Err("not open"),
    );
    let merged = true;
    story.ok(Command::SettleMerge {
        attempt: first,
        merged,
        head,
    });
    expect(
        &story,
        "settled twice",
        &settle(first, true, 2),
        Err("not open"),
    );
    story.pass(second);
    assert_eq!(story.state.merges().len(), 2);
}

#[test]
fn a_merge_that_git_refuses_is_taken_back_and_the_attempt_goes_on() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    let work = story.work(attempt);
    story.report(attempt, Report::Mergeable(work)).unwrap();
    let events = story.ok(settle(attempt, false, 50));
    assert_eq!(names(&events), ["MergeAborted"]);
    assert_eq!(story.state.head, commit(50));
    assert!(story.state.open_merge().is_none());
    assert_eq!(story.status(1), Status::Running);
    let events = story.pass(attempt);
    assert_eq!(names(&events), ["MergeStarted", "FeaturePassed"]);
    assert_eq!(story.state.tally.merged, 1);
}

#[test]
fn somebody_may_have_built_on_the_merge_already() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    let work = story.work(attempt);
    story.report(attempt, Report::Mergeable(work)).unwrap();
    let events = story.ok(settle(attempt, true, 50));
    assert_eq!(names(&events), ["FeaturePassed", "HeadMoved"]);
    assert_eq!(story.state.head, commit(50));
    let feature = story.state.feature(id(1)).unwrap();
    assert!(
        feature.verified < story.state.head_generation,
        "at the new head it is not verified"
    );
}

#[test]
fn a_head_that_moves_asks_for_new_verification_once() {
    let mut story = Story::of(&[(1, &[])]);
    story.implement();
    let index = story.state.head_generation;
    expect(
        &story,
        "the same",
        &Command::MoveHead {
            head: story.state.head.clone(),
        },
        Ok(&[]),
    );
    story.ok(Command::MoveHead { head: commit(50) });
    assert_eq!(story.state.head_generation, index + 1);
    let test = story.hire(TESTING);
    story.test(test);
    let tester = story.join(TESTING);
    let plan = story.plan(&[tester]).command;
    assert!(matches!(plan, Some(Command::FinishRun { .. })), "{plan:?}");
}

#[test]
fn what_a_report_says_is_bounded_before_it_is_recorded() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    let mut work = story.work(attempt);
    work.touched = (0..MergeStarted::TOUCHED_MAX + 5)
        .map(|number| format!("{number}"))
        .collect();
    work.touched_total = 1;
    let stray = evidence(&spec(2, &[]), &work.commit, 0);
    work.evidence.push((id(2), stray));
    let report = reporting(attempt, Report::Mergeable(work.clone()));
    let Event::MergeStarted(merge) = &story.decide(&report).unwrap()[0] else {
        panic!("no merge");
    };
    assert_eq!(merge.touched.len(), MergeStarted::TOUCHED_MAX);
    assert_eq!(merge.touched_total as usize, MergeStarted::TOUCHED_MAX + 5);
    assert_eq!(merge.evidence.len(), 1, "proofs of the job's features only");

    work.touched = vec!["x".repeat(4_000); 500];
    let report = reporting(attempt, Report::Mergeable(work));
    let Event::MergeStarted(merge) = &story.decide(&report).unwrap()[0] else {
        panic!("no merge");
    };
    assert_eq!((merge.touched.len(), merge.touched_total), (16, 500));

    let run = |code| CheckRun {
        end: CheckEnd::Exited(code),
        ..evidence(&spec(1, &[]), &commit(1), 0).checks.remove(0)
    };
    let mut failed = failure(FailureKind::CheckFailed);
    failed.reason = "ä".repeat(5_000);
    failed.checks = (0..2_000).map(run).collect();
    let report = Report::Failed {
        failures: vec![(id(1), failed)],
        limited_until: None,
    };
    let Event::FeatureFailed(failed) = &story.report(attempt, report).unwrap()[0] else {
        panic!("no failure");
    };
    let codes = failed.failure.checks.iter();
    let codes: Vec<i32> = codes.filter_map(|run| run.end.exit_code()).collect();
    assert_eq!(
        (codes.len(), codes.last()),
        (1_000, Some(&1_999)),
        "the last ones"
    );
    assert_eq!(failed.failure.reason.len(), 2_000);
}

#[test]
fn what_a_worker_noted_is_told_before_the_attempt_can_end() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    let work = Mergeable {
        notes: vec![
            "the verdict could not be read".to_owned(),
            "x".repeat(9_000),
        ],
        ..story.work(attempt)
    };
    let events = story.report(attempt, Report::Mergeable(work)).unwrap();
    assert_eq!(
        names(&events),
        ["AttemptNoted", "AttemptNoted", "MergeStarted"]
    );
    let [Event::AttemptNoted(first), Event::AttemptNoted(second), _] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(first.note, "the verdict could not be read");
    assert!(second.note.len() <= 2_010, "a note is bounded");
}
