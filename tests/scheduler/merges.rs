//! Finished work on its way to the branch.

use crewlog::model::command::PersonCommand;
use crewlog::model::event::Event;
use crewlog::model::evidence::Usage;
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, FeatureId};
use crewlog::model::report::{AttemptReport, Report};
use crewlog::protocol::{SchedulerMessage, ToClient, Verdict, WorkerMessage};

use crate::kit::{Hand, World, commit, failed, features, mergeable, rebase, released, spec};

fn reported(heard: &[SchedulerMessage]) -> Vec<(AttemptId, Verdict)> {
    heard
        .iter()
        .map(|message| match message {
            SchedulerMessage::Reported {
                attempt, verdict, ..
            } => (*attempt, *verdict),
            other => panic!("not an answer: {other:?}"),
        })
        .collect()
}

/// Coding workers with a job each.
fn at_work<const N: usize>(world: &mut World) -> [(Hand, AttemptId, FeatureId); N] {
    std::array::from_fn(|at| {
        let hand = world.coder(100 + at as u32);
        let job = world.job(&hand);
        (hand, job.attempt, job.features[0].id)
    })
}

#[test]
fn a_job_is_durable_before_it_is_sent_and_its_work_before_git_moves() {
    let mut world = World::of(features(1));
    let [(hand, attempt, feature)] = at_work::<1>(&mut world);
    let before = world.log.len();
    assert_eq!(
        attempt.0 as usize, before,
        "the last event is AttemptStarted"
    );
    world.report(
        &hand,
        attempt,
        mergeable(&[feature], &commit(0), &commit(1)),
    );
    assert_eq!(world.events(before), ["MergeStarted"]);
    assert!(world.heard(hand.connection).is_empty(), "not settled yet");
    assert_eq!(world.merge_asked(), Some((attempt, commit(0), commit(1))));
    world.finish();
    assert_eq!(world.merge_asked(), None, "git is asked once");
    world.git_says(attempt, true, &commit(1));
    assert_eq!(world.events(before + 1), ["FeaturePassed", "RunFinished"]);
    let heard = world.heard(hand.connection);
    let [
        SchedulerMessage::Reported { .. },
        SchedulerMessage::Drain { .. },
    ] = heard.as_slice()
    else {
        panic!("{heard:?}");
    };
    assert_eq!(reported(&heard[..1]), [(attempt, Verdict::Passed)]);
}

#[test]
fn a_report_is_answered_as_the_first_time() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    let work = mergeable(&[feature], &commit(0), &commit(1));
    let command = world.report(&hand, attempt, work.clone());
    let before = world.log.len();
    world.report_as(&hand, attempt, work.clone(), command);
    assert!(
        world.heard(hand.connection).is_empty(),
        "git has not answered"
    );
    assert!(world.merge_asked().is_some());
    world.git_says(attempt, true, &commit(1));
    let first = world.heard(hand.connection);
    assert_eq!(reported(&first), [(attempt, Verdict::Passed)]);
    // The answer was lost with the connection.
    let (again, _) = world.hello(
        crewlog::model::settings::WorkerKind::Coding,
        hand.pid,
        Some(hand.worker),
        Some(attempt),
    );
    let hand = Hand {
        connection: again,
        ..hand
    };
    world.report_as(&hand, attempt, work.clone(), command);
    let second = world.heard(hand.connection);
    assert_eq!(reported(&second), [(attempt, Verdict::Passed)]);
    assert_eq!(world.events(before), ["FeaturePassed"]);
    // Another report for an attempt that is over is late.
    world.report(&hand, attempt, failed(&[feature]));
    let late = world.heard(hand.connection);
    assert_eq!(reported(&late), [(attempt, Verdict::Late)]);
    assert_eq!(world.events(before + 1), ["LateResultIgnored"]);
}

#[test]
fn a_late_report_is_late_however_often_it_is_repeated() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    world.report(&hand, attempt, failed(&[feature]));
    world.heard(hand.connection);
    let late = world.report(&hand, attempt, failed(&[feature]));
    let first = world.heard(hand.connection);
    assert_eq!(reported(&first), [(attempt, Verdict::Late)]);
    let before = world.log.len();
    world.report_as(&hand, attempt, failed(&[feature]), late);
    let second = world.heard(hand.connection);
    assert_eq!(reported(&second), [(attempt, Verdict::Late)]);
    assert!(world.events(before).is_empty());
}

#[test]
fn who_stands_on_an_old_head_rebases_and_gets_its_turn_after_three_rounds() {
    let mut world = World::of(features(6));
    world.settings.max_concurrency = 8;
    let settings = world.settings.clone();
    world.person(PersonCommand::change_to(&settings));
    let [(slow, attempt, feature), others @ ..] = at_work::<6>(&mut world);
    let mut head = 0;
    let mut others = others.into_iter();
    for _ in 0..3 {
        // Somebody is faster each time.
        let (hand, its, theirs) = others.next().expect("six");
        let onto = commit(head);
        head += 1;
        let to = commit(head);
        world.report(&hand, its, mergeable(&[theirs], &onto, &to));
        world.merge_asked().expect("a merge");
        world.git_says(its, true, &to);
        assert_eq!(
            reported(&world.heard(hand.connection)),
            [(its, Verdict::Passed)]
        );
        let before = world.log.len();
        let command = world.report(&slow, attempt, mergeable(&[feature], &onto, &commit(50)));
        let rebase = rebase(command, attempt, to);
        assert_eq!(world.heard(slow.connection), [rebase]);
        assert!(world.events(before).is_empty(), "a rebase is no event");
    }
    // Now it has the turn: the next one waits although the head is where it stands.
    let (hand, its, theirs) = others.next().expect("six");
    let command = world.report(&hand, its, mergeable(&[theirs], &commit(3), &commit(60)));
    assert_eq!(world.merge_asked(), None);
    world.report(
        &slow,
        attempt,
        mergeable(&[feature], &commit(3), &commit(4)),
    );
    assert_eq!(world.merge_asked(), Some((attempt, commit(3), commit(4))));
    world.git_says(attempt, true, &commit(4));
    let rebase = rebase(command, its, commit(4));
    assert_eq!(world.heard(hand.connection), [rebase]);
}

#[test]
fn the_turn_of_one_that_goes_passes_on() {
    for how in ["fails", "is given back", "dies", "is skipped"] {
        let mut world = World::of(features(2));
        world.settings.max_concurrency = 8;
        let settings = world.settings.clone();
        world.person(PersonCommand::change_to(&settings));
        let [(slow, attempt, feature), (hand, its, theirs)] = at_work::<2>(&mut world);
        for _ in 0..3 {
            world.report(
                &slow,
                attempt,
                mergeable(&[feature], &commit(9), &commit(50)),
            );
        }
        world.report(&hand, its, mergeable(&[theirs], &commit(0), &commit(1)));
        assert_eq!(world.merge_asked(), None, "{how}");
        match how {
            "fails" => drop(world.report(&slow, attempt, failed(&[feature]))),
            "is given back" => drop(world.report(&slow, attempt, released())),
            "dies" => world.dies(&slow, None),
            _ => {
                let reason = "not now".to_owned();
                drop(world.person(PersonCommand::Skip { feature, reason }));
            }
        }
        assert_eq!(
            world.merge_asked(),
            Some((its, commit(0), commit(1))),
            "{how}"
        );
    }
}

#[test]
fn a_branch_that_somebody_else_moved_is_rebased_onto() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    let work = mergeable(&[feature], &commit(0), &commit(1));
    let command = world.report(&hand, attempt, work.clone());
    let before = world.log.len();
    world.git_says(attempt, false, &commit(77));
    assert_eq!(world.events(before), ["MergeAborted"]);
    assert_eq!(world.machine.state().head, commit(77));
    let rebase = rebase(command, attempt, commit(77));
    assert_eq!(world.heard(hand.connection), std::slice::from_ref(&rebase));
    // The order was lost, so the worker says the same again; it must not wait for ever.
    world.report_as(&hand, attempt, work, command);
    assert_eq!(world.heard(hand.connection), [rebase]);
    world.effects.clear();
    world.report(
        &hand,
        attempt,
        mergeable(&[feature], &commit(77), &commit(78)),
    );
    assert_eq!(world.merge_asked(), Some((attempt, commit(77), commit(78))));
    // And somebody builds on the merge before git answers.
    world.git_says(attempt, true, &commit(90));
    assert_eq!(
        reported(&world.heard(hand.connection)),
        [(attempt, Verdict::Passed)]
    );
    assert_eq!(world.machine.state().head, commit(90));
    assert_eq!(
        world.events(before + 1),
        ["MergeStarted", "FeaturePassed", "HeadMoved"]
    );
}

/// A worker that has a merge under way and reports something else, because an old answer misled it
/// or it was told to stop, is not answered before git has decided.
#[test]
fn what_a_worker_says_while_its_work_is_merged_waits_for_git() {
    for merged in [true, false] {
        let mut world = World::of(features(2));
        let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
        let work = mergeable(&[feature], &commit(0), &commit(1));
        let first = world.report(&hand, attempt, work);
        assert!(world.merge_asked().is_some());
        let before = world.log.len();
        let second = world.report(&hand, attempt, released());
        assert_eq!(world.heard(hand.connection), []);
        assert!(world.events(before).is_empty(), "git decides");
        let head = if merged { commit(1) } else { commit(7) };
        world.git_says(attempt, merged, &head);
        let heard = world.heard(hand.connection);
        if merged {
            let both = [(attempt, Verdict::Passed), (attempt, Verdict::Late)];
            assert_eq!(reported(&heard), both);
            world.report_as(&hand, attempt, released(), second);
            let again = reported(&world.heard(hand.connection));
            assert_eq!(again, [(attempt, Verdict::Late)], "the same answer again");
        } else {
            assert_eq!(heard[0], rebase(first, attempt, head));
            assert_eq!(reported(&heard[1..]), [(attempt, Verdict::Recorded)]);
        }
    }
}

#[test]
fn commits_that_git_never_takes_are_a_failure_in_the_end() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    let before = world.log.len();
    for round in 1..=3 {
        let work = mergeable(&[feature], &commit(0), &commit(666));
        let command = world.report(&hand, attempt, work);
        assert!(world.merge_asked().is_some(), "round {round}");
        world.git_says(attempt, false, &commit(0));
        let heard = world.heard(hand.connection);
        if round < 3 {
            assert_eq!(heard, [rebase(command, attempt, commit(0))]);
        } else {
            assert_eq!(reported(&heard), [(attempt, Verdict::Recorded)]);
        }
    }
    let merge = ["MergeStarted", "MergeAborted"];
    let expected: Vec<_> = merge.iter().cycle().take(6).copied().collect();
    assert_eq!(world.events(before)[..6], expected);
    assert_eq!(world.events(before)[6], "FeatureFailed");
}

#[test]
fn an_answer_of_git_that_nobody_asked_for_changes_nothing() {
    let mut world = World::of(features(1));
    let [(_, attempt, _)] = at_work::<1>(&mut world);
    let before = world.log.len();
    world.git_says(attempt, true, &commit(1));
    world.git_says(AttemptId(999), false, &commit(1));
    assert!(world.events(before).is_empty());
}

#[test]
fn a_finished_attempt_that_is_called_off_in_the_queue_is_answered_at_once() {
    let mut world = World::of(features(3));
    let [(first, merging, one), (second, waiting, two), _] = at_work::<3>(&mut world);
    world.report(&first, merging, mergeable(&[one], &commit(0), &commit(1)));
    world.report(&second, waiting, mergeable(&[two], &commit(0), &commit(2)));
    assert!(world.heard(second.connection).is_empty(), "it waits");
    let before = world.log.len();
    let reason = "not wanted".to_owned();
    let feature = two;
    world.person(PersonCommand::Skip { feature, reason });
    assert_eq!(
        world.events(before),
        ["JobCancelled", "FeatureSkipped", "AttemptReleased"]
    );
    assert_eq!(
        reported(&world.heard(second.connection)),
        [(waiting, Verdict::Recorded)]
    );
    // The merge that was open goes its way.
    world.git_says(merging, true, &commit(1));
    assert_eq!(
        reported(&world.heard(first.connection)),
        [(merging, Verdict::Passed)]
    );
}

#[test]
fn what_is_being_merged_cannot_be_called_off() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    world.report(
        &hand,
        attempt,
        mergeable(&[feature], &commit(0), &commit(1)),
    );
    let reason = String::new();
    let answer = world.person(PersonCommand::Skip { feature, reason });
    assert!(matches!(answer, ToClient::Rejected(_)), "{answer:?}");
    let mut edited = spec("another name", &[]);
    edited.description = "in other words".to_owned();
    let features = vec![(feature, edited)];
    let update = true;
    world.person(PersonCommand::Import { features, update });
    world.git_says(attempt, true, &commit(1));
    assert_eq!(
        reported(&world.heard(hand.connection)),
        [(attempt, Verdict::Passed)]
    );
}

#[test]
fn a_worker_that_dies_while_its_merge_is_open_leaves_when_git_has_answered() {
    for merged in [true, false] {
        let mut world = World::of(features(2));
        let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
        world.report(
            &hand,
            attempt,
            mergeable(&[feature], &commit(0), &commit(1)),
        );
        let before = world.log.len();
        world.dies(&hand, None);
        assert!(world.events(before).is_empty(), "git decides");
        world.git_says(attempt, merged, &commit(if merged { 1 } else { 5 }));
        let status = world.machine.state().feature(feature).expect("it").status;
        if merged {
            assert_eq!(world.events(before), ["FeaturePassed", "WorkerLeft"]);
            assert_eq!(status, Status::Passing);
        } else {
            assert_eq!(
                world.events(before),
                ["MergeAborted", "AttemptLost", "WorkerLeft"]
            );
            assert_eq!(status, Status::Pending);
        }
    }
}

#[test]
fn what_a_dead_worker_had_written_down_counts_as_reported() {
    let mut world = World::of(features(3));
    let [(first, merging, one), (second, _, two), (third, _, three)] = at_work::<3>(&mut world);
    world.report(&first, merging, mergeable(&[one], &commit(0), &commit(1)));
    let before = world.log.len();
    world.dies(&second, Some(failed(&[two])));
    assert_eq!(world.events(before)[..2], ["FeatureFailed", "WorkerLeft"]);
    // Finished work waits for its turn, also without its worker.
    world.dies(&third, Some(mergeable(&[three], &commit(1), &commit(2))));
    world.merge_asked();
    world.git_says(merging, true, &commit(1));
    let (attempt, onto, to) = world.merge_asked().expect("its merge");
    assert_eq!((onto, to), (commit(1), commit(2)));
    world.git_says(attempt, true, &commit(2));
    let state = world.machine.state();
    assert_eq!(state.feature(three).expect("it").status, Status::Passing);
    assert!(!state.workers().contains_key(&third.worker));
}

#[test]
fn a_dead_workers_work_on_an_old_head_is_done_again() {
    let mut world = World::of(features(2));
    let [(hand, _, feature), _] = at_work::<2>(&mut world);
    let before = world.log.len();
    world.dies(&hand, Some(mergeable(&[feature], &commit(9), &commit(10))));
    assert_eq!(world.events(before), ["AttemptLost", "WorkerLeft"]);
}

#[test]
fn a_report_too_long_for_the_log_is_a_failure() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    let Report::Mergeable(mut work) = mergeable(&[feature], &commit(0), &commit(1)) else {
        unreachable!();
    };
    work.touched = vec!["x".repeat(4_000); 512];
    let before = world.log.len();
    world.report(&hand, attempt, Report::Mergeable(work));
    assert_eq!(world.events(before), ["FeatureFailed"]);
    assert_eq!(
        reported(&world.heard(hand.connection)),
        [(attempt, Verdict::Recorded)]
    );
}

#[test]
fn what_a_lost_or_late_attempt_used_is_counted_once() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    let used = |cost_microusd| Usage {
        cost_microusd,
        ..Usage::default()
    };
    let work = mergeable(&[feature], &commit(9), &commit(10));
    let say = |world: &mut World, connection, number, usage| {
        let (command, report) = (crate::kit::command(number), work.clone());
        let said = WorkerMessage::Report(AttemptReport {
            command,
            attempt,
            report,
            usage,
            workless: false,
        });
        world.say(connection, said);
    };
    let before = world.log.len();
    for _ in 0..2 {
        // The head is elsewhere, and its order to rebase gets lost.
        say(&mut world, hand.connection, 80_001, used(30));
    }
    assert_eq!(world.events(before), ["UsageRecorded"]);
    // Another worker speaks for it, who knows more.
    let heir = world.worker(crewlog::model::settings::WorkerKind::Testing, 300);
    say(&mut world, heir.connection, 80_002, used(40));
    world.dies(&hand, None);
    let before = world.log.len();
    say(&mut world, heir.connection, 80_003, used(45));
    assert_eq!(world.events(before), ["UsageRecorded", "LateResultIgnored"]);
    say(&mut world, heir.connection, 80_003, used(45));
    assert_eq!(world.machine.state().spent, used(45));
    assert_eq!(
        world.count(|event| matches!(event, Event::AttemptLost(_))),
        1
    );
}

/// The worker may be at its rebase, in a step that never ends: only an open attempt has an end.
#[test]
fn an_earlier_rounds_report_of_a_job_that_was_called_off_ends_nothing() {
    let mut world = World::of(features(2));
    let [(hand, attempt, feature), _] = at_work::<2>(&mut world);
    let work = mergeable(&[feature], &commit(0), &commit(1));
    let command = world.report(&hand, attempt, work.clone());
    world.git_says(attempt, false, &commit(77));
    let reason = "not wanted".to_owned();
    world.person(PersonCommand::Skip { feature, reason });
    world.heard(hand.connection);
    let before = world.log.len();
    world.report_as(&hand, attempt, work, command);
    assert!(
        world.events(before).is_empty(),
        "{:?}",
        world.events(before)
    );
    let heard = world.heard(hand.connection);
    assert!(
        matches!(heard[..], [SchedulerMessage::Cancel { attempt: its, .. }] if its == attempt),
        "{heard:?}"
    );
    world.report(&hand, attempt, released());
    assert_eq!(world.events(before), ["AttemptReleased"]);
}
