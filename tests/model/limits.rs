//! What a provider and a budget allow.

use crewlog::model::command::Command;
use crewlog::model::event::RunOutcome;
use crewlog::model::evidence::{FailureKind, Usage};
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, Timestamp};
use crewlog::model::profile::ProfileName;
use crewlog::model::report::{Report, TestVerdict};
use crewlog::model::settings::Settings;
use crewlog::model::state::{Outage, State};

use crate::commands::*;
use crate::given::*;

const FOR_EVER: Timestamp = Timestamp(u64::MAX);

fn limited(attempt: AttemptId, kind: FailureKind, until: Option<u64>) -> Command {
    let report = Report::Failed {
        failures: vec![(id(1), failure(kind))],
        limited_until: until.map(Timestamp),
    };
    reporting(attempt, report)
}

fn agent() -> ProfileName {
    ProfileName::unnamed()
}

fn outage(story: &Story) -> Option<Outage> {
    story.state.outage(&agent()).cloned()
}

#[test]
fn a_provider_that_limits_is_left_alone_and_no_feature_pays_for_it() {
    let base = {
        let mut story = Story::of(&[(1, &[]), (2, &[])]);
        story.hire(CODING);
        story
    };
    let attempt = *base.state.attempts().keys().next().unwrap();
    let now = base.now.0;
    let kind = FailureKind::ProviderLimited;
    let week = 8 * 86_400_000;
    //  what it said, when it is asked again
    let table = [
        (None, now + 10_000),
        (Some(now + 5_000), now + 5_000),
        (Some(now - 5_000), now + 1_000),
        (Some(u64::MAX), now + week),
    ];
    for (said, until) in table {
        let mut story = base.clone();
        let events = story.ok(limited(attempt, kind, said));
        assert_eq!(names(&events), ["ProviderLimited", "AttemptReleased"]);
        let feature = story.state.feature(id(1)).unwrap();
        assert_eq!((feature.failures, feature.status), (0, Status::Pending));
        let worker = story.join(CODING);
        let plan = story.plan(&[worker]);
        assert_eq!(
            (plan.command, plan.wake_at),
            (None, Some(Timestamp(until))),
            "{said:?}"
        );
        story.now = Timestamp(until);
        assert!(story.plan(&[worker]).command.is_some(), "{said:?}");
    }
}

#[test]
fn one_refusal_that_several_attempts_meet_is_one() {
    let features = [(1, &[][..]), (2, &[]), (3, &[]), (4, &[])];
    let mut story = Story::with(
        Settings {
            max_concurrency: 4,
            ..Settings::default()
        },
        &features,
    );
    let kind = FailureKind::ProviderLimited;
    let attempts = [(); 4].map(|()| story.hire(CODING));
    story.fail(attempts[0], kind);
    story.wait(10_000);
    let until = outage(&story).unwrap().until;
    story.fail(attempts[1], kind);
    assert_eq!(outage(&story).unwrap().until, until, "nothing new");
    let later = story.now.0 + 30_000;
    let report = Report::Failed {
        failures: vec![(id(3), failure(kind))],
        limited_until: Some(Timestamp(later)),
    };
    story.ok(reporting(attempts[2], report));
    assert_eq!(outage(&story).unwrap().until.0, later, "its word holds");
    assert_eq!(story.state.streak(&agent()), 1);
    // What began before the refusal proves nothing about it.
    story.pass(attempts[3]);
    assert!(outage(&story).is_some());
    story.wait(60_000);
    let attempt = story.hire(CODING);
    story.fail(attempt, kind);
    assert_eq!(story.state.streak(&agent()), 2);
    story.wait(60_000);
    let attempt = story.hire(CODING);
    story.pass(attempt);
    assert_eq!(outage(&story), None, "what began after it does");
}

#[test]
fn waits_for_a_provider_double_and_have_a_bound() {
    let mut story = Story::of(&[(1, &[])]);
    let worker = story.join(CODING);
    for wait in [10, 20, 40, 80, 160, 320, 640, 900, 900] {
        let attempt = story.take(worker);
        story.ok(limited(attempt, FailureKind::ProviderLimited, None));
        assert_eq!(
            story.plan(&[worker]).wake_at,
            Some(story.now.plus_ms(wait * 1_000))
        );
        story.wait(wait * 1_000);
    }
}

#[test]
fn a_provider_that_refuses_for_good_ends_the_run_when_the_others_have_ended() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let (first, second) = (story.hire(CODING), story.hire(CODING));
    story.ok(limited(first, FailureKind::ProviderRefused, Some(5)));
    assert_eq!(outage(&story).unwrap().until, FOR_EVER);
    assert_eq!(end(&mut story), None);
    story.fail(second, FailureKind::ProviderLimited);
    assert_eq!(outage(&story).unwrap().until, FOR_EVER);
    let (outcome, reason) = end(&mut story).unwrap();
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    assert!(
        reason.contains("the agent cannot be used: it went wrong (log in, or name"),
        "{reason}"
    );
    let mut resumed = story.clone();
    resumed.ok(resume());
    let worker = resumed.join(CODING);
    assert!(resumed.plan(&[worker]).command.is_some());
    story.ok(finishing(RunOutcome::WaitingForPerson));
    story.start(Settings::default());
    let worker = story.join(CODING);
    assert!(matches!(
        story.plan(&[worker]).command,
        Some(Command::Assign { .. })
    ));
}

#[test]
fn a_tests_limit_is_met_like_any_other() {
    let mut story = Story::of(&[(1, &[]), (2, &[1])]);
    story.implement();
    story.ok(Command::MoveHead { head: commit(50) });
    story.hire(CODING);
    let test = story.hire(TESTING);
    let inconclusive = TestVerdict::Inconclusive(failure(FailureKind::ProviderLimited));
    let events = story
        .report(test, tested(vec![(id(1), inconclusive)]))
        .unwrap();
    assert_eq!(names(&events), ["ProviderLimited", "AttemptReleased"]);
    assert_eq!(story.state.feature(id(1)).unwrap().inconclusive, 0);
}

fn spending(attempt: AttemptId, cost_microusd: u64) -> Command {
    Command::Report {
        attempt,
        report: Report::Released {
            detail: String::new(),
            reason: "enough".into(),
        },
        usage: Usage {
            cost_microusd,
            ..Usage::default()
        },
        jitter: 0,
    }
}

fn budget(budget_microusd: u64) -> Settings {
    Settings {
        budget_microusd,
        ..Settings::default()
    }
}

#[test]
fn a_spent_budget_ends_the_run_when_what_is_open_has_ended() {
    let mut story = Story::with(budget(100), &[(1, &[]), (2, &[]), (3, &[])]);
    let (first, second) = (story.hire(CODING), story.hire(CODING));
    let events = story.ok(spending(first, 99));
    assert_eq!(names(&events), ["UsageRecorded", "AttemptReleased"]);
    let third = story.hire(CODING);
    let events = story.ok(spending(third, 1));
    assert_eq!(
        names(&events),
        ["UsageRecorded", "BudgetReached", "AttemptReleased"]
    );
    assert_eq!(end(&mut story), None, "an attempt is open");
    story.pass(second);
    let (outcome, reason) = end(&mut story).unwrap();
    assert_eq!(outcome, RunOutcome::BudgetSpent);
    assert!(
        reason.contains("features remain to be implemented"),
        "{reason}"
    );

    let mut raised = story.clone();
    raised.ok(rules(budget(150)));
    let fourth = raised.hire(CODING);
    let events = raised.ok(spending(fourth, 60));
    assert_eq!(
        names(&events)[1],
        "BudgetReached",
        "a raised one can be reached again"
    );

    story.ok(finishing(RunOutcome::BudgetSpent));
    story.start(budget(100));
    let worker = story.join(CODING);
    assert!(
        story.plan(&[worker]).command.is_some(),
        "each run has its own"
    );
}

#[test]
fn a_budget_that_is_lowered_is_reached_at_once() {
    let mut story = Story::with(budget(100), &[(1, &[])]);
    let first = story.hire(CODING);
    story.ok(spending(first, 50));
    let events = story.ok(rules(budget(40)));
    assert_eq!(names(&events), ["SettingsChanged", "BudgetReached"]);
    assert_eq!(end(&mut story).unwrap().0, RunOutcome::BudgetSpent);
}

#[test]
fn a_budget_that_ends_with_the_work_spoils_nothing() {
    let mut story = Story::with(budget(100), &[(1, &[])]);
    let first = story.hire(CODING);
    story.ok(spending(first, 100));
    let mut done = story.clone();
    done.ok(rules(budget(0)));
    done.implement();
    done.ok(rules(budget(100)));
    assert_eq!(end(&mut done).unwrap().0, RunOutcome::AllPassing);
}

#[test]
fn rules_that_become_stricter_hold_for_what_is_given_back_or_lost() {
    let released = |attempt| {
        let reason = "as ordered".to_owned();
        reporting(attempt, Report::released(reason.into()))
    };
    let table: [(&dyn Fn(AttemptId) -> Command, &str); 2] =
        [(&released, "AttemptReleased"), (&losing, "AttemptLost")];
    for (ending, event) in table {
        for (most, parked) in [(2, false), (1, true)] {
            let mut story = Story::of(&[(1, &[]), (2, &[])]);
            let attempt = story.hire(CODING);
            story.fail(attempt, FailureKind::CheckFailed);
            story.wait(60_000);
            let attempts = [story.hire(CODING), story.hire(CODING)];
            let its = |attempt: &AttemptId| story.features_of(*attempt) == [id(1)];
            let attempt = attempts.into_iter().find(its).unwrap();
            let settings = Settings {
                max_attempts: most,
                ..story.state.settings.clone()
            };
            story.ok(rules(settings));
            let mut expected = vec![event];
            expected.extend(parked.then_some("FeatureParked"));
            assert_eq!(names(&story.ok(ending(attempt))), expected, "{most}");
        }
    }
}

#[test]
fn what_was_used_is_counted_once_wherever_it_is_learnt() {
    let spend = |attempt, cost_microusd| Command::Spend {
        attempt,
        usage: Usage {
            cost_microusd,
            ..Usage::default()
        },
    };
    let mut story = Story::with(budget(100), &[(1, &[]), (2, &[])]);
    let lost = story.hire(CODING);
    // The head moved under it: its report was refused, and what it cost was not.
    assert_eq!(names(&story.ok(spend(lost, 30))), ["UsageRecorded"]);
    assert_eq!(story.ok(spend(lost, 30)), [], "the same again");
    story.lose(lost);
    // Its worker was alive after all.
    let late = ["UsageRecorded", "LateResultIgnored"];
    assert_eq!(names(&story.ok(spending(lost, 50))), late);
    assert_eq!(names(&story.ok(spending(lost, 50))), ["LateResultIgnored"]);
    assert_eq!(story.state.spent.cost_microusd, 50);
    assert_eq!(
        story.status(1),
        Status::Pending,
        "and it changes nothing else"
    );
    // A snapshot in between forgets nothing of it.
    let bytes = story.state.to_bytes().unwrap();
    story.state = State::from_bytes(&bytes).unwrap();
    let last = ["UsageRecorded", "BudgetReached", "LateResultIgnored"];
    assert_eq!(names(&story.ok(spending(lost, 100))), last);
    // What nobody has heard of cannot be told from what was counted.
    assert_eq!(
        names(&story.ok(spending(AttemptId(9_999), 7))),
        ["LateResultIgnored"]
    );
    let run = story.state.run.as_ref().unwrap();
    assert_eq!(
        (run.spent.cost_microusd, story.state.spent.cost_microusd),
        (100, 100)
    );
}
