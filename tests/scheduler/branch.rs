//! The branch in other hands: what somebody did to it is recorded, and lost work is work again.

use crewlog::model::branch::{BranchMove, NamedCommit};
use crewlog::model::config::{CHANGES_MAX, ConfigChange};
use crewlog::model::event::Event;
use crewlog::model::feature::Status;
use crewlog::model::ids::{CommitId, ContentHash, FeatureId};
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::{SchedulerMessage, WorkerMessage};
use crewlog::scheduler::machine::{Effect, Input, RunConfig};
use crewlog::scheduler::merge_call::{GIT_AGAIN_MS, HELD_LOOK_MS};
use crewlog::scheduler::ports::GitFailure;

use crate::kit::{World, commit, features, mergeable, process, rebase};

/// Two features of four, merged as commits 1 and 2, and a worker at the third.
fn two_merged() -> World {
    let mut world = World::of(features(4));
    let hand = world.coder(100);
    for number in 1..=2 {
        let job = world.job(&hand);
        let (onto, to) = (commit(number - 1), commit(number));
        let work = mergeable(&[job.features[0].id], &onto, &to);
        world.report(&hand, job.attempt, work);
        assert!(world.merge_asked().is_some());
        world.git_says(job.attempt, true, &to);
        world.heard(hand.connection);
        world.say(hand.connection, crewlog::protocol::WorkerMessage::Ready);
    }
    world
}

fn asked(world: &mut World) -> Option<(CommitId, CommitId, Vec<CommitId>)> {
    let mut asked = None;
    world.effects.retain(|effect| match effect {
        Effect::Explain { from, to, merges } => {
            asked = Some((from.clone(), to.clone(), merges.clone()));
            false
        }
        _ => true,
    });
    asked
}

fn named(number: u64) -> NamedCommit {
    NamedCommit::new(commit(number), "Ann", "by hand")
}

#[test]
fn a_rewound_branch_makes_its_features_work_again() {
    let world = two_merged();
    let mut world = world.restart_asking(&commit(1));
    let merges = vec![commit(1), commit(2)];
    let mut expected = merges.clone();
    expected.sort_unstable();
    assert_eq!(asked(&mut world), Some((commit(2), commit(1), expected)));
    let before = world.log.len();
    let moved = BranchMove {
        from: commit(2),
        to: commit(1),
        lost: vec![named(2)],
        lost_total: 1,
        gone: vec![commit(2)],
        ..BranchMove::default()
    };
    world.step(Input::Explained(Some(Box::new(moved))));
    assert_eq!(world.events(before)[..2], ["WorkLost", "BranchMoved"]);
    let state = world.machine.state();
    let status = |number| state.feature(FeatureId(number)).map(|it| it.status);
    assert_eq!(status(1), Some(Status::Passing));
    let lost = state.feature(FeatureId(2)).expect("it");
    assert!(lost.regressed);
    assert_eq!(
        (lost.failures, lost.regressions),
        (0, 0),
        "nobody's failure"
    );
    let broken = lost.words.broken.as_ref().expect("a reason");
    assert!(
        broken.reason.contains("is no longer on the branch"),
        "{broken:?}"
    );
    assert!(state.notices.moved.is_some());
}

#[test]
fn a_move_that_a_killed_scheduler_did_not_explain_is_explained_by_the_next_one() {
    let mut world = two_merged().restart_asking(&commit(1));
    let first = asked(&mut world);
    assert!(first.is_some());
    let mut world = world.restart_asking(&commit(1));
    assert_eq!(
        asked(&mut world),
        first,
        "its head is no news, and still nobody knows"
    );
    let moved = BranchMove {
        from: commit(2),
        to: commit(1),
        gone: vec![commit(2)],
        ..BranchMove::default()
    };
    world.step(Input::Explained(Some(Box::new(moved))));
    let mut world = world.restart_asking(&commit(1));
    assert_eq!(asked(&mut world), None);
}

#[test]
fn nothing_is_planned_before_it_is_known_what_was_lost() {
    let world = two_merged();
    let mut world = world.restart_asking(&commit(1));
    let hand = world.coder(200);
    assert!(world.heard(hand.connection).is_empty(), "no job yet");
    // git could not say: the run goes on, and tests prove what is there.
    world.step(Input::Explained(None));
    let heard = world.heard(hand.connection);
    assert!(
        matches!(heard.as_slice(), [SchedulerMessage::Job(_)]),
        "{heard:?}"
    );
}

#[test]
fn a_head_that_is_where_it_was_asks_nothing() {
    let world = two_merged();
    let mut world = world.restart_asking(&commit(2));
    assert_eq!(asked(&mut world), None);
}

#[test]
fn a_branch_that_moved_before_a_merge_is_explained() {
    let mut world = World::of(features(2));
    let hand = world.coder(100);
    let job = world.job(&hand);
    world.git_explains = false;
    let work = mergeable(&[job.features[0].id], &commit(0), &commit(1));
    world.report(&hand, job.attempt, work);
    assert!(world.merge_asked().is_some());
    world.git_says(job.attempt, false, &commit(9));
    assert_eq!(asked(&mut world), Some((commit(0), commit(9), vec![])));
    let before = world.log.len();
    let moved = BranchMove {
        from: commit(0),
        to: commit(9),
        added: vec![named(9)],
        added_total: 1,
        ..BranchMove::default()
    };
    world.step(Input::Explained(Some(Box::new(moved))));
    assert_eq!(world.events(before), ["BranchMoved"]);
    // One that built on our merge is named, too.
    let work = mergeable(&[job.features[0].id], &commit(9), &commit(10));
    world.report(&hand, job.attempt, work);
    assert!(world.merge_asked().is_some());
    world.git_says(job.attempt, true, &commit(11));
    assert_eq!(
        asked(&mut world),
        Some((commit(10), commit(11), vec![commit(10)]))
    );
}

#[test]
fn a_branch_that_is_checked_out_is_said_once_and_again_when_free() {
    let mut world = World::of(features(1));
    let hand = world.coder(100);
    let job = world.job(&hand);
    let attempt = job.attempt;
    let work = mergeable(&[job.features[0].id], &commit(0), &commit(1));
    world.report(&hand, attempt, work);
    assert!(world.merge_asked().is_some());
    let before = world.log.len();
    let checked_out = |at: &str| {
        let failure = GitFailure::CheckedOut { at: at.to_owned() };
        Input::GitFailed { attempt, failure }
    };
    for _ in 0..2 {
        world.step(checked_out("/home/ann/project"));
        assert!(world.merge_asked().is_none(), "it is looked at again later");
        world.pass(HELD_LOOK_MS);
        assert!(world.merge_asked().is_some());
    }
    assert_eq!(world.events(before), ["MergesHeld"]);
    assert_eq!(world.machine.state().notices.held, "/home/ann/project");
    // Free, and git fails for another reason.
    for _ in 0..2 {
        let failure = GitFailure::Failed { head: None };
        world.step(Input::GitFailed { attempt, failure });
        world.pass(GIT_AGAIN_MS);
        assert!(world.merge_asked().is_some());
    }
    assert_eq!(world.events(before), ["MergesHeld", "MergesHeld"]);
    // A scheduler that died meanwhile: the next one cannot start before the branch is free.
    world.step(checked_out("/x"));
    let world = world.restart(&commit(0));
    let last = world
        .log
        .iter()
        .rev()
        .find_map(|recorded| match &recorded.event {
            Event::MergesHeld(held) => Some(held.at.clone()),
            _ => None,
        });
    assert_eq!(last.as_deref(), Some(""));
}

#[test]
fn a_worker_that_is_told_something_else_is_refused_with_the_keys() {
    let mut world = World::of(features(1));
    let told = |content: u8, changes: Vec<ConfigChange>| RunConfig {
        content: ContentHash([content; 32]),
        changes,
        workers: "checks.keep_ignored = []\n".to_owned(),
    };
    let before = world.log.len();
    world.machine.record_config(world.now, told(1, Vec::new()));
    world.machine.record_config(world.now, told(1, Vec::new()));
    world
        .machine
        .record_config(world.now, told(2, vec![ConfigChange::default(); 99]));
    world.finish();
    assert_eq!(
        world.events(before),
        ["ConfigRecorded"; 2],
        "the same text once"
    );
    let state = world.machine.state();
    assert_eq!(state.notices.told, Some(ContentHash([2; 32])));
    assert_eq!(
        (state.notices.config.0, state.notices.config.1.len()),
        (99, CHANGES_MAX)
    );
    let hello = |config: &str| WorkerMessage::Hello {
        kind: WorkerKind::Coding,
        process: process(5),
        worker: None,
        holding: None,
        config: config.to_owned(),
    };
    let connection = world.open(5);
    world.say(connection, hello("checks.keep_ignored = [\"*\"]\n"));
    let heard = world.heard(connection);
    let [SchedulerMessage::Refused(problem)] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    assert!(
        problem.what.contains("checks.keep_ignored: [] -> [\"*\"]"),
        "{problem}"
    );
    let connection = world.open(5);
    world.say(connection, hello("checks.keep_ignored = []\n"));
    let heard = world.heard(connection);
    assert!(
        matches!(heard.as_slice(), [SchedulerMessage::Welcome { .. }]),
        "{heard:?}"
    );
}

/// A copy of the report of an earlier round arrives while the present one's work is merged. The
/// worker waits for an answer to the present one, and would ignore an order that answers the copy.
#[test]
fn a_copy_of_an_earlier_round_changes_no_answer() {
    let mut world = World::of(features(2));
    let hand = world.coder(100);
    let job = world.job(&hand);
    let (attempt, feature) = (job.attempt, job.features[0].id);
    let work = mergeable(&[feature], &commit(0), &commit(1));
    let first = world.report(&hand, attempt, work.clone());
    world.git_says(attempt, false, &commit(7));
    let order = rebase(first, attempt, commit(7));
    assert_eq!(world.heard(hand.connection), [order]);
    let again = mergeable(&[feature], &commit(7), &commit(8));
    let second = world.report(&hand, attempt, again);
    world.report_as(&hand, attempt, work, first);
    world.git_says(attempt, false, &commit(9));
    let order = rebase(second, attempt, commit(9));
    assert_eq!(world.heard(hand.connection), [order]);
}
