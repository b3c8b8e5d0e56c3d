//! A provider that fails: what it costs, who is let out to see whether it works again, and when the
//! others follow.

use crewlog::model::event::Event;
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::Status;
use crewlog::model::ids::AttemptId;
use crewlog::model::report::Report;
use crewlog::model::trouble::{Stage, Trouble, TroubleKind};
use crewlog::protocol::{Phase, SchedulerMessage, WorkerMessage};

use crate::kit::{Hand, World, commit, features, mergeable};

const CREW: usize = 6;

fn silence() -> Report {
    Report::Troubled(Trouble {
        kind: TroubleKind::Provider,
        stage: Stage::Session,
        reason: "the provider gave the agent no answer".to_owned(),
    })
}

/// A crew at a backlog; the first feature is merged, so that its agents are known to work.
fn crew() -> (World, Vec<Hand>) {
    let mut world = World::of(features(20));
    world.settings.max_concurrency = CREW as u32;
    let settings = world.settings.clone();
    world.person(crewlog::model::command::PersonCommand::change_to(&settings));
    let hands: Vec<Hand> = (0..CREW).map(|at| world.coder(100 + at as u32)).collect();
    let job = world.job(&hands[0]);
    let work = mergeable(&[job.features[0].id], &commit(0), &commit(1));
    world.report(&hands[0], job.attempt, work);
    world.git_says(job.attempt, true, &commit(1));
    world.heard(hands[0].connection);
    world.say(hands[0].connection, WorkerMessage::Ready);
    (world, hands)
}

/// The attempts that workers were sent since the last look, by worker.
fn jobs(world: &mut World, hands: &[Hand]) -> Vec<(usize, AttemptId)> {
    let mut found = Vec::new();
    for (at, hand) in hands.iter().enumerate() {
        for message in world.heard(hand.connection) {
            if let SchedulerMessage::Job(job) = message {
                found.push((at, job.attempt));
            }
        }
    }
    found
}

fn fails(world: &mut World, hand: &Hand, attempt: AttemptId, report: Report) {
    world.report(hand, attempt, report);
    world.say(hand.connection, WorkerMessage::Ready);
}

#[test]
fn the_first_agent_of_a_scheduler_goes_alone_until_it_has_started() {
    let mut world = World::of(features(4));
    let hands: Vec<Hand> = (100..103).map(|pid| world.coder(pid)).collect();
    let open = jobs(&mut world, &hands);
    let [(first, attempt)] = *open else {
        panic!("one goes ahead: {open:?}");
    };
    world.progress(&hands[first], attempt, Phase::Preparing, 0);
    world.pass(5_000);
    assert_eq!(jobs(&mut world, &hands), []);
    world.progress(&hands[first], attempt, Phase::Session, 0);
    assert_eq!(jobs(&mut world, &hands).len(), 2, "now all may");
}

#[test]
fn an_hour_of_outage_costs_few_sessions_and_no_try() {
    let (mut world, hands) = crew();
    let mut open = jobs(&mut world, &hands);
    assert_eq!(open.len(), CREW, "all are at work when it begins");
    let mut sessions = 0;
    for second in 0..3_600 {
        for (at, attempt) in std::mem::take(&mut open) {
            fails(&mut world, &hands[at], attempt, silence());
        }
        for hand in &hands {
            world.say(hand.connection, WorkerMessage::Heartbeat);
        }
        world.pass(1_000);
        open = jobs(&mut world, &hands);
        assert!(open.len() <= 1, "one probe at a time, at {second} s");
        sessions += open.len();
    }
    assert!((8..=12).contains(&sessions), "{sessions} sessions");
    assert_eq!(
        world.count(|event| matches!(event, Event::FeatureFailed(_))),
        0
    );
    let all = world.machine.state().features();
    assert!(all.into_iter().all(|feature| feature.failures == 0));
    assert!(
        world.machine.state().open_run().is_some(),
        "the night goes on"
    );
}

#[test]
fn after_an_outage_the_crew_follows_one_by_one() {
    let (mut world, hands) = crew();
    for (at, attempt) in jobs(&mut world, &hands) {
        fails(&mut world, &hands[at], attempt, silence());
    }
    for hand in &hands {
        world.heard(hand.connection);
    }
    world.pass(10_000);
    let mut open = jobs(&mut world, &hands);
    // Each that has finished a step lets out the next one.
    for expected in 1..=3 {
        let [(at, attempt)] = *open else {
            panic!("agent {expected} goes alone: {open:?}");
        };
        world.progress(&hands[at], attempt, Phase::Session, 0);
        assert_eq!(jobs(&mut world, &hands), [], "it has not answered yet");
        world.progress(&hands[at], attempt, Phase::Session, 1);
        open = jobs(&mut world, &hands);
    }
    assert_eq!(world.machine.state().outages().count(), 0);
    // A session that is over shows that all may.
    let [(at, attempt)] = *open else {
        panic!("the fourth: {open:?}");
    };
    world.progress(&hands[at], attempt, Phase::Rebasing, 4);
    assert_eq!(jobs(&mut world, &hands).len(), 2, "the last two at once");
}

#[test]
fn a_limit_is_probed_alone_too() {
    let (mut world, hands) = crew();
    for (at, attempt) in jobs(&mut world, &hands) {
        let feature = world.machine.state().attempts()[&attempt].job.features[0];
        let failure = crewlog::model::evidence::Failure::new(FailureKind::ProviderLimited, "429");
        let limited = Report::Failed {
            failures: vec![(feature, failure)],
            limited_until: None,
        };
        fails(&mut world, &hands[at], attempt, limited);
    }
    world.pass(21_000);
    let open = jobs(&mut world, &hands);
    let [(at, attempt)] = *open else {
        panic!("one probe: {open:?}");
    };
    world.progress(&hands[at], attempt, Phase::Session, 0);
    world.pass(30_000);
    assert_eq!(jobs(&mut world, &hands), []);
    world.progress(&hands[at], attempt, Phase::Session, 2);
    assert_eq!(world.machine.state().outages().count(), 0);
    assert_eq!(jobs(&mut world, &hands).len(), 1);
}

#[test]
fn two_sessions_in_a_row_without_any_work_are_trouble_whatever_they_say() {
    let (mut world, hands) = crew();
    let open = jobs(&mut world, &hands);
    let failed = |world: &World, attempt: AttemptId| {
        let features = world.machine.state().attempts()[&attempt]
            .job
            .features
            .clone();
        crate::kit::failed(&features)
    };
    let mut says = |at: usize, workless| {
        let (hand, attempt) = (&hands[open[at].0], open[at].1);
        let report = failed(&world, attempt);
        world.report_of(hand, attempt, report, workless);
        let state = world.machine.state();
        let feature = world.log.len();
        (feature, state.outages().count() > 0)
    };
    assert!(!says(0, true).1, "one may be the feature's");
    assert!(!says(1, false).1, "it has worked, so the agents do");
    assert!(!says(2, true).1);
    assert!(says(3, true).1, "two in a row are not");
    let failures = world.count(|event| matches!(event, Event::FeatureFailed(_)));
    assert_eq!(failures, 3);
    let state = world.machine.state();
    assert_eq!(state.count(Status::Running), CREW as u32 - 4);
}

#[test]
fn a_provider_that_answers_once_and_then_fails_is_left_alone_for_longer_each_time() {
    let (mut world, hands) = crew();
    let mut open = jobs(&mut world, &hands);
    let mut sessions = 0;
    for _ in 0..3_600 {
        for (at, attempt) in std::mem::take(&mut open) {
            world.progress(&hands[at], attempt, Phase::Session, 1);
            fails(&mut world, &hands[at], attempt, silence());
        }
        for hand in &hands {
            world.say(hand.connection, WorkerMessage::Heartbeat);
        }
        world.pass(1_000);
        open = jobs(&mut world, &hands);
        sessions += open.len();
    }
    assert!((8..=24).contains(&sessions), "{sessions} sessions");
    assert_eq!(
        world.count(|event| matches!(event, Event::FeatureFailed(_))),
        0
    );
}

/// Its agent starts well and then says nothing more, whenever it is tried.
#[test]
fn a_feature_that_always_ends_in_silence_is_parked_in_the_end() {
    let mut world = World::of(features(2));
    let hands = vec![world.coder(100)];
    let job = world.job(&hands[0]);
    let work = mergeable(&[job.features[0].id], &commit(0), &commit(1));
    world.report(&hands[0], job.attempt, work);
    world.git_says(job.attempt, true, &commit(1));
    world.heard(hands[0].connection);
    world.say(hands[0].connection, WorkerMessage::Ready);
    let mut sessions = 0;
    let parked = |world: &World| world.count(|event| matches!(event, Event::FeatureParked(_)));
    for _ in 0..4 * 3_600 {
        for (at, attempt) in jobs(&mut world, &hands) {
            sessions += 1;
            world.progress(&hands[at], attempt, Phase::Session, 1);
            fails(&mut world, &hands[at], attempt, silence());
        }
        if parked(&world) > 0 {
            break;
        }
        world.say(hands[0].connection, WorkerMessage::Heartbeat);
        world.pass(1_000);
    }
    assert_eq!(parked(&world), 1, "after {sessions} sessions");
    assert!((7..=11).contains(&sessions), "{sessions} sessions");
}

/// A test runs its checks before its agent: these show nothing about the provider.
#[test]
fn the_checks_of_a_test_are_no_answer_of_the_provider() {
    let (mut world, hands) = crew();
    let mut settings = world.machine.state().settings.clone();
    settings.test_with_agent = true;
    settings.testing = 1;
    world.person(crewlog::model::command::PersonCommand::change_to(&settings));
    let mut open = jobs(&mut world, &hands).into_iter();
    let (at, attempt) = open.next().expect("a crew");
    let feature = world.machine.state().attempts()[&attempt].job.features[0];
    let work = mergeable(&[feature], &commit(1), &commit(2));
    world.report(&hands[at], attempt, work);
    world.git_says(attempt, true, &commit(2));
    for (at, attempt) in open {
        world.report(&hands[at], attempt, silence());
    }
    world.pass(10_000);
    let tester = world.worker(crewlog::model::settings::WorkerKind::Testing, 300);
    world.say(tester.connection, WorkerMessage::Ready);
    let hands = [tester];
    let open = jobs(&mut world, &hands);
    let [(0, attempt)] = *open else {
        panic!("a test is the probe: {open:?}");
    };
    world.progress(&hands[0], attempt, Phase::Checking, 0);
    assert_eq!(
        world.machine.state().outages().count(),
        1,
        "no agent has run"
    );
}

/// Two sessions in a row without work are trouble; one that the worker has found out itself counts.
#[test]
fn trouble_of_the_provider_is_a_session_without_work() {
    let (mut world, hands) = crew();
    let open = jobs(&mut world, &hands);
    for (turn, &(at, attempt)) in open.iter().enumerate() {
        let report = match turn % 2 {
            0 => {
                let of = &world.machine.state().attempts()[&attempt].job.features;
                crate::kit::failed(&of.clone())
            }
            _ => silence(),
        };
        world.report_of(&hands[at], attempt, report, true);
    }
    let failures = world.count(|event| matches!(event, Event::FeatureFailed(_)));
    assert_eq!(failures, 1);
}
