//! Work that waits for workers who are gone, and the end of the wait.

use crewlog::model::event::RunOutcome;
use crewlog::model::evidence::FailureKind;
use crewlog::model::plan::{WorkerWait, World};
use crewlog::model::remaining::waits_for;
use crewlog::model::settings::Settings;

use crate::commands::*;
use crate::given::*;

const WAIT_MS: u64 = 120_000;

/// One feature is ready.
fn to_do() -> Story {
    Story::of(&[(1, &[]), (2, &[1])])
}

/// Two features pass, and one of them not yet at the final commit.
fn to_verify() -> Story {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    story.implement();
    story.implement();
    story
}

fn after(mut story: Story, change: impl FnOnce(&mut Story)) -> Story {
    change(&mut story);
    story
}

#[test]
fn who_is_waited_for() {
    let table = [
        ("to do", to_do(), true, false),
        ("to verify", to_verify(), false, true),
        (
            "before its next try",
            after(to_do(), |story| {
                let attempt = story.hire(CODING);
                story.fail(attempt, FailureKind::CheckFailed);
            }),
            true,
            false,
        ),
        (
            "all being done",
            after(to_do(), |story| {
                story.hire(CODING);
            }),
            false,
            false,
        ),
        (
            "paused",
            after(to_verify(), |story| {
                story.ok(pause());
            }),
            false,
            false,
        ),
        (
            "for a person",
            after(to_do(), |story| {
                story.ok(skip(1));
            }),
            false,
            false,
        ),
        ("no run", Story::empty(), false, false),
        (
            "no tests wanted",
            after(to_verify(), |story| {
                story.ok(rules(Settings {
                    testing: 0,
                    ..Settings::default()
                }));
            }),
            false,
            false,
        ),
    ];
    for (what, story, coding, testing) in table {
        let waits = |kind| waits_for(&story.state, story.now, kind);
        assert_eq!((waits(CODING), waits(TESTING)), (coding, testing), "{what}");
    }
}

#[test]
fn the_wait_ends_the_run() {
    let gone = |waited_ms| WorkerWait {
        waited_ms,
        gone: true,
    };
    let first = WorkerWait {
        waited_ms: u64::MAX,
        gone: false,
    };
    let limit = |ms: u64| Settings {
        worker_wait_ms: ms,
        ..Settings::default()
    };
    let busy = after(to_do(), |story| {
        story.import(vec![(id(3), spec(3, &[]))]);
        story.hire(CODING);
    });
    let patient = after(to_verify(), |story| {
        story.ok(rules(limit(0)));
    });
    let hasty = after(to_do(), |story| {
        story.ok(rules(limit(500)));
    });
    let testers = Some("no testing worker for 2m00s, and 1 passing feature remains to be verified");
    let coders = Some("s, and features remain to be implemented");
    let table = [
        ("too early", to_verify(), TESTING, gone(WAIT_MS - 1), None),
        ("testers", to_verify(), TESTING, gone(WAIT_MS), testers),
        ("coders", to_do(), CODING, gone(WAIT_MS), coders),
        ("the first", to_do(), CODING, first, None),
        ("nothing to verify", to_do(), TESTING, gone(WAIT_MS), None),
        ("nothing to do", to_verify(), CODING, gone(WAIT_MS), None),
        ("one at work", busy, CODING, gone(WAIT_MS), None),
        ("without limit", patient, TESTING, gone(u64::MAX), None),
        ("a shorter limit", hasty, CODING, gone(500), coders),
    ];
    for (what, mut story, kind, wait, expected) in table {
        let mut world = World {
            missing_workers: [(kind, wait)].into(),
            ..World::default()
        };
        let planned = story.plan_in(&world).command;
        let told = planned.as_ref().map(|command| format!("{command:?}"));
        match expected {
            None => assert_eq!(told, None, "{what}"),
            Some(part) => {
                let told = told.expect(what);
                assert!(told.contains(part), "{what}: {told}");
                assert!(told.contains("WaitingForPerson"), "{what}: {told}");
                assert!(told.contains("--workers"), "{what}: {told}");
            }
        }
        world.stay = true;
        assert_eq!(story.plan_in(&world).command, None, "{what}");
    }
}

#[test]
fn it_ends_only_so_and_a_later_run_goes_on() {
    let mut story = to_verify();
    let waiting = finishing(RunOutcome::WaitingForPerson);
    expect(
        &story,
        "otherwise",
        &finishing(RunOutcome::AllPassing),
        Err("is not over"),
    );
    let mut late = story.clone();
    late.hire(TESTING);
    expect(
        &late,
        "somebody came",
        &waiting,
        Err("is not over, or ends differently"),
    );
    story.ok(waiting);
    story.start(Settings::default());
    let test = story.hire(TESTING);
    story.test(test);
    assert_eq!(
        end(&mut story).map(|(outcome, _)| outcome),
        Some(RunOutcome::AllPassing)
    );
}
