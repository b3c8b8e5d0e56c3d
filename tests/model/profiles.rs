//! Several agents in an order of preference: the next one takes over.

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::RunOutcome;
use crewlog::model::evidence::FailureKind;
use crewlog::model::ids::{AttemptId, FeatureId, Timestamp};
use crewlog::model::plan::{Probing, World};
use crewlog::model::profile::{ProfileName, Profiles};
use crewlog::model::report::Report;
use crewlog::model::settings::Settings;
use crewlog::model::trouble::{Stage, Trouble, TroubleKind};

use crate::commands::*;
use crate::given::*;

fn names_of(names: &[&str]) -> Vec<ProfileName> {
    names.iter().map(|name| ProfileName::from(*name)).collect()
}

/// A crew of four with a preferred agent and another one.
fn two(features: &[(u32, &[u32])]) -> Story {
    let settings = Settings {
        max_concurrency: 4,
        ..Settings::default()
    };
    let mut story = Story::with(settings, features);
    let profiles = Profiles {
        coding: names_of(&["one", "two"]),
        testing: names_of(&["two"]),
    };
    story.ok(Command::SetProfiles { profiles });
    story
}

fn profile(story: &Story, attempt: AttemptId) -> Option<&str> {
    let profile = story.state.profile_of(attempt);
    profile.map(|name| name.0.as_str())
}

fn hire(story: &mut Story) -> (AttemptId, String) {
    let attempt = story.hire(CODING);
    let profile = profile(story, attempt).expect("an agent").to_owned();
    (attempt, profile)
}

const FOUR: [(u32, &[u32]); 4] = [(1, &[]), (2, &[]), (3, &[]), (4, &[])];

#[test]
fn the_next_agent_takes_over_and_the_first_is_probed_on() {
    let mut story = two(&FOUR);
    let (first, one) = hire(&mut story);
    assert_eq!(one, "one", "the preferred one");
    story.fail(first, FailureKind::ProviderLimited);
    let (_, took_over) = hire(&mut story);
    assert_eq!(took_over, "two");
    story.wait(10_000);
    let (probe, probed) = hire(&mut story);
    assert_eq!(probed, "one", "its wait is over");
    let (_, meanwhile) = hire(&mut story);
    assert_eq!(meanwhile, "two", "one probe at a time");
    let events = story.ok(Command::Recover { attempt: probe });
    assert_eq!(names(&events), ["ProfileRecovered"]);
    story.pass(probe);
    let (_, again) = hire(&mut story);
    assert_eq!(again, "one");
}

#[test]
fn a_refusal_ends_the_run_only_when_no_agent_is_left_and_names_each() {
    let mut story = two(&FOUR);
    let (first, _) = hire(&mut story);
    story.fail(first, FailureKind::ProviderRefused);
    let (second, profile) = hire(&mut story);
    assert_eq!(profile, "two");
    story.fail(second, FailureKind::QuotaExhausted);
    let (outcome, reason) = end(&mut story).expect("an end");
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    for part in [
        "no agent can be used: one: it went wrong (log in, or name the variable with its key in agents.one.pass_env)",
        "two: it went wrong (top up the account",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn a_limit_of_one_and_a_refusal_of_the_other_is_waited_for() {
    let mut story = two(&FOUR);
    let (first, _) = hire(&mut story);
    story.fail(first, FailureKind::ProviderLimited);
    let (second, _) = hire(&mut story);
    story.fail(second, FailureKind::ProviderRefused);
    assert_eq!(end(&mut story), None);
    let worker = story.join(CODING);
    let plan = story.plan(&[worker]);
    assert_eq!(plan.command, None);
    assert_eq!(plan.wake_at, Some(story.now.plus_ms(10_000)));
}

#[test]
fn tests_use_their_own_agents_and_none_where_checks_decide() {
    let mut story = two(&[(1, &[]), (2, &[1])]);
    story.implement();
    story.ok(Command::MoveHead { head: commit(50) });
    story.hire(CODING);
    let test = story.hire(TESTING);
    let open = &story.state.attempts()[&test];
    let features: Vec<FeatureId> = open.job.features.clone();
    let expected = story
        .state
        .starts_agent(TESTING, &features)
        .then_some("two");
    assert_eq!(profile(&story, test), expected);
}

#[test]
fn a_job_gets_no_agent_that_is_not_for_it() {
    let mut story = two(&FOUR);
    let worker = story.join(CODING);
    for (name, problem) in [
        ("three", "the agent is not for such jobs"),
        ("one", "the provider refuses or fails"),
    ] {
        if name == "one" {
            let attempt = story.hire(CODING);
            story.fail(attempt, FailureKind::ProviderLimited);
        }
        let assign = Command::Assign {
            worker,
            features: vec![id(4)],
            profile: name.into(),
            terms: Default::default(),
            runners_up: Vec::new(),
            ready: 1,
        };
        expect(&story, name, &assign, Err(problem));
    }
}

fn silence() -> Report {
    Report::Troubled(Trouble {
        kind: TroubleKind::Provider,
        stage: Stage::Session,
        reason: "the provider gave the agent no answer".to_owned(),
    })
}

#[test]
fn agents_that_have_never_worked_end_the_run_when_all_of_them_fail() {
    let mut story = two(&FOUR);
    let waited = |story: &mut Story| {
        let world = World {
            troubled_ms: Some(u64::MAX),
            ..story.world(&[])
        };
        story.plan_in(&world).command
    };
    let (first, _) = hire(&mut story);
    story.report(first, silence()).expect("a report");
    assert_eq!(waited(&mut story), None, "there is another agent");
    let (second, _) = hire(&mut story);
    story.report(second, silence()).expect("a report");
    let Some(Command::FinishRun { outcome, reason }) = waited(&mut story) else {
        panic!("it ends");
    };
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    let part = "no agent has done any work for";
    assert!(reason.contains(part), "{reason}");
    assert!(reason.contains("one: the provider gave"), "{reason}");
    // Once anything was merged, it is the provider, which comes back.
    let mut proven = two(&[(1, &[]), (2, &[]), (3, &[])]);
    proven.implement();
    for _ in 0..2 {
        let (attempt, _) = hire(&mut proven);
        proven.report(attempt, silence()).expect("a report");
    }
    assert_eq!(waited(&mut proven), None);
}

#[test]
fn the_machines_problem_and_a_providers_do_not_hide_each_other() {
    let mut story = two(&FOUR);
    let (first, _) = hire(&mut story);
    let (second, _) = hire(&mut story);
    story.fail(first, FailureKind::ProviderLimited);
    let until = |story: &Story| story.state.outage(&"one".into()).map(|outage| outage.until);
    let before = until(&story);
    let full = Report::Troubled(Trouble {
        kind: TroubleKind::Disk,
        stage: Stage::Prepare,
        reason: "no space".to_owned(),
    });
    story.report(second, full).expect("a report");
    assert_eq!(until(&story), before);
    let held = story.state.troubled.as_ref().expect("the machine's").until;
    story.now = Timestamp(held.0);
    let (probe, profile) = hire(&mut story);
    assert_eq!(profile, "two", "the first is still left alone");
    story.ok(Command::Recover { attempt: probe });
    assert_eq!(
        (story.state.troubled.clone(), until(&story)),
        (None, before)
    );
}

fn end_by_trouble(story: &mut Story) -> Option<(RunOutcome, String)> {
    let world = World {
        troubled_ms: Some(u64::MAX),
        ..story.world(&[])
    };
    match story.plan_in(&world).command {
        Some(Command::FinishRun { outcome, reason }) => Some((outcome, reason)),
        _ => None,
    }
}

#[test]
fn an_agent_without_login_and_one_that_has_never_worked_end_the_run() {
    let mut story = two(&FOUR);
    let (first, _) = hire(&mut story);
    story.fail(first, FailureKind::ProviderRefused);
    let (second, _) = hire(&mut story);
    story.report(second, silence()).expect("a report");
    assert_eq!(end(&mut story), None, "the second is tried again");
    let (outcome, reason) = end_by_trouble(&mut story).expect("an end");
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    assert!(
        reason.contains("one: it went wrong; two: the provider"),
        "{reason}"
    );
}

#[test]
fn an_agent_that_has_worked_in_this_run_is_waited_for_even_if_nothing_was_merged() {
    let mut story = two(&[(1, &[]), (2, &[]), (3, &[])]);
    for _ in 0..2 {
        let (attempt, _) = hire(&mut story);
        story.fail(attempt, FailureKind::CheckFailed);
        story.wait(600_000);
    }
    let (attempt, profile) = hire(&mut story);
    assert_eq!(profile, "one");
    story.report(attempt, silence()).expect("a report");
    let (attempt, profile) = hire(&mut story);
    assert_eq!(profile, "two");
    story.report(attempt, silence()).expect("a report");
    assert_eq!(end_by_trouble(&mut story), None, "one has worked");
}

#[test]
fn the_work_of_one_agent_says_nothing_of_another() {
    let mut story = two(&[(1, &[])]);
    let agents_test = Settings {
        test_with_agent: true,
        ..story.state.settings.clone()
    };
    story
        .person(PersonCommand::change_to(&agents_test))
        .expect("a change");
    story.implement();
    story.ok(Command::MoveHead { head: commit(50) });
    let test = story.hire(TESTING);
    assert_eq!(profile(&story, test), Some("two"));
    story.report(test, silence()).expect("a report");
    let (outcome, reason) = end_by_trouble(&mut story).expect("an end");
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    assert!(reason.contains("no agent has done any work"), "{reason}");
}

#[test]
fn while_the_first_agent_starts_nobody_takes_another_one() {
    let mut story = two(&FOUR);
    let since = story.state.sequence;
    let (first, _) = hire(&mut story);
    let worker = story.join(CODING);
    for (start, expected) in [(true, None), (false, Some("two"))] {
        let probing = Probing {
            since,
            answered: Default::default(),
            start,
        };
        let world = World {
            probing: [("one".into(), probing)].into(),
            ..story.world(&[worker])
        };
        let next = match story.plan_in(&world).command {
            Some(Command::Assign { profile, .. }) => Some(profile.0),
            _ => None,
        };
        assert_eq!(next.as_deref(), expected, "{first}");
    }
}
