//! A scheduler that starts on what another one has left.

use crewlog::model::event::{Event, RunOutcome};
use crewlog::model::feature::Status;
use crewlog::model::ids::{CommitId, FeatureId, Timestamp};
use crewlog::model::report::{AttemptReport, Report, TestVerdict};
use crewlog::model::settings::WorkerKind::{self, Coding, Testing};
use crewlog::protocol::{SchedulerMessage, Verdict, WorkerMessage};
use crewlog::scheduler::machine::{Effect, Ending, Input};

use crate::kit::{
    Hand, World, command, commit, evidence, failed, features, fold, mergeable, quiet, rebase, spec,
};

fn back(
    world: &mut World,
    hand: &Hand,
    holding: Option<crewlog::model::ids::AttemptId>,
) -> (Hand, Vec<SchedulerMessage>) {
    let (connection, heard) = world.hello(Coding, hand.pid, Some(hand.worker), holding);
    let hand = Hand {
        connection,
        ..hand.clone()
    };
    (hand, heard)
}

#[test]
fn a_session_survives_a_restart() {
    let mut world = World::of(features(2));
    let hand = world.coder(100);
    let job = world.job(&hand);
    let mut world = world.restart(&commit(0));
    assert!(
        world
            .has(|effect| matches!(effect, Effect::Watch { worker, .. } if *worker == hand.worker))
    );
    let before = world.log.len();
    world.pass(300_000);
    assert!(world.events(before).is_empty(), "its process lives");
    let (hand, heard) = back(&mut world, &hand, Some(job.attempt));
    assert!(matches!(
        heard[..],
        [SchedulerMessage::Welcome {
            holding_accepted: true,
            ..
        }]
    ));
    let work = mergeable(&[job.features[0].id], &commit(0), &commit(1));
    world.report(&hand, job.attempt, work);
    assert_eq!(world.events(before), ["MergeStarted"]);
}

#[test]
fn a_worker_that_died_meanwhile_loses_its_attempt_or_what_it_wrote_down_counts() {
    for written in [false, true] {
        let mut world = World::of(features(2));
        let hand = world.coder(100);
        let job = world.job(&hand);
        let mut world = world.restart(&commit(0));
        let before = world.log.len();
        world.dies(&hand, written.then(|| failed(&[job.features[0].id])));
        let expected = if written {
            "FeatureFailed"
        } else {
            "AttemptLost"
        };
        assert_eq!(world.events(before), [expected, "WorkerLeft"]);
    }
}

#[test]
fn an_open_merge_is_settled_whatever_its_worker_does() {
    for worker in ["alive", "dead", "dead and nothing written"] {
        for merged in [true, false] {
            let mut world = World::of(features(2));
            let hand = world.coder(100);
            let job = world.job(&hand);
            let feature = job.features[0].id;
            let work = mergeable(&[feature], &commit(0), &commit(1));
            let command = world.report(&hand, job.attempt, work.clone());
            let head = commit(if merged { 1 } else { 5 });
            // Killed before or after git moved the branch.
            let mut world = world.restart(&head);
            let before = world.log.len();
            assert_eq!(
                world.merge_asked(),
                Some((job.attempt, commit(0), commit(1)))
            );
            assert_eq!(world.machine.state().head, commit(0), "git's answer tells");
            let hand = match worker {
                "alive" => back(&mut world, &hand, Some(job.attempt)).0,
                "dead" => {
                    let worker = hand.worker;
                    world.step(Input::Died { worker });
                    let usage = Default::default();
                    let report = AttemptReport {
                        command,
                        attempt: job.attempt,
                        report: work.clone(),
                        usage,
                        workless: false,
                    };
                    let report = Some(Box::new(report));
                    world.step(Input::CleanedUp { worker, report });
                    hand
                }
                _ => {
                    world.dies(&hand, None);
                    hand
                }
            };
            if worker == "alive" {
                // It repeats its report; before git's answer or after it is all the same.
                world.report_as(&hand, job.attempt, work, command);
                assert!(world.heard(hand.connection).is_empty());
            }
            world.git_says(job.attempt, merged, &head);
            let status = world.machine.state().feature(feature).expect("it").status;
            let events = world.events(before);
            match (worker, merged) {
                ("alive", true) => {
                    assert_eq!(events, ["FeaturePassed"]);
                    let heard = world.heard(hand.connection);
                    assert!(matches!(
                        heard[..],
                        [SchedulerMessage::Reported {
                            verdict: Verdict::Passed,
                            ..
                        }]
                    ));
                }
                ("alive", false) => {
                    assert_eq!(events, ["MergeAborted"]);
                    let rebase = rebase(command, job.attempt, head);
                    assert_eq!(world.heard(hand.connection), [rebase]);
                    assert_eq!(status, Status::Running);
                }
                (_, true) => assert_eq!(events, ["FeaturePassed", "WorkerLeft"]),
                (_, false) => {
                    assert_eq!(events, ["MergeAborted", "AttemptLost", "WorkerLeft"]);
                    assert_eq!(status, Status::Pending);
                }
            }
            assert_eq!(status == Status::Passing, merged, "{worker}");
        }
    }
}

#[test]
fn a_branch_that_moved_meanwhile_is_noted() {
    let world = World::of(features(1));
    let before = world.log.len();
    let world = world.restart(&commit(9));
    assert_eq!(world.events(before), ["HeadMoved"]);
    assert_eq!(world.machine.state().head, commit(9));
}

#[test]
fn a_clock_that_stands_earlier_than_the_log_does_no_harm() {
    let mut world = World::of(features(2));
    let hand = world.coder(100);
    let job = world.job(&hand);
    let log = std::mem::take(&mut world.log);
    let mut world = World::on(log, quiet(), &[], &commit(0), 5);
    let (hand, _) = back(&mut world, &hand, Some(job.attempt));
    world.report(&hand, job.attempt, failed(&[job.features[0].id]));
    world.say(hand.connection, WorkerMessage::Ready);
    world.pass(2_000_000);
    assert!(world.machine.state().sequence.0 > 8);
}

#[test]
fn waits_of_any_length_do_not_overflow() {
    for until in [u64::MAX - 1, u64::MAX, 1] {
        let mut world = World::of(features(1));
        let hand = world.coder(100);
        let job = world.job(&hand);
        let kind = crewlog::model::evidence::FailureKind::ProviderLimited;
        let failure = crewlog::model::evidence::Failure::new(kind, "later");
        let report = Report::Failed {
            failures: vec![(job.features[0].id, failure)],
            limited_until: Some(Timestamp(until)),
        };
        world.report(&hand, job.attempt, report);
        world.say(hand.connection, WorkerMessage::Ready);
        world.pass(100_000);
    }
}

/// A world whose workers do all jobs at once, until the run is over. `pick` says what a testing
/// or coding job comes to.
fn run_to_the_end(world: &mut World, head: &mut CommitId) -> Ending {
    let mut pid = 1_000;
    let mut next_commit = 1_000;
    for _ in 0..400 {
        if let Some((attempt, onto, to)) = world.merge_asked() {
            let merged = *head == onto || *head == to;
            if merged {
                *head = to;
            }
            let head = head.clone();
            world.git_says(attempt, merged, &head);
            continue;
        }
        let watched = world.effects.iter().find_map(|effect| match effect {
            Effect::Watch { worker, process } => Some((*worker, process.pid)),
            _ => None,
        });
        if let Some((worker, pid)) = watched {
            world.effects.retain(
                |effect| !matches!(effect, Effect::Watch { worker: its, .. } if *its == worker),
            );
            if !(1_000..5_000).contains(&pid) {
                // Of an earlier life: dead.
                world.step(Input::Died { worker });
            }
            continue;
        }
        let reap = world.effects.iter().find_map(|effect| match effect {
            Effect::CleanUpAttempt { worker, .. } => Some(*worker),
            _ => None,
        });
        if let Some(worker) = reap {
            world
                .effects
                .retain(|effect| !matches!(effect, Effect::CleanUpAttempt { .. }));
            world.step(Input::CleanedUp {
                worker,
                report: None,
            });
            continue;
        }
        if let Some(ending) = world.effects.iter().find_map(|effect| match effect {
            Effect::Exit(ending) => Some(*ending),
            _ => None,
        }) {
            return ending;
        }
        // Who had to rebase is not there any more.
        let state = world.machine.state();
        let stuck = state
            .workers()
            .iter()
            .find(|(_, known)| known.attempt.is_some());
        if let Some((&worker, _)) = stuck {
            world.step(Input::Died { worker });
            continue;
        }
        for kind in [Coding, Testing] {
            pid += 1;
            one_job(world, kind, pid, head, &mut next_commit);
        }
        world.pass(1_000);
    }
    panic!("it does not end: {:?}", world.events(0));
}

/// A worker comes, does a job if there is one, and goes.
fn one_job(world: &mut World, kind: WorkerKind, pid: u32, head: &CommitId, next: &mut u64) {
    let (connection, heard) = world.hello(kind, pid, None, None);
    let [SchedulerMessage::Welcome { worker, .. }, ..] = heard[..] else {
        return;
    };
    let hand = Hand {
        connection,
        pid,
        worker,
    };
    world.say(connection, WorkerMessage::Ready);
    let heard = world.heard(connection);
    if let [SchedulerMessage::Job(job)] = &heard[..] {
        let ids: Vec<FeatureId> = job.features.iter().map(|feature| feature.id).collect();
        *next += 1;
        let report = match kind {
            Coding => mergeable(&ids, head, &commit(*next)),
            Testing => Report::Tested {
                verdicts: ids
                    .iter()
                    .map(|&id| (id, TestVerdict::Passed(evidence(&job.base))))
                    .collect(),
                limited_until: None,
            },
        };
        world.report(&hand, job.attempt, report);
    }
    world.close(connection);
    if world
        .machine
        .state()
        .workers()
        .get(&worker)
        .is_some_and(|known| known.attempt.is_none())
    {
        world.step(Input::Died { worker });
    }
}

/// A run in which everything happens: failures, a lost worker, a skipped feature, a moved branch.
fn eventful() -> World {
    let mut settings = quiet();
    settings.testing = 1;
    settings.batch_size = 2;
    settings.max_attempts = 2;
    let mut backlog = features(5);
    backlog.push((FeatureId(6), spec("last", &[1, 2])));
    let mut world = World::with(settings, &[], backlog);
    let hands = [world.coder(100), world.coder(101)];
    let jobs = [world.job(&hands[0]), world.job(&hands[1])];
    let ids =
        |at: usize| -> Vec<FeatureId> { jobs[at].features.iter().map(|one| one.id).collect() };
    world.report(
        &hands[0],
        jobs[0].attempt,
        mergeable(&ids(0), &commit(0), &commit(1)),
    );
    world.git_says(jobs[0].attempt, true, &commit(1));
    world.report(&hands[1], jobs[1].attempt, failed(&ids(1)));
    world.say(hands[1].connection, WorkerMessage::Ready);
    world.pass(10);
    world.heard(hands[1].connection);
    world.dies(&hands[1], None);
    let feature = FeatureId(3);
    let reason = "no".to_owned();
    world.person(crewlog::model::command::PersonCommand::Skip { feature, reason });
    world
        .effects
        .retain(|effect| !matches!(effect, Effect::Merge { .. }));
    world
}

#[test]
fn a_scheduler_started_on_any_prefix_of_a_log_finishes_the_run() {
    let mut world = eventful();
    let mut head = commit(1);
    world.step(Input::Died {
        worker: crewlog::model::ids::WorkerId(0),
    });
    let ending = run_to_the_end(&mut world, &mut head);
    let outcome = |ending| matches!(ending, Ending::Finished(_));
    assert!(outcome(ending), "{ending:?}");
    let whole = world.log.clone();
    assert!(whole.len() > 40, "an eventful run: {:?}", world.events(0));
    for end in 0..whole.len() {
        let prefix = whole[..end].to_vec();
        let state = fold(&prefix);
        // git is where the log says, or one merge further.
        let open = state.open_merge().map(|merge| merge.commit.clone());
        for moved in [false, true] {
            let mut head = match (&open, moved) {
                (Some(to), true) => to.clone(),
                (None, true) => continue,
                _ if state.head.is_none() => commit(0),
                _ => state.head.clone(),
            };
            let mut world = World::on(prefix.clone(), whole_settings(), &[], &head, 9_000_000);
            let ending = run_to_the_end(&mut world, &mut head);
            assert!(outcome(ending), "prefix {end}: {ending:?}");
            merged_once(&world, end);
        }
    }
}

fn whole_settings() -> crewlog::model::settings::Settings {
    let mut settings = quiet();
    settings.testing = 1;
    settings.batch_size = 2;
    settings.max_attempts = 2;
    settings
}

fn merged_once(world: &World, prefix: usize) {
    for feature in world.machine.state().features() {
        let passes = world
            .count(|event| matches!(event, Event::FeaturePassed(it) if it.feature == feature.id));
        assert!(
            passes <= 1,
            "prefix {prefix}: {} passed {passes} times",
            feature.id
        );
        let done = matches!(
            feature.status,
            Status::Passing | Status::Skipped | Status::Parked | Status::Pending
        );
        assert!(
            done,
            "prefix {prefix}: {} is {}",
            feature.id,
            feature.status.as_str()
        );
    }
}

#[test]
fn half_a_report_in_the_log_is_made_whole_when_it_is_repeated() {
    // A job of two features passes without a commit; the log ends between the two.
    let mut settings = quiet();
    settings.batch_size = 2;
    let mut world = World::with(settings.clone(), &[], features(2));
    let hand = world.coder(100);
    let job = world.job(&hand);
    let ids: Vec<FeatureId> = job.features.iter().map(|feature| feature.id).collect();
    let report = mergeable(&ids, &commit(0), &commit(0));
    let before = world.log.len();
    world.report_as(&hand, job.attempt, report.clone(), command(77));
    assert_eq!(
        world.events(before)[..2],
        ["FeaturePassed", "FeaturePassed"]
    );
    let log = world.log[..before + 1].to_vec();
    let mut world = World::on(log, settings, &[], &commit(0), 9_000_000);
    let (hand, _) = back(&mut world, &hand, Some(job.attempt));
    world.report_as(&hand, job.attempt, report, command(77));
    let heard = world.heard(hand.connection);
    assert!(
        matches!(
            heard[0],
            SchedulerMessage::Reported {
                verdict: Verdict::Passed,
                ..
            }
        ),
        "{heard:?}"
    );
    let state = world.machine.state();
    assert_eq!(state.count(Status::Passing), 2);
    let (outcome, _) = state
        .run
        .as_ref()
        .and_then(|run| run.finished.clone())
        .expect("over");
    assert_eq!(outcome, RunOutcome::AllPassing);
}
