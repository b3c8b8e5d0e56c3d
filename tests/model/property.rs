//! Whatever happens, in any order.

use std::collections::BTreeMap;

use crewlog::model::apply::apply;
use crewlog::model::event::{Event, Recorded};
use crewlog::model::evidence::Basis;
use crewlog::model::ids::{AttemptId, FeatureId};
use crewlog::model::settings::WorkerKind;
use crewlog::model::state::State;
use proptest::prelude::*;

use crate::driver::Driver;
use crate::given::{CODING, TESTING, cases};
use crate::oracle;

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn whatever_happens_the_rules_hold(seed: u64, steps in 50_usize..300) {
        let mut driver = Driver::new(seed);
        for _ in 0..steps {
            let before = driver.story.state.clone();
            let begin = driver.story.log.len();
            let result = driver.step();
            let events = &driver.story.log[begin..];
            if result.is_err() {
                prop_assert!(events.is_empty());
            }
            allowed(&before, &driver.story.state, events);
            oracle::check(&mut driver.story.state);
            oracle::lawful(&driver.story.state);
        }
        merged_and_passed_once(&driver.story.log);
    }

    #[test]
    fn any_point_is_as_good_as_the_beginning(seed: u64, steps in 20_usize..200, cut: u16) {
        let mut driver = Driver::new(seed);
        for _ in 0..steps {
            let _ = driver.step();
        }
        let log = &driver.story.log;
        let whole = folded(State::default(), log);
        let bytes = whole.to_bytes().unwrap();
        prop_assert_eq!(&bytes, &driver.story.state.to_bytes().unwrap());
        let (head, tail) = log.split_at(usize::from(cut) % (log.len() + 1));
        let snapshot = folded(State::default(), head).to_bytes().unwrap();
        let mut resumed = folded(State::from_bytes(&snapshot).unwrap(), tail);
        prop_assert_eq!(&bytes, &resumed.to_bytes().unwrap());
        oracle::check(&mut resumed);
        // What was kept up event by event is what is computed from the snapshot.
        let mut kept = whole;
        kept.settle();
        let rebuilt = State::from_bytes(&bytes).unwrap();
        prop_assert_eq!(kept.ready().collect::<Vec<_>>(), rebuilt.ready().collect::<Vec<_>>());
        prop_assert_eq!(kept.delayed().collect::<Vec<_>>(), rebuilt.delayed().collect::<Vec<_>>());
        prop_assert!(!rebuilt.is_unsettled());
    }

    #[test]
    fn every_prefix_folds(seed: u64, steps in 20_usize..80) {
        let mut driver = Driver::new(seed);
        for _ in 0..steps {
            let _ = driver.step();
        }
        let mut state = State::default();
        for recorded in &driver.story.log {
            apply(&mut state, recorded);
            let bytes = state.to_bytes().unwrap();
            let mut read = State::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&bytes, &read.to_bytes().unwrap());
            oracle::check(&mut read);
        }
    }
}

/// A driver that never gets anywhere would prove nothing.
#[test]
fn everything_does_happen() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 1..=60 {
        let mut driver = Driver::new(seed * 7_919);
        for _ in 0..250 {
            let _ = driver.step();
        }
        for recorded in &driver.story.log {
            *seen.entry(recorded.event.name()).or_default() += 1;
        }
    }
    let rare: Vec<_> = Event::KINDS
        .iter()
        .map(|(_, name)| (*name, seen.get(name).copied()))
        .collect();
    eprintln!("{rare:?}");
    let missing = rare
        .iter()
        .filter(|(_, times)| times.is_none_or(|times| times < 5));
    assert_eq!(missing.count(), 0, "{rare:?}");
}

fn folded(mut state: State, log: &[Recorded]) -> State {
    for recorded in log {
        apply(&mut state, recorded);
    }
    state
}

/// What may not happen, judged by the state before and after one command.
fn allowed(before: &State, after: &State, events: &[Recorded]) {
    let mut job = None;
    for recorded in events {
        match &recorded.event {
            Event::FeatureAssigned(assigned) => {
                assert!(assigned.features.len() <= before.settings.batch_size as usize);
                for &feature in &assigned.features {
                    let known = before.feature(feature).expect("a feature");
                    assert!(!before.being_coded(known), "{feature} is worked on");
                    assert_eq!(before.unmet(feature), 0, "{feature} is blocked");
                    assert!(
                        known.not_before <= recorded.at.max(before.at),
                        "{feature} is delayed"
                    );
                }
                job = Some((CODING, before.settings.max_concurrency));
            }
            Event::TestAssigned(_) => job = Some((TESTING, before.settings.testing)),
            Event::AttemptStarted(_) => {
                let (kind, limit) = job.take().expect("an assignment just before");
                may_start(before, after, recorded, kind, limit);
            }
            Event::FeaturePassed(passed) => {
                let spec = &before.feature(passed.feature).expect("a feature").spec;
                let run: Vec<&String> = passed
                    .evidence
                    .checks
                    .iter()
                    .map(|run| &run.command)
                    .collect();
                assert_eq!(
                    run,
                    spec.checks.iter().collect::<Vec<_>>(),
                    "its checks, and as they are"
                );
                assert!(passed.evidence.checks.iter().all(|run| run.end.passed()));
                let word = passed.evidence.basis == Basis::AgentWord;
                assert_eq!(word, spec.checks.is_empty(), "marked as what it is");
                assert!(before.attempts()[&passed.attempt].cancelled.is_none());
            }
            Event::LateResultIgnored(_) => {
                assert_eq!(
                    before.features().collect::<Vec<_>>(),
                    after.features().collect::<Vec<_>>()
                );
                assert_eq!(before.head_generation, after.head_generation);
                let others = events.iter().rev().skip(1).map(|it| it.event.name());
                let spending = ["UsageRecorded", "BudgetReached"];
                assert!(others.into_iter().all(|name| spending.contains(&name)));
            }
            _ => {}
        }
    }
}

fn may_start(before: &State, after: &State, recorded: &Recorded, kind: WorkerKind, limit: u32) {
    assert!(before.open_run().is_some(), "no run is open");
    assert!(before.paused.is_none(), "the run is paused");
    assert!(!before.budget_spent(), "the budget is spent");
    assert!(!before.is_held_by_trouble(recorded.at.max(before.at)));
    let profile = after.profile_of(AttemptId(recorded.sequence.0));
    let held = |profile| before.is_held(profile, recorded.at.max(before.at));
    assert!(!profile.is_some_and(held));
    assert!(
        after.open_attempts(kind) <= limit,
        "more attempts than allowed"
    );
}

fn merged_and_passed_once(log: &[Recorded]) {
    let mut passes: BTreeMap<(FeatureId, AttemptId), u32> = BTreeMap::new();
    for recorded in log {
        if let Event::FeaturePassed(passed) = &recorded.event {
            *passes.entry((passed.feature, passed.attempt)).or_default() += 1;
        }
    }
    assert!(passes.values().all(|&times| times == 1), "{passes:?}");
}
