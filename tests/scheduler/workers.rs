//! Workers that come, go, come back, lie, and fall silent.

use crewlog::model::command::PersonCommand;
use crewlog::model::end_reason::EndReason;
use crewlog::model::ids::{AttemptId, FeatureId, WorkerId};
use crewlog::model::settings::WorkerKind::{self, Coding, Testing};
use crewlog::protocol::{Phase, Role, SchedulerMessage, ToClient, WorkerMessage, encode};
use crewlog::scheduler::machine::{Connection, Effect, Input};
use crewlog::scheduler::worker_pool::ChildEnd;

use crate::kit::{Hand, World, commit, features, mergeable, process, released};

fn hello(pid: u32) -> WorkerMessage {
    WorkerMessage::Hello {
        kind: Coding,
        process: process(pid),
        worker: None,
        holding: None,
        config: String::new(),
    }
}

fn refusal(heard: &[SchedulerMessage]) -> String {
    match heard {
        [SchedulerMessage::Refused(problem)] => problem.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn closes(world: &World, connection: Connection) -> bool {
    world.has(|effect| *effect == Effect::Close { connection })
}

/// One coding worker with a job.
fn one_at_work(world: &mut World) -> (Hand, AttemptId, FeatureId) {
    let hand = world.coder(100);
    let job = world.job(&hand);
    (hand, job.attempt, job.features[0].id)
}

#[test]
fn who_does_not_introduce_itself_properly_is_turned_away() {
    let mut long = process(5);
    long.host = "x".repeat(10_000);
    let long = WorkerMessage::Hello {
        kind: Coding,
        process: long,
        worker: None,
        holding: None,
        config: String::new(),
    };
    let leaving = WorkerMessage::Leaving { reason: "".into() };
    let table = [
        (5, WorkerMessage::Ready, "must be Hello"),
        (5, WorkerMessage::Heartbeat, "must be Hello"),
        (5, leaving, "must be Hello"),
        (6, hello(5), "the kernel says 6"),
        // The kernel's word for a process of another namespace.
        (0, hello(5), "the same pid namespace"),
        (5, long, "longer than 256 bytes"),
    ];
    for (pid, message, expected) in table {
        let mut world = World::new();
        let before = world.log.len();
        let connection = world.open(pid);
        world.say(connection, message.clone());
        let heard = world.heard(connection);
        assert!(refusal(&heard).contains(expected), "{message:?}: {heard:?}");
        assert!(closes(&world, connection), "{message:?}");
        // Whatever it says then is not listened to.
        world.say(connection, hello(5));
        assert!(world.heard(connection).is_empty(), "{message:?}");
        assert!(world.events(before).is_empty(), "{message:?}");
    }
}

#[test]
fn one_hello_is_enough() {
    let mut world = World::of(features(1));
    let (hand, attempt, _) = one_at_work(&mut world);
    world.say(hand.connection, hello(hand.pid));
    assert!(refusal(&world.heard(hand.connection)).contains("already sent"));
    assert!(closes(&world, hand.connection));
    // The worker itself is as good as before.
    let (_, heard) = world.hello(Coding, hand.pid, Some(hand.worker), Some(attempt));
    assert!(matches!(
        heard[..],
        [SchedulerMessage::Welcome {
            holding_accepted: true,
            ..
        }]
    ));
}

#[test]
fn nobody_can_speak_for_another_process() {
    let mut world = World::of(features(1));
    let (hand, attempt, feature) = one_at_work(&mut world);
    // It claims the other's number, but its process is another: it is somebody new.
    let (thief, heard) = world.hello(Coding, 101, Some(hand.worker), Some(attempt));
    let [
        SchedulerMessage::Welcome {
            worker,
            holding_accepted,
            ..
        },
    ] = heard[..]
    else {
        panic!("{heard:?}");
    };
    assert_ne!(worker, hand.worker);
    assert!(!holding_accepted);
    // Its word on the other's attempt changes nothing.
    let before = world.log.len();
    let thief = Hand {
        connection: thief,
        pid: 101,
        worker,
    };
    world.report(
        &thief,
        attempt,
        mergeable(&[feature], &commit(0), &commit(1)),
    );
    assert!(world.events(before).is_empty());
    assert_eq!(world.merge_asked(), None);
    world.report(
        &hand,
        attempt,
        mergeable(&[feature], &commit(0), &commit(2)),
    );
    assert_eq!(world.merge_asked(), Some((attempt, commit(0), commit(2))));
}

#[test]
fn a_worker_that_comes_back_is_told_what_it_may_have_missed() {
    // What it says it holds, and whether the scheduler counts on that and sends its own again.
    enum Holds {
        Nothing,
        Its,
        Other,
    }
    for (holds, accepted, job) in [
        (Holds::Nothing, true, true),
        (Holds::Its, true, false),
        (Holds::Other, false, false),
    ] {
        let mut world = World::of(features(1));
        let (hand, attempt, _) = one_at_work(&mut world);
        let before = world.log.len();
        world.close(hand.connection);
        assert!(
            world.events(before).is_empty(),
            "a closed connection requeues nothing"
        );
        let holding = match holds {
            Holds::Nothing => None,
            Holds::Its => Some(attempt),
            Holds::Other => Some(AttemptId(1)),
        };
        let (connection, heard) = world.hello(Coding, hand.pid, Some(hand.worker), holding);
        let [
            SchedulerMessage::Welcome {
                worker,
                holding_accepted,
                ..
            },
            rest @ ..,
        ] = &heard[..]
        else {
            panic!("{heard:?}");
        };
        assert_eq!((*worker, *holding_accepted), (hand.worker, accepted));
        let offered = matches!(rest, [SchedulerMessage::Job(job)] if job.attempt == attempt);
        assert_eq!(offered, job);
        if !accepted {
            // When it has dropped the other one it asks, and gets its own.
            world.say(connection, WorkerMessage::Ready);
            let heard = world.heard(connection);
            assert!(matches!(&heard[..], [SchedulerMessage::Job(job)] if job.attempt == attempt));
        }
        assert!(world.events(before).is_empty());
    }
}

#[test]
fn a_new_connection_of_the_same_process_replaces_the_old_one() {
    let mut world = World::of(features(1));
    let (hand, attempt, _) = one_at_work(&mut world);
    let (new, _) = world.hello(Coding, hand.pid, None, Some(attempt));
    assert!(closes(&world, hand.connection));
    let before = world.log.len();
    // What was still on its way on the old one is not listened to, and its end means nothing.
    world.report(&hand, attempt, released());
    world.close(hand.connection);
    assert!(world.events(before).is_empty());
    world.report(
        &Hand {
            connection: new,
            ..hand
        },
        attempt,
        released(),
    );
    assert_eq!(world.events(before), ["AttemptReleased"]);
}

#[test]
fn a_cancelled_attempt_is_cancelled_on_every_connection() {
    for holding in [true, false] {
        let mut world = World::of(features(1));
        let (hand, attempt, feature) = one_at_work(&mut world);
        world.close(hand.connection);
        let reason = "not now".to_owned();
        world.person(PersonCommand::Skip {
            feature,
            reason: reason.clone(),
        });
        let held = holding.then_some(attempt);
        let (_, heard) = world.hello(Coding, hand.pid, Some(hand.worker), held);
        let cancels = |message: &SchedulerMessage| matches!(message, SchedulerMessage::Cancel { attempt: its, .. } if *its == attempt);
        assert_eq!(
            heard.iter().filter(|message| cancels(message)).count(),
            1,
            "{heard:?}"
        );
        let jobs = heard
            .iter()
            .filter(|message| matches!(message, SchedulerMessage::Job(_)));
        assert_eq!(jobs.count(), usize::from(!holding));
        assert!(cancels(heard.last().expect("something")), "after the job");
    }
}

#[test]
fn a_command_that_is_repeated_cancels_once() {
    let mut world = World::of(features(1));
    let (hand, attempt, feature) = one_at_work(&mut world);
    let reason = "not now".into();
    let skip = PersonCommand::Skip { feature, reason };
    let id = crate::kit::command(5_000);
    let first = world.person_as(id, skip.clone());
    let heard = world.heard(hand.connection);
    assert!(matches!(heard[..], [SchedulerMessage::Cancel { attempt: its, .. }] if its == attempt));
    let before = world.log.len();
    assert_eq!(world.person_as(id, skip), first);
    assert!(world.heard(hand.connection).is_empty());
    assert!(world.events(before).is_empty());
}

#[test]
fn leaving_with_an_attempt_requeues_it_when_the_process_is_gone() {
    let mut world = World::of(features(1));
    let (hand, _, _) = one_at_work(&mut world);
    let reason = "a person stopped it".into();
    let before = world.log.len();
    world.say(hand.connection, WorkerMessage::Leaving { reason });
    assert!(
        world.events(before).is_empty(),
        "its agent may still be at work"
    );
    world.dies(&hand, None);
    assert_eq!(world.events(before), ["AttemptLost", "WorkerLeft"]);
}

#[test]
fn leaving_with_nothing_is_leaving() {
    let mut world = World::new();
    let hand = world.coder(100);
    let before = world.log.len();
    let reason = "drained".into();
    world.say(hand.connection, WorkerMessage::Leaving { reason });
    assert_eq!(world.events(before), ["WorkerLeft"]);
    world.dies(&hand, None);
    world.import(features(1));
    assert_eq!(
        world.events(before),
        ["WorkerLeft", "FeatureAdded"],
        "nobody is left"
    );
}

#[test]
fn a_silent_worker_is_called_off_then_killed_and_nothing_is_requeued_before_it_is_dead() {
    let mut world = World::of(features(1));
    let (hand, attempt, _) = one_at_work(&mut world);
    let kills =
        |effect: &Effect| matches!(effect, Effect::Kill { worker, .. } if *worker == hand.worker);
    let before = world.log.len();
    world.pass(115_000);
    assert!(
        world.heard(hand.connection).is_empty(),
        "silent for less than two minutes"
    );
    world.pass(20_000);
    let heard = world.heard(hand.connection);
    assert!(matches!(heard[..], [SchedulerMessage::Cancel { attempt: its, .. }] if its == attempt));
    world.pass(45_000);
    assert!(!world.has(kills), "it has a minute");
    world.pass(30_000);
    assert!(world.has(kills));
    world.pass(300_000);
    assert_eq!(
        world.effects.iter().filter(|effect| kills(effect)).count(),
        1,
        "once"
    );
    assert!(world.events(before).is_empty());
    world.dies(&hand, None);
    assert_eq!(world.events(before), ["AttemptLost", "WorkerLeft"]);
}

#[test]
fn heartbeats_keep_an_attempt_for_as_long_as_it_may_take() {
    let mut world = World::of(features(1));
    let (hand, attempt, _) = one_at_work(&mut world);
    let limit = world.settings.time_limit_ms + world.settings.check_limit_ms;
    for _ in 0..limit / 10_000 {
        world.pass(10_000);
        world.say(hand.connection, WorkerMessage::Heartbeat);
        assert!(world.heard(hand.connection).is_empty());
    }
    for _ in 0..14 {
        world.pass(10_000);
        world.say(hand.connection, WorkerMessage::Heartbeat);
    }
    let heard = world.heard(hand.connection);
    assert!(
        matches!(&heard[..], [SchedulerMessage::Cancel { attempt: its, reason }]
            if *its == attempt && matches!(reason, EndReason::TimeLimit { .. })),
        "{heard:?}"
    );
}

#[test]
fn who_has_handed_its_result_in_is_never_overdue() {
    let mut world = World::of(features(2));
    let (first, second) = (world.coder(100), world.coder(101));
    let (one, two) = (world.job(&first), world.job(&second));
    let work = |job: &crewlog::protocol::JobOffer, to| {
        mergeable(&[job.features[0].id], &commit(0), &commit(to))
    };
    world.report(&first, one.attempt, work(&one, 1));
    world.report(&second, two.attempt, work(&two, 2));
    // git is stuck for a day.
    world.pass(86_400_000);
    assert!(world.heard(first.connection).is_empty());
    assert!(world.heard(second.connection).is_empty());
    assert!(!world.has(|effect| matches!(effect, Effect::Kill { .. })));
}

#[test]
fn a_worker_that_does_not_come_back_is_killed_in_the_end() {
    let mut world = World::of(features(1));
    let (hand, _, _) = one_at_work(&mut world);
    world.close(hand.connection);
    let kills = |effect: &Effect| matches!(effect, Effect::Kill { .. });
    world.pass(600_000);
    assert!(!world.has(kills), "its session goes on without us");
    world.pass(120_000);
    assert!(
        world.has(kills),
        "it is stopped, or it would have come back"
    );
}

#[test]
fn a_scheduler_that_was_stopped_itself_knows_nothing_of_the_others() {
    let mut world = World::of(features(1));
    let (hand, _, _) = one_at_work(&mut world);
    // Ctrl-Z for ten minutes; what the worker said is still in its socket.
    world.now.mono_ms += 600_000;
    world.now.wall = world.now.wall.plus_ms(600_000);
    world.step(Input::Tick);
    assert!(world.heard(hand.connection).is_empty());
    world.say(hand.connection, WorkerMessage::Heartbeat);
    world.pass(60_000);
    assert!(world.heard(hand.connection).is_empty());
}

#[test]
fn a_stopped_idle_worker_gets_no_job_until_it_gives_a_sign_of_life() {
    let mut world = World::new();
    let hand = world.coder(100);
    let other = world.worker(Coding, 101);
    for _ in 0..20 {
        world.pass(10_000);
        world.say(other.connection, WorkerMessage::Heartbeat);
    }
    let before = world.log.len();
    world.import(features(1));
    assert_eq!(world.events(before), ["FeatureAdded"]);
    world.say(hand.connection, WorkerMessage::Heartbeat);
    world.job(&hand);
}

#[test]
fn progress_is_shown_and_cleaned() {
    let mut world = World::of(features(1));
    let (hand, attempt, _) = one_at_work(&mut world);
    let activity = format!("ed\u{1b}[31mit\nsecond line {}", "x".repeat(500));
    for attempt in [attempt, AttemptId(99)] {
        let phase = if attempt.0 == 99 {
            Phase::Merging
        } else {
            Phase::Session
        };
        let activity = activity.clone();
        world.say(
            hand.connection,
            WorkerMessage::Progress {
                attempt,
                phase,
                activity,
                steps: 0,
            },
        );
    }
    let ToClient::Live(live) = world.client(crewlog::protocol::ClientMessage::Live) else {
        panic!("not live");
    };
    let [one] = &live.attempts[..] else {
        panic!("{live:?}");
    };
    assert_eq!(one.phase, Some(Phase::Session));
    assert_eq!(one.activity, "ed[31mit");
    assert!(one.connected);
}

#[test]
fn a_job_with_many_answers_fits_into_a_message() {
    let mut world = World::new();
    world.import(features(1));
    let hand = world.coder(100);
    let mut job = world.job(&hand);
    let feature = job.features[0].id;
    for number in 0..40 {
        let question = format!("{number} {}", "q".repeat(60_000));
        let report = crewlog::model::report::Report::InputNeeded { feature, question };
        world.report(&hand, job.attempt, report);
        world.heard(hand.connection);
        let answer = "a".repeat(60_000);
        world.person(PersonCommand::Answer { feature, answer });
        world.say(hand.connection, WorkerMessage::Ready);
        job = world.job(&hand);
    }
    let answers = &job.features[0].answers;
    assert!((1..40).contains(&answers.len()));
    assert!(
        answers.last().expect("one").0.starts_with("39 "),
        "the newest are kept"
    );
    let message = SchedulerMessage::Job(Box::new(job));
    assert!(encode(Role::Worker, &message).expect("fits").len() < 1 << 20);
}

#[test]
fn strangers_messages_of_every_kind_do_no_harm() {
    let mut world = World::of(features(1));
    let (hand, attempt, _) = one_at_work(&mut world);
    let before = world.log.len();
    world.step(Input::Died {
        worker: WorkerId(999),
    });
    world.step(Input::CleanedUp {
        worker: WorkerId(999),
        report: None,
    });
    world.step(Input::Closed {
        connection: Connection(999),
    });
    world.step(Input::ChildEnded {
        pid: 999,
        end: ChildEnd::Well,
    });
    world.step(Input::ChildStarted {
        kind: Testing,
        pid: None,
    });
    world.say(Connection(999), WorkerMessage::Ready);
    world.say(hand.connection, WorkerMessage::Ready);
    assert_eq!(world.heard(hand.connection).len(), 1, "its own job again");
    world.report(&hand, AttemptId(u64::MAX), released());
    world.heard(hand.connection);
    assert_eq!(world.events(before), ["LateResultIgnored"]);
    assert!(world.machine.state().attempts().contains_key(&attempt));
}

#[test]
fn a_process_may_be_two_workers_but_not_one_of_both_kinds() {
    let mut world = World::new();
    let coder = world.worker(WorkerKind::Coding, 100);
    let tester = world.worker(WorkerKind::Testing, 100);
    assert_ne!(coder.worker, tester.worker);
    let (_, heard) = world.hello(Testing, 100, Some(coder.worker), None);
    assert!(
        matches!(heard[..], [SchedulerMessage::Welcome { worker, .. }] if worker == tester.worker)
    );
}
