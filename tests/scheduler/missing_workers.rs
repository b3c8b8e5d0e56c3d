//! Runs that wait for workers: without limit for the first one, and not for ever for the others.

use crewlog::model::event::{Event, RunOutcome};
use crewlog::model::ids::{AttemptId, FeatureId};
use crewlog::model::report::{Report, TestVerdict};
use crewlog::model::settings::Settings;
use crewlog::model::settings::WorkerKind::{self, Coding, Testing};
use crewlog::protocol::{ClientMessage, MissingWorkers, SchedulerMessage, ToClient, WorkerMessage};
use crewlog::scheduler::machine::Input;
use crewlog::scheduler::worker_pool::ChildEnd;

use crate::kit::{Hand, World, commit, evidence, features, mergeable, quiet, released};

const WAIT_MS: u64 = 120_000;
const HOUR_MS: u64 = 3_600_000;

fn tested() -> Settings {
    Settings {
        testing: 1,
        ..quiet()
    }
}

fn pass(world: &mut World, hand: &Hand, attempt: AttemptId, feature: FeatureId, from: u64) {
    let work = mergeable(&[feature], &commit(from), &commit(from + 1));
    world.report(hand, attempt, work);
    world.git_says(attempt, true, &commit(from + 1));
}

/// Two features pass; the first is not verified at the final commit.
fn to_verify(world: &mut World, hand: &Hand) {
    for from in 0..2 {
        let job = world.job(hand);
        pass(world, hand, job.attempt, job.features[0].id, from);
        world.heard(hand.connection);
        world.say(hand.connection, WorkerMessage::Ready);
    }
}

fn missing_workers(world: &mut World) -> Vec<(WorkerKind, Option<u64>)> {
    match world.client(ClientMessage::Live) {
        ToClient::Live(live) => live
            .missing_workers
            .iter()
            .map(|&MissingWorkers { kind, ends_in_ms }| (kind, ends_in_ms))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn finished(world: &World) -> Option<(RunOutcome, String)> {
    world.log.iter().find_map(|recorded| match &recorded.event {
        Event::RunFinished(event) => Some((event.outcome, event.reason.clone())),
        _ => None,
    })
}

#[track_caller]
fn ends_for_want_of(world: &World, word: &str) {
    let (outcome, reason) = finished(world).expect("it is over");
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    assert!(reason.contains(&format!("no {word} worker")), "{reason}");
    assert!(reason.contains(&format!("--workers {word}=1")), "{reason}");
}

#[test]
fn coding_workers_verify_when_nothing_is_left_to_code() {
    let mut world = World::with(tested(), &[], features(2));
    let hand = world.coder(100);
    to_verify(&mut world, &hand);
    assert_eq!(missing_workers(&mut world), []);
    let job = world.job(&hand);
    assert_eq!(job.kind, Testing);
    let feature = job.features[0].id;
    let verdict = TestVerdict::Passed(evidence(&job.base));
    let report = Report::Tested {
        verdicts: vec![(feature, verdict)],
        limited_until: None,
    };
    world.report(&hand, job.attempt, report);
    let outcome = finished(&world).map(|(outcome, _)| outcome);
    assert_eq!(outcome, Some(RunOutcome::AllPassing));
}

#[test]
fn a_run_that_nobody_is_there_to_verify_comes_to_an_end() {
    let mut world = World::with(tested(), &[], features(2));
    let hand = world.coder(100);
    to_verify(&mut world, &hand);
    world.dies(&hand, None);
    assert_eq!(missing_workers(&mut world), [(Testing, Some(WAIT_MS))]);
    world.pass(WAIT_MS - 1);
    assert_eq!(finished(&world), None);
    world.pass(1);
    ends_for_want_of(&world, "testing");
}

#[test]
fn who_comes_in_time_is_given_the_work_and_counted_anew_when_gone() {
    let mut world = World::with(tested(), &[], features(2));
    let hand = world.coder(100);
    to_verify(&mut world, &hand);
    world.dies(&hand, None);
    world.pass(WAIT_MS - 1);
    let tester = world.worker(Testing, 101);
    assert_eq!(missing_workers(&mut world), []);
    world.close(tester.connection);
    assert_eq!(missing_workers(&mut world), [(Testing, Some(WAIT_MS))]);
    world.pass(WAIT_MS - 1);
    assert_eq!(finished(&world), None);
    world.hello(Testing, 101, Some(tester.worker), None);
    world.pass(HOUR_MS);
    assert!(
        finished(&world).is_some(),
        "it is silent, and that is not being there"
    );
    ends_for_want_of(&world, "testing");
}

#[test]
fn the_first_worker_is_waited_for_without_limit() {
    let mut world = World::with(tested(), &[], features(2));
    world.pass(100 * HOUR_MS);
    assert_eq!(missing_workers(&mut world), [(Coding, None)]);
    // Testing workers alone do not begin the work.
    let tester = world.worker(Testing, 101);
    world.dies(&tester, None);
    world.pass(100 * HOUR_MS);
    assert_eq!(finished(&world), None);
    let hand = world.coder(100);
    let job = world.job(&hand);
    // It leaves in the middle; what it worked on waits for the next one.
    world.dies(&hand, None);
    assert_eq!(missing_workers(&mut world), [(Coding, Some(WAIT_MS))]);
    world.pass(WAIT_MS - 1);
    assert_eq!(finished(&world), None, "{:?}", job.attempt);
    world.pass(1);
    ends_for_want_of(&world, "coding");
}

#[test]
fn a_worker_that_is_away_at_work_is_waited_for() {
    let mut world = World::of(features(2));
    let hand = world.coder(100);
    let job = world.job(&hand);
    world.close(hand.connection);
    assert_eq!(missing_workers(&mut world), []);
    world.pass(3 * WAIT_MS);
    assert_eq!(finished(&world), None);
    let (connection, _) = world.hello(Coding, 100, Some(hand.worker), Some(job.attempt));
    let hand = Hand { connection, ..hand };
    pass(&mut world, &hand, job.attempt, job.features[0].id, 0);
    world.close(hand.connection);
    world.pass(WAIT_MS);
    ends_for_want_of(&world, "coding");
}

fn failed() -> ChildEnd {
    ChildEnd::Failed {
        how: "exit code 1".to_owned(),
        said: String::new(),
    }
}

/// A crew of one is started, joins, takes the job, and ends like this.
fn lives_and_dies(world: &mut World, pid: u32, end: ChildEnd) {
    let kind = Coding;
    world.step(Input::ChildStarted {
        kind,
        pid: Some(pid),
    });
    let hand = world.coder(pid);
    world.job(&hand);
    if matches!(end, ChildEnd::Failed { .. }) {
        let reason = "the result cannot be written: No space left on device".to_owned();
        world.say(
            hand.connection,
            WorkerMessage::Leaving {
                reason: reason.into(),
            },
        );
    }
    world.step(Input::ChildEnded { pid, end });
    world.dies(&hand, None);
}

#[test]
fn a_crew_that_joins_and_fails_again_and_again_ends_the_run() {
    let mut world = World::with(quiet(), &[(Coding, 1)], features(1));
    let mut lives = 0;
    while finished(&world).is_none() && lives < 20 {
        lives += 1;
        lives_and_dies(&mut world, 100 + lives, failed());
        world.pass(40_000);
    }
    assert_eq!(lives, 5);
    let (outcome, reason) = finished(&world).expect("it is over");
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    for words in [
        "5 coding workers in a row",
        "exit code 1",
        "No space left on device",
        "ontinue with `scheduler run`",
    ] {
        assert!(reason.contains(words), "{words:?} is missing: {reason}");
    }
}

#[test]
fn a_crew_that_is_killed_or_brings_attempts_to_an_end_goes_on() {
    let mut world = World::with(quiet(), &[(Coding, 1)], features(40));
    for pid in 100..150 {
        lives_and_dies(&mut world, pid, ChildEnd::Killed);
        world.pass(1_000);
    }
    assert_eq!(finished(&world), None);
    for round in 0..8 {
        for life in 0..4 {
            lives_and_dies(&mut world, 200 + round * 10 + life, failed());
            world.pass(40_000);
        }
        let hand = world.coder(300 + round);
        let job = world.job(&hand);
        let from = u64::from(round);
        pass(&mut world, &hand, job.attempt, job.features[0].id, from);
        world.dies(&hand, None);
    }
    assert_eq!(finished(&world), None);
}

#[test]
fn workers_that_give_back_whatever_they_take_end_the_run() {
    let mut world = World::with(quiet(), &[], features(2));
    let hand = world.coder(100);
    let mut jobs = 0;
    while finished(&world).is_none() && jobs < 100 {
        let heard = world.heard(hand.connection);
        let job = heard.iter().find_map(|message| match message {
            SchedulerMessage::Job(job) => Some(job.attempt),
            _ => None,
        });
        match job {
            Some(attempt) => {
                jobs += 1;
                world.report(&hand, attempt, released());
                world.heard(hand.connection);
                world.say(hand.connection, WorkerMessage::Ready);
            }
            None => {
                world.say(hand.connection, WorkerMessage::Heartbeat);
                world.pass(10_000);
            }
        }
    }
    assert_eq!(jobs, 10);
    ends_for_want_of(&world, "coding");
    let (_, reason) = finished(&world).expect("the end");
    assert!(reason.contains("worker-1 gave up every job"), "{reason}");
}

#[test]
fn a_crew_that_does_not_come_is_not_waited_for_for_ever() {
    let mut world = World::with(quiet(), &[(Coding, 1)], features(1));
    assert_eq!(missing_workers(&mut world), [(Coding, Some(WAIT_MS))]);
    let mut pid = 100;
    while finished(&world).is_none() && pid < 200 {
        // It is started, and dies before it has said a word.
        pid += 1;
        world.step(Input::ChildStarted {
            kind: Coding,
            pid: Some(pid),
        });
        world.step(Input::ChildEnded {
            pid,
            end: ChildEnd::Killed,
        });
        world.pass(5_000);
    }
    ends_for_want_of(&world, "coding");
}
