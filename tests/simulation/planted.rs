//! The test of the tests: bugs that are planted have to be found, each by the observer whose
//! promise it breaks, and within so many seeds.
//!
//! These are seeds of `nothing_is_lost_and_every_run_ends`, which plays them without any bug.

use std::panic;
use std::process::Command;
use std::sync::Mutex;

use super::play::{explain, play};
use super::scenario::Scenario;
use super::seeds::SEEDS;
use crate::planted::{Bug, MARK, with};

/// A bug that is found so rarely is as good as not found.
const SEEDS_MAX: u64 = 200;

const _: () = assert!(SEEDS_MAX <= SEEDS);

const ENDS: &str = "the run ends";
const TROUBLES: &str = "a trouble of the machine costs nothing";
const STARTS: &str = "no agent is started for nothing";

/// Who notices which bug. Some break several promises; then whichever is seen first will do.
const TABLE: [(Bug, &[&str]); 28] = [
    (
        Bug::NoTokenCheck,
        &[
            "an accepted outcome came from the holder",
            "what was used is counted once",
        ],
    ),
    (Bug::AcknowledgeBeforeSync, &["an acknowledged event stays"]),
    (Bug::DependencyIgnored, &["dependencies are respected"]),
    (Bug::LostNeverDetected, &[ENDS]),
    (Bug::DuplicateApplied, &["an acknowledged event stays"]),
    (Bug::RequeueDoubled, &["lost means gone", "nothing panics"]),
    (
        Bug::SnapshotOffByOne,
        &["folding again gives the same state"],
    ),
    (Bug::CycleAccepted, &["dependencies are respected"]),
    (Bug::RetryNotCounted, &["tries are counted"]),
    (Bug::TestAfterEnd, &[STARTS]),
    (Bug::PauseIgnored, &[STARTS]),
    (Bug::BudgetIgnored, &[STARTS]),
    (Bug::TroubleIgnored, &[TROUBLES]),
    (
        Bug::ProviderIgnored,
        &["an outage costs few sessions", TROUBLES, STARTS],
    ),
    (Bug::TroubleCounted, &[TROUBLES]),
    (Bug::AgentObeyed, &["agents steer nothing"]),
    (Bug::AgentHired, &["agents steer nothing"]),
    (
        Bug::LostWorkPasses,
        &["what was taken off the branch is work again"],
    ),
    (Bug::MergeForgotten, &["a feature is merged once"]),
    (Bug::FailedChecksPass, &["a pass is evidence"]),
    (Bug::AgentsOutliveTheirAttempt, &["lost means gone"]),
    (Bug::LateAnsweredOtherwise, &["an acknowledged event stays"]),
    (
        Bug::FailedGitBelieved,
        &["a feature is merged once", "a pass is evidence"],
    ),
    (Bug::StopCounted, &["durations are measured"]),
    (Bug::JumpForgotten, &["durations are measured"]),
    (Bug::UseCountedTwice, &["what was used is counted once"]),
    (Bug::UseForgotten, &["what was used is counted once"]),
    (Bug::IdleWorkerSilent, &["a healthy worker is left alone"]),
];

/// The first seed with which a bug is noticed, and by whom.
fn found(bug: Bug) -> Option<(u64, &'static str)> {
    (0..SEEDS_MAX).find_map(|seed| {
        let scenario = Scenario::new(seed);
        let (result, _) = with(Some(bug), || play(&scenario));
        Some((seed, result.err()?.checker))
    })
}

#[test]
fn every_planted_bug_is_found() {
    let next = Mutex::new(TABLE.into_iter());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((bug, by)) = next.lock().ok().and_then(|mut next| next.next()) {
                    let found = found(bug);
                    match found {
                        Some((seed, who)) => eprintln!("{bug:?}: seed {seed}, {who}"),
                        None => eprintln!("{bug:?}: not found"),
                    }
                    let good = found.is_some_and(|(_, who)| by.contains(&who));
                    if !good && let Ok(mut missed) = missed.lock() {
                        missed.push((bug, found));
                    }
                    if let Some((seed, _)) = found {
                        let (clean, _) = play(&Scenario::new(seed));
                        assert_eq!(clean, Ok(()), "seed {seed} fails without {bug:?} too");
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap_or_default();
    assert!(
        missed.is_empty(),
        "found by nobody, or by somebody else: {missed:?}"
    );
}

#[test]
fn a_bug_is_planted_on_one_thread_and_for_as_long_as_it_is_wanted() {
    let planted = || planted!(PauseIgnored);
    assert!(!planted());
    with(Some(Bug::PauseIgnored), || {
        assert!(planted());
        let elsewhere = std::thread::spawn(move || planted!(PauseIgnored)).join();
        assert!(!elsewhere.expect("it ends"), "no other thread has it");
    });
    let broken = panic::catch_unwind(|| {
        with(Some(Bug::PauseIgnored), || {
            panic::resume_unwind(Box::new(MARK))
        })
    });
    assert!(broken.is_err() && !planted());
}

/// By this mark programs without it are known to hold no planted bugs.
#[test]
fn this_program_is_marked() {
    let own = std::env::current_exe().expect("this program's file");
    let grep = Command::new("grep").args(["-qaF", MARK]).arg(own).status();
    assert!(grep.expect("grep").success());
}

#[test]
fn a_failing_seed_is_told_with_its_line_and_the_smallest_history() {
    let bug = Bug::PauseIgnored;
    let (seed, _) = found(bug).expect("a seed");
    let told = with(Some(bug), || {
        let violation = play(&Scenario::new(seed)).0.expect_err("the bug");
        explain(seed, &violation)
    });
    let line = format!("SIMULATION_SEED={seed} cargo test --lib simulation::seeds");
    assert!(told.contains(&line), "{told}");
    // Somebody pauses the run, and an attempt starts: little else has to go wrong.
    let left = told
        .split("found: ")
        .nth(1)
        .and_then(|it| it.split(' ').next());
    let left: usize = left.and_then(|it| it.parse().ok()).expect("a number");
    assert!((1..=3).contains(&left), "{told}");
    assert!(told.contains("RunPaused"), "{told}");
    let last = told.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with(STARTS), "{told}");
}
