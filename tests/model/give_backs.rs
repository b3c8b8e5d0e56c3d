//! Workers that give back what they take.

use crewlog::model::command::Command;
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, WorkerId};
use crewlog::model::report::Report;
use crewlog::model::state::{GIVE_BACKS_FREE, GIVE_BACKS_MAX, LOST_MAX};

use crate::commands::*;
use crate::given::*;

/// How an attempt ends.
type End = dyn Fn(&mut Story, AttemptId);

fn give_back(story: &mut Story, attempt: AttemptId) {
    let reason = "no".to_owned();
    story
        .report(attempt, Report::released(reason.into()))
        .unwrap();
}

fn returns(story: &Story, worker: WorkerId) -> u32 {
    story.state.workers()[&worker].give_backs
}

#[test]
fn who_gives_back_again_and_again_waits_longer_and_gets_nothing_in_the_end() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let worker = story.join(CODING);
    let mut waits = Vec::new();
    for _ in 0..GIVE_BACKS_MAX {
        let before = story.now;
        let plan = story.plan(&[worker]);
        if plan.command.is_none() {
            story.now = plan.wake_at.expect("it may try again");
        }
        waits.push(story.now.since_ms(before) / 1_000);
        let attempt = story.take(worker);
        give_back(&mut story, attempt);
    }
    // Half of two seconds, doubled each time; the first few are free.
    assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(
        waits.iter().filter(|&&wait| wait == 0).count() as u32,
        GIVE_BACKS_FREE
    );
    story.wait(1 << 40);
    let plan = story.plan(&[worker]);
    assert_eq!((plan.command, plan.wake_at), (None, None));
    let assign = Command::Assign {
        worker,
        features: vec![id(1)],
        profile: Default::default(),
        terms: Default::default(),
        runners_up: Vec::new(),
        ready: 1,
    };
    expect(
        &story,
        "unfit",
        &assign,
        Err("gave up too many jobs in a row"),
    );
    // No feature has paid for it, and another worker begins at once.
    assert_eq!(story.state.feature(id(1)).unwrap().failures, 0);
    story.hire(CODING);
}

#[test]
fn only_what_is_the_workers_own_wish_counts() {
    let table: [(&str, &End, u32); 5] = [
        ("its own", &|story, attempt| give_back(story, attempt), 3),
        (
            "called off by a person",
            &|story, attempt| {
                story.ok(skip(story.features_of(attempt)[0].0));
                give_back(story, attempt);
            },
            2,
        ),
        (
            "the provider",
            &|story, attempt| {
                story.fail(attempt, FailureKind::ProviderLimited);
            },
            2,
        ),
        (
            "a failure",
            &|story, attempt| {
                story.fail(attempt, FailureKind::CheckFailed);
            },
            0,
        ),
        (
            "a pass",
            &|story, attempt| {
                story.pass(attempt);
            },
            0,
        ),
    ];
    for (what, end, expected) in table {
        let mut story = Story::of(&[(1, &[]), (2, &[])]);
        let worker = story.join(CODING);
        for _ in 0..2 {
            let attempt = story.take(worker);
            give_back(&mut story, attempt);
        }
        let attempt = story.take(worker);
        end(&mut story, attempt);
        assert_eq!(returns(&story, worker), expected, "{what}");
    }
}

#[test]
fn a_worker_that_is_stopped_and_started_costs_nothing_but_not_for_ever() {
    let mut story = Story::of(&[(1, &[])]);
    for round in 1..LOST_MAX {
        let worker = story.join(CODING);
        let attempt = story.take(worker);
        give_back(&mut story, attempt);
        let reason = "a person stopped it".to_owned();
        story.ok(Command::Leave {
            worker,
            reason: reason.into(),
        });
        let feature = story.state.feature(id(1)).unwrap();
        assert_eq!((feature.failures, feature.lost_streak), (0, round));
        assert_eq!(feature.status, Status::Pending);
    }
    let attempt = story.hire(CODING);
    give_back(&mut story, attempt);
    assert_eq!(story.status(1), Status::Parked);
}
