//! The scheduler's own end, and its crew.

use crewlog::model::event::RunOutcome;
use crewlog::model::settings::WorkerKind::{self, Coding, Testing};
use crewlog::protocol::{SchedulerMessage, StopMode, WorkerMessage};
use crewlog::scheduler::machine::{Effect, Ending, Input};
use crewlog::scheduler::merge_call::{GIT_AGAIN_MS, GIT_TRIES_MAX};
use crewlog::scheduler::ports::GitFailure;
use crewlog::scheduler::worker_pool::ChildEnd;

use crate::kit::{Hand, World, commit, features, mergeable, quiet, released};

fn exit(world: &World) -> Option<Ending> {
    let ends = world.effects.iter().filter_map(|effect| match effect {
        Effect::Exit(ending) => Some(*ending),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends.len() <= 1, "it ends once");
    ends.first().copied()
}

fn drained(world: &mut World, hand: &Hand) -> bool {
    let heard = world.heard(hand.connection);
    heard
        .iter()
        .any(|message| matches!(message, SchedulerMessage::Drain { .. }))
}

fn stopped(world: &mut World, hand: &Hand) -> bool {
    let heard = world.heard(hand.connection);
    heard
        .iter()
        .any(|message| matches!(message, SchedulerMessage::Stop { .. }))
}

fn goes(world: &mut World, hand: &Hand) {
    let reason = "drained".to_owned();
    world.say(
        hand.connection,
        WorkerMessage::Leaving {
            reason: reason.into(),
        },
    );
    world.close(hand.connection);
    let worker = hand.worker;
    world.step(Input::Died { worker });
}

fn started(world: &mut World) -> Vec<WorkerKind> {
    let mut kinds = Vec::new();
    world.effects.retain(|effect| match effect {
        Effect::StartWorker { kind } => {
            kinds.push(*kind);
            false
        }
        _ => true,
    });
    kinds
}

/// One worker with a job, and an idle one.
fn busy_and_idle(world: &mut World) -> (Hand, crewlog::protocol::JobOffer, Hand) {
    world.person(crewlog::model::command::PersonCommand::Pause {
        reason: String::new(),
    });
    let busy = world.coder(100);
    world.person(crewlog::model::command::PersonCommand::Resume);
    let job = world.job(&busy);
    let idle = world.worker(Testing, 101);
    world.say(idle.connection, WorkerMessage::Ready);
    (busy, job, idle)
}

#[test]
fn a_run_that_is_over_tells_its_workers_and_ends_when_they_have_gone() {
    let mut world = World::of(features(1));
    let hand = world.coder(100);
    let idle = world.worker(Testing, 101);
    let job = world.job(&hand);
    world.report(
        &hand,
        job.attempt,
        mergeable(&[job.features[0].id], &commit(0), &commit(1)),
    );
    world.git_says(job.attempt, true, &commit(1));
    let end = world.log.len();
    assert_eq!(world.events(end - 1), ["RunFinished"]);
    assert!(drained(&mut world, &hand) && drained(&mut world, &idle));
    assert_eq!(exit(&world), None, "they are still here");
    // Nothing is started after it, whatever comes.
    world.import(vec![(
        crewlog::model::ids::FeatureId(9),
        crate::kit::spec("late", &[]),
    )]);
    world.say(hand.connection, WorkerMessage::Ready);
    let (late, heard) = world.hello(Coding, 102, None, None);
    assert!(matches!(heard[..], [SchedulerMessage::Refused(_)]));
    world.close(late);
    assert_eq!(world.events(end), ["FeatureAdded"]);
    goes(&mut world, &hand);
    assert_eq!(exit(&world), None);
    goes(&mut world, &idle);
    assert_eq!(exit(&world), Some(Ending::Finished(RunOutcome::AllPassing)));
    assert_eq!(
        world.events(end),
        ["FeatureAdded", "WorkerLeft", "WorkerLeft"]
    );
}

#[test]
fn a_worker_that_does_not_go_is_not_waited_for_and_our_own_is_ended() {
    for own in [false, true] {
        let crew: &[(WorkerKind, u32)] = if own { &[(Coding, 1)] } else { &[] };
        let mut world = World::with(quiet(), crew, features(1));
        if own {
            assert_eq!(started(&mut world), [Coding]);
            let pid = Some(100);
            world.step(Input::ChildStarted { kind: Coding, pid });
        }
        let hand = world.coder(100);
        let job = world.job(&hand);
        world.report(
            &hand,
            job.attempt,
            mergeable(&[job.features[0].id], &commit(0), &commit(0)),
        );
        assert!(drained(&mut world, &hand));
        world.pass(9_000);
        assert_eq!(exit(&world), None);
        assert!(!world.has(|effect| matches!(effect, Effect::EndChild { .. })));
        world.pass(2_000);
        if own {
            assert!(world.has(|effect| *effect == Effect::EndChild { pid: 100 }));
            assert_eq!(exit(&world), None, "its end is awaited");
            world.close(hand.connection);
            world.step(Input::ChildEnded {
                pid: 100,
                end: ChildEnd::Well,
            });
        }
        assert_eq!(exit(&world), Some(Ending::Finished(RunOutcome::AllPassing)));
    }
}

#[test]
fn a_worker_that_is_between_two_connections_is_told_that_the_run_is_over() {
    for comes in [true, false] {
        let mut world = World::of(features(1));
        let hand = world.coder(100);
        let idle = world.worker(Testing, 101);
        world.close(idle.connection);
        let job = world.job(&hand);
        let work = mergeable(&[job.features[0].id], &commit(0), &commit(1));
        world.report(&hand, job.attempt, work);
        world.git_says(job.attempt, true, &commit(1));
        goes(&mut world, &hand);
        assert_eq!(exit(&world), None, "it lives, and knows nothing");
        world.pass(5_000);
        if comes {
            let (connection, heard) = world.hello(Testing, idle.pid, Some(idle.worker), None);
            let drain = matches!(heard.last(), Some(SchedulerMessage::Drain { .. }));
            assert!(drain, "{heard:?}");
            goes(&mut world, &Hand { connection, ..idle });
        } else {
            assert_eq!(exit(&world), None);
            world.pass(6_000);
        }
        assert_eq!(exit(&world), Some(Ending::Finished(RunOutcome::AllPassing)));
        assert!(!world.has(|effect| matches!(effect, Effect::Kill { .. })));
    }
}

#[test]
fn draining_waits_for_open_attempts_also_of_workers_that_are_away() {
    let mut world = World::of(features(2));
    let (busy, job, idle) = busy_and_idle(&mut world);
    world.close(busy.connection);
    world.step(Input::Stop(StopMode::Drain));
    assert!(drained(&mut world, &idle));
    goes(&mut world, &idle);
    assert_eq!(exit(&world), None);
    let holding = Some(job.attempt);
    let (connection, heard) = world.hello(Coding, busy.pid, Some(busy.worker), holding);
    assert!(matches!(
        heard[..],
        [
            SchedulerMessage::Welcome { .. },
            SchedulerMessage::Drain { .. }
        ]
    ));
    let busy = Hand { connection, ..busy };
    let before = world.log.len();
    world.report(
        &busy,
        job.attempt,
        mergeable(&[job.features[0].id], &commit(0), &commit(1)),
    );
    assert_eq!(exit(&world), None, "the merge is open");
    world.git_says(job.attempt, true, &commit(1));
    assert_eq!(
        world.events(before),
        ["MergeStarted", "FeaturePassed"],
        "nothing new starts"
    );
    goes(&mut world, &busy);
    assert_eq!(exit(&world), Some(Ending::Interrupted));
}

#[test]
fn stopping_gives_everything_back_and_kills_who_does_not_go() {
    let mut world = World::of(features(2));
    let (busy, job, idle) = busy_and_idle(&mut world);
    world.step(Input::Stop(StopMode::Drain));
    assert!(drained(&mut world, &busy));
    // The second time is now.
    world.step(Input::Stop(StopMode::Drain));
    assert!(stopped(&mut world, &busy) && stopped(&mut world, &idle));
    world.report(&busy, job.attempt, released());
    goes(&mut world, &busy);
    assert_eq!(exit(&world), None);
    world.pass(9_000);
    assert!(!world.has(|effect| matches!(effect, Effect::Kill { .. })));
    // The idle one is stopped and does not hear us.
    world.pass(2_000);
    let kills =
        |effect: &Effect| matches!(effect, Effect::Kill { worker, .. } if *worker == idle.worker);
    assert!(world.has(kills));
    world.close(idle.connection);
    assert_eq!(exit(&world), Some(Ending::Interrupted));
}

#[test]
fn stopping_ends_whatever_git_or_a_killed_worker_does() {
    let mut world = World::of(features(2));
    let (first, second) = (world.coder(100), world.coder(101));
    let (one, _) = (world.job(&first), world.job(&second));
    world.report(
        &first,
        one.attempt,
        mergeable(&[one.features[0].id], &commit(0), &commit(1)),
    );
    world.step(Input::Stop(StopMode::Now));
    world.pass(10_500);
    assert_eq!(
        world
            .effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Kill { .. }))
            .count(),
        2
    );
    assert_eq!(exit(&world), None);
    world.pass(5_000);
    assert_eq!(exit(&world), Some(Ending::Interrupted));
}

#[test]
fn a_git_that_always_fails_ends_the_run_and_leaves_no_worker_behind() {
    let mut world = World::of(features(2));
    let (hand, idle) = (world.coder(100), world.coder(101));
    let (job, other) = (world.job(&hand), world.job(&idle));
    let attempt = job.attempt;
    let work = mergeable(&[job.features[0].id], &commit(0), &commit(1));
    world.report(&hand, attempt, work);
    for failure in 1..=GIT_TRIES_MAX {
        assert!(world.merge_asked().is_some(), "{failure}");
        assert!(!stopped(&mut world, &idle), "{failure}");
        let failure = GitFailure::Failed { head: None };
        world.step(Input::GitFailed { attempt, failure });
        world.pass(GIT_AGAIN_MS);
    }
    assert!(world.merge_asked().is_none(), "nobody asks it any more");
    assert!(stopped(&mut world, &hand) && stopped(&mut world, &idle));
    world.report(&idle, other.attempt, released());
    goes(&mut world, &idle);
    assert_eq!(exit(&world), None);
    // The merge stays open: the next start asks git what has become of it.
    world.pass(15_500);
    assert_eq!(exit(&world), Some(Ending::GitFailed));
    let mut world = world.restart_asking(&commit(0));
    assert_eq!(
        world.merge_asked().map(|(attempt, ..)| attempt),
        Some(attempt)
    );
}

#[test]
fn who_asks_a_third_time_does_not_want_to_wait() {
    let mut world = World::of(features(2));
    let (_, _, _) = busy_and_idle(&mut world);
    for _ in 0..3 {
        world.step(Input::Stop(StopMode::Now));
    }
    assert!(world.has(|effect| matches!(effect, Effect::Kill { .. })));
}

#[test]
fn a_drain_with_nothing_open_ends_at_once() {
    let mut world = World::new();
    world.step(Input::Stop(StopMode::Drain));
    assert_eq!(exit(&world), Some(Ending::Interrupted));
}

#[test]
fn the_crew_counts_who_is_there_already() {
    let mut world = World::with(quiet(), &[(Coding, 2), (Testing, 1)], features(9));
    assert_eq!(started(&mut world), [Coding, Coding, Testing]);
    for (kind, pid) in [(Coding, 100), (Coding, 101), (Testing, 102)] {
        let pid = Some(pid);
        world.step(Input::ChildStarted { kind, pid });
    }
    let hands = [world.worker(Coding, 100), world.worker(Coding, 101)];
    world.worker(Testing, 102);
    assert!(started(&mut world).is_empty());
    // Killed and started again: its workers live on and are counted.
    let wall = world.now.wall.0;
    let log = std::mem::take(&mut world.log);
    let crew = [(Coding, 2), (Testing, 1)];
    let mut world = World::on(log, quiet(), &crew, &commit(0), wall);
    assert!(started(&mut world).is_empty(), "they will come back");
    world.dies(&hands[0], None);
    assert_eq!(started(&mut world), [Coding]);
    // Nobody is started any more while it ends.
    world.step(Input::Stop(StopMode::Drain));
    world.dies(&hands[1], None);
    assert!(started(&mut world).is_empty());
}

#[test]
fn an_own_worker_that_is_still_starting_is_waited_for() {
    let mut world = World::with(quiet(), &[(Coding, 1)], features(9));
    assert_eq!(started(&mut world), [Coding]);
    world.step(Input::Stop(StopMode::Drain));
    assert_eq!(exit(&world), None);
    let pid = Some(100);
    world.step(Input::ChildStarted { kind: Coding, pid });
    let (connection, heard) = world.hello(Coding, 100, None, None);
    assert!(matches!(heard[..], [SchedulerMessage::Refused(_)]));
    world.close(connection);
    assert_eq!(exit(&world), None);
    world.step(Input::ChildEnded {
        pid: 100,
        end: ChildEnd::Well,
    });
    assert_eq!(exit(&world), Some(Ending::Interrupted));
}

#[test]
fn a_stopped_worker_is_replaced_in_the_crew() {
    let mut world = World::with(quiet(), &[(Coding, 1)], features(9));
    started(&mut world);
    let pid = Some(100);
    world.step(Input::ChildStarted { kind: Coding, pid });
    world.person(crewlog::model::command::PersonCommand::Pause {
        reason: String::new(),
    });
    world.coder(100);
    world.pass(140_000);
    assert!(world.has(|effect| *effect == Effect::EndChild { pid: 100 }));
    // It is adopted by the next scheduler, which cannot tell whose it is.
    let (log, wall) = (std::mem::take(&mut world.log), world.now.wall.0);
    let mut world = World::on(log, quiet(), &[(Coding, 1)], &commit(0), wall);
    world.pass(600_000);
    assert!(started(&mut world).is_empty(), "it may come back");
    world.pass(60_000);
    assert_eq!(started(&mut world), [Coding]);
    assert!(!world.has(|effect| matches!(effect, Effect::Kill { .. } | Effect::EndChild { .. })));
}

#[test]
fn a_worker_that_starts_when_the_others_have_been_killed_is_not_left_behind() {
    let mut world = World::with(quiet(), &[(Coding, 1)], features(1));
    assert_eq!(started(&mut world), [Coding]);
    // Leaving, and a user who does not want to wait for that.
    for _ in 0..2 {
        world.step(Input::Stop(StopMode::Drain));
    }
    let pid = Some(100);
    world.step(Input::ChildStarted { kind: Coding, pid });
    assert!(world.has(|effect| *effect == Effect::EndChild { pid: 100 }));
    assert_eq!(exit(&world), None, "its end is awaited");
    let end = ChildEnd::Well;
    world.step(Input::ChildEnded { pid: 100, end });
    assert_eq!(exit(&world), Some(Ending::Interrupted));
}

/// However slow the disk is and however often somebody asks, nobody ends before the workers that
/// it started are known to be gone, or have had their time since they were killed.
#[test]
fn nobody_ends_before_what_was_decided_about_its_workers_is_done() {
    // The other worker's pid, if its start was not left out; and whether the killed end at all, or
    // stay in the kernel's hands.
    let table = [
        (StopMode::Now, None, false),
        (StopMode::Now, Some(101), true),
        (StopMode::Now, Some(101), false),
        (StopMode::Drain, None, false),
        (StopMode::Drain, Some(101), true),
    ];
    for (mode, other, dies) in table {
        let case = format!("{mode:?}, then {other:?}, dies: {dies}");
        let mut world = World::with(quiet(), &[(Coding, 2)], features(9));
        assert!(world.machine.starts_workers());
        assert_eq!(started(&mut world), [Coding, Coding]);
        let pid = Some(100);
        world.step(Input::ChildStarted { kind: Coding, pid });
        world.slow_disk = true;
        for _ in 0..6 {
            world.step(Input::Stop(mode));
        }
        assert!(!world.machine.starts_workers(), "{case}");
        assert!(world.has(|effect| *effect == Effect::EndChild { pid: 100 }));
        world.pass(60_000);
        assert_eq!(exit(&world), None, "{case}: its kill waits for the disk");
        world.step(Input::Confirmed);
        world.pass(60_000);
        assert_eq!(exit(&world), None, "{case}: another one may have started");
        let (kind, pid) = (Coding, other);
        world.step(Input::ChildStarted { kind, pid });
        let Some(other) = other else {
            let ended = Some(Ending::Interrupted);
            assert_eq!(exit(&world), ended, "{case}: the killed one had its time");
            continue;
        };
        assert!(world.has(|effect| *effect == Effect::EndChild { pid: other }));
        world.pass(60_000);
        assert_eq!(exit(&world), None, "{case}: its kill waits for the disk");
        world.step(Input::Confirmed);
        world.pass(4_000);
        world.step(Input::Stop(mode));
        for pid in [100, other].into_iter().filter(|_| dies) {
            assert_eq!(exit(&world), None, "{case}: {pid} lives");
            let end = ChildEnd::Killed;
            world.step(Input::ChildEnded { pid, end });
        }
        if !dies {
            assert_eq!(exit(&world), None, "{case}: it may still go");
            world.pass(1_500);
        }
        assert_eq!(exit(&world), Some(Ending::Interrupted), "{case}");
    }
}
