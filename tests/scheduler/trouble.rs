//! The machine's troubles hold the crew up, and end the run when they do not end.

use crewlog::model::command::PersonCommand;
use crewlog::model::event::{Event, RunOutcome};
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, FeatureId};
use crewlog::model::report::Report;
use crewlog::model::settings::WorkerKind::Coding;
use crewlog::model::trouble::{Stage, Trouble, TroubleKind};
use crewlog::protocol::{Phase, SchedulerMessage, WorkerMessage};

use crate::kit::{Hand, World, commit, features, quiet};

/// The usual `run.worker_wait`.
const WAIT_MS: u64 = 120_000;

fn troubled(kind: TroubleKind, stage: Stage) -> Report {
    Report::Troubled(Trouble {
        kind,
        stage,
        reason: "cannot write the commit: No space left on device".to_owned(),
    })
}

fn jobs(world: &mut World, hand: &Hand) -> Vec<AttemptId> {
    let heard = world.heard(hand.connection);
    let job = |message: &SchedulerMessage| match message {
        SchedulerMessage::Job(job) => Some(job.attempt),
        _ => None,
    };
    heard.iter().filter_map(job).collect()
}

fn is_at(world: &mut World, hand: &Hand, attempt: AttemptId, phase: Phase) {
    let activity = String::new();
    let progress = WorkerMessage::Progress {
        attempt,
        phase,
        activity,
        steps: 0,
    };
    world.say(hand.connection, progress);
}

/// Seconds pass, and these workers stay; each meets the trouble in every job that it is given.
fn suffer(world: &mut World, hands: &[Hand], seconds: u64, report: &Report) -> usize {
    let mut met = 0;
    for _ in 0..seconds {
        for hand in hands {
            for attempt in jobs(world, hand) {
                met += 1;
                world.report(hand, attempt, report.clone());
                world.say(hand.connection, WorkerMessage::Ready);
            }
            world.say(hand.connection, WorkerMessage::Heartbeat);
        }
        world.pass(1_000);
    }
    met
}

fn finished(world: &World) -> Option<(RunOutcome, String)> {
    world.log.iter().find_map(|recorded| match &recorded.event {
        Event::RunFinished(event) => Some((event.outcome, event.reason.clone())),
        _ => None,
    })
}

fn nothing_is_held_against_anybody(world: &World) {
    for feature in world.machine.state().features() {
        let counts = (feature.status, feature.failures, feature.lost_streak);
        assert_eq!(counts, (Status::Pending, 0, 0), "{}", feature.id);
    }
    let workers = world.machine.state().workers();
    assert!(workers.values().all(|worker| worker.give_backs == 0));
}

#[test]
fn a_trouble_without_end_ends_the_run_and_parks_nothing() {
    let mut world = World::of(features(8));
    let hands: Vec<Hand> = (100..103).map(|pid| world.coder(pid)).collect();
    let report = troubled(TroubleKind::Disk, Stage::Rebase);
    let met = suffer(&mut world, &hands, WAIT_MS / 1_000 - 1, &report);
    assert_eq!(finished(&world), None);
    // Three at once, then 2 s to 60 s apart: no storm.
    assert!((6..=11).contains(&met), "{met} attempts");
    nothing_is_held_against_anybody(&world);
    suffer(&mut world, &hands, 2, &report);
    let (outcome, reason) = finished(&world).expect("it is over");
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    for part in [
        "for 2m",
        "No space left on device",
        "free disk space",
        "`scheduler run`",
    ] {
        assert!(reason.contains(part), "{reason:?} does not say {part:?}");
    }
    nothing_is_held_against_anybody(&world);
}

#[test]
fn troubles_of_several_kinds_in_a_row_are_one_and_a_success_is_its_end() {
    let kinds = [TroubleKind::Disk, TroubleKind::Git, TroubleKind::Hook];
    let mut world = World::of(features(8));
    let hands = [world.coder(100)];
    for kind in kinds {
        suffer(&mut world, &hands, 10, &troubled(kind, Stage::Prepare));
    }
    assert_eq!(finished(&world), None);
    // One gets to its agent, just in time.
    let attempt = loop {
        if let [attempt] = *jobs(&mut world, &hands[0]) {
            break attempt;
        }
        suffer(
            &mut world,
            &[],
            1,
            &troubled(TroubleKind::Other, Stage::Prepare),
        );
        assert_eq!(finished(&world), None);
        world.say(hands[0].connection, WorkerMessage::Heartbeat);
    };
    is_at(&mut world, &hands[0], attempt, Phase::Session);
    assert_eq!(
        world.count(|event| matches!(event, Event::CrewRecovered(_))),
        1
    );
    world.report(
        &hands[0],
        attempt,
        troubled(TroubleKind::Disk, Stage::Rebase),
    );
    world.say(hands[0].connection, WorkerMessage::Ready);
    suffer(
        &mut world,
        &hands,
        WAIT_MS / 1_000 - 1,
        &troubled(TroubleKind::Disk, Stage::Prepare),
    );
    assert_eq!(
        finished(&world),
        None,
        "a trouble of its own, with a time of its own"
    );
    suffer(
        &mut world,
        &hands,
        2,
        &troubled(TroubleKind::Disk, Stage::Prepare),
    );
    assert!(finished(&world).is_some());
}

#[test]
fn the_others_follow_as_soon_as_one_gets_further() {
    let mut world = World::of(features(4));
    let hands: Vec<Hand> = (100..103).map(|pid| world.coder(pid)).collect();
    for hand in &hands {
        let job = world.job(hand);
        world.report(
            hand,
            job.attempt,
            troubled(TroubleKind::Program, Stage::Prepare),
        );
        world.heard(hand.connection);
        world.say(hand.connection, WorkerMessage::Ready);
    }
    world.pass(2_000);
    let open: Vec<(usize, AttemptId)> = (0..3)
        .flat_map(|at| {
            jobs(&mut world, &hands[at])
                .into_iter()
                .map(move |it| (at, it))
        })
        .collect();
    let [(at, attempt)] = *open else {
        panic!("one probe: {open:?}");
    };
    let features = &world.machine.state().attempts()[&attempt].job.features;
    assert_eq!(features, &[FeatureId(4)], "the one that has not met it");
    is_at(&mut world, &hands[at], attempt, Phase::Preparing);
    world.pass(5_000);
    assert_eq!(
        world.machine.state().attempts().len(),
        1,
        "it has not got further yet"
    );
    is_at(&mut world, &hands[at], attempt, Phase::Session);
    assert_eq!(world.machine.state().attempts().len(), 3, "all have work");
    // Who was at work before says nothing of a later trouble.
    assert_eq!(world.machine.state().troubled, None);
}

#[test]
fn a_pause_by_a_person_does_not_count_and_resume_tries_at_once() {
    let mut world = World::of(features(2));
    let hands = [world.coder(100)];
    let report = troubled(TroubleKind::Disk, Stage::Prepare);
    suffer(&mut world, &hands, 100, &report);
    world.person(PersonCommand::Pause {
        reason: "lunch".to_owned(),
    });
    suffer(&mut world, &hands, 10 * WAIT_MS / 1_000, &report);
    assert_eq!(finished(&world), None);
    world.person(PersonCommand::Resume);
    assert_eq!(jobs(&mut world, &hands[0]).len(), 1);
}

#[test]
fn the_next_scheduler_tries_for_as_long_again() {
    let mut world = World::of(features(2));
    let hands = [world.coder(100)];
    let report = troubled(TroubleKind::Disk, Stage::Prepare);
    suffer(&mut world, &hands, 100, &report);
    let mut world = world.restart(&commit(0));
    assert!(world.machine.state().troubled.is_some());
    let hands = [world.coder(200)];
    let met = suffer(&mut world, &hands, WAIT_MS / 1_000 - 10, &report);
    assert!(met > 0 && finished(&world).is_none());
    suffer(&mut world, &hands, 20, &report);
    assert!(finished(&world).is_some());
}

#[test]
fn a_run_that_stays_open_goes_on_trying() {
    let mut world = World::with(quiet(), &[(Coding, 0)], features(2));
    world.machine.stay();
    let hands = [world.coder(100)];
    let met = suffer(
        &mut world,
        &hands,
        3_600,
        &troubled(TroubleKind::Disk, Stage::Prepare),
    );
    assert_eq!(finished(&world), None);
    assert!((60..=130).contains(&met), "{met} attempts in an hour");
}
