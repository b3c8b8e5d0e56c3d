//! Troubles of the machine are never a feature's failure.

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::{CrewTroubled, Event, RunOutcome};
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, FeatureId, Timestamp};
use crewlog::model::plan::World;
use crewlog::model::report::{Report, TestVerdict};
use crewlog::model::settings::Settings;
use crewlog::model::trouble::{OWN_MAX, Stage, Trouble, TroubleKind};

use crate::commands::*;
use crate::given::*;

fn troubled(kind: TroubleKind, stage: Stage) -> Report {
    Report::Troubled(Trouble {
        kind,
        stage,
        reason: "cannot make \"/a/crewlog-a1\": No space left on device".to_owned(),
    })
}

fn full() -> Report {
    troubled(TroubleKind::Disk, Stage::Prepare)
}

/// The one that is tried next, by a new worker.
fn probe(story: &mut Story) -> (AttemptId, FeatureId) {
    let machine = story.state.troubled.as_ref().map(|trouble| trouble.until);
    let agent = story.state.outages().map(|(_, outage)| outage.until).next();
    let until = machine.or(agent).expect("a trouble");
    story.now = story.now.max(until);
    let attempt = story.hire(CODING);
    (attempt, story.features_of(attempt)[0])
}

/// The event with which such a trouble begins.
fn begun(kind: TroubleKind) -> &'static str {
    match kind.is_of_profile() {
        true => "ProviderLimited",
        false => "CrewTroubled",
    }
}

/// The event with which it ends.
fn over_by(kind: TroubleKind) -> &'static str {
    match kind.is_of_profile() {
        true => "ProfileRecovered",
        false => "CrewRecovered",
    }
}

fn recover(attempt: AttemptId) -> Command {
    Command::Recover { attempt }
}

#[test]
fn no_trouble_of_any_kind_costs_a_try_however_often_it_comes() {
    for kind in TroubleKind::ALL {
        let mut story = Story::of(&[(1, &[]), (2, &[]), (3, &[])]);
        for round in 0..200 {
            let attempt = match round {
                0 => story.hire(CODING),
                _ => probe(&mut story).0,
            };
            let events = story
                .report(attempt, troubled(kind, Stage::Prepare))
                .unwrap();
            assert_eq!(
                names(&events),
                [begun(kind), "AttemptReleased"],
                "{kind:?} {round}"
            );
        }
        for feature in story.state.features() {
            let counts = (feature.failures, feature.lost_streak, feature.status);
            assert_eq!(counts, (0, 0, Status::Pending), "{kind:?}");
        }
        assert!(
            story
                .state
                .workers()
                .values()
                .all(|worker| worker.give_backs == 0)
        );
    }
}

#[test]
fn nothing_starts_while_a_trouble_is_open_but_one_probe_at_a_time() {
    let mut story = Story::of(&[(1, &[]), (2, &[]), (3, &[]), (4, &[])]);
    let attempt = story.hire(CODING);
    story.report(attempt, full()).unwrap();
    let until = story.state.troubled.as_ref().unwrap().until;
    assert!(until > story.now);
    let (first, second) = (story.join(CODING), story.join(CODING));
    let plan = story.plan(&[first, second]);
    assert_eq!((plan.command, plan.wake_at), (None, Some(until)));
    let assign = |story: &Story, worker| Command::Assign {
        worker,
        features: vec![id(4)],
        profile: Default::default(),
        terms: Default::default(),
        runners_up: Vec::new(),
        ready: story.ready().len() as u32,
    };
    expect(
        &story,
        "early",
        &assign(&story, first),
        Err("a problem of the machine holds up"),
    );
    story.now = until;
    let probe = story.take(first);
    assert_eq!(
        story.features_of(probe),
        [id(2)],
        "one that has not met it goes first"
    );
    assert_eq!(story.plan(&[second]).command, None, "one at a time");
    expect(
        &story,
        "two",
        &assign(&story, second),
        Err("a problem of the machine holds up"),
    );
    assert_eq!(names(&story.ok(recover(probe))), ["CrewRecovered"]);
    assert!(story.plan(&[second]).command.is_some(), "the others follow");
    assert_eq!(story.ok(recover(probe)), [], "it is over already");
}

#[test]
fn the_wait_doubles_and_what_was_under_way_counts_once() {
    let mut story = Story::of(&[(1, &[]), (2, &[]), (3, &[])]);
    let attempts = [(); 3].map(|()| story.hire(CODING));
    story.report(attempts[0], full()).unwrap();
    let first = story.state.troubled.clone().unwrap();
    story.wait(500);
    story
        .report(attempts[1], troubled(TroubleKind::Git, Stage::Rebase))
        .unwrap();
    let second = story.state.troubled.clone().unwrap();
    assert_eq!(second.met, [id(1), id(2)]);
    assert_eq!(
        (second.streak, second.until, second.kind),
        (1, first.until, first.kind)
    );
    // What began before the trouble proves nothing about its end.
    story.pass(attempts[2]);
    assert!(story.state.troubled.is_some());
    let mut waits = Vec::new();
    for _ in 0..7 {
        let (attempt, _) = probe(&mut story);
        story.report(attempt, full()).unwrap();
        let open = story.state.troubled.as_ref().unwrap();
        waits.push(open.until.since_ms(story.now));
        assert_eq!(open.began, first.began, "one trouble");
    }
    // The drawn number is 0, so that each is half of the whole wait.
    assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
}

#[test]
fn any_outcome_of_a_probe_ends_it_and_a_return_does_not() {
    let release = Report::Released {
        detail: String::new(),
        reason: "a person stopped it".into(),
    };
    let ask = |feature| Report::InputNeeded {
        feature,
        question: "which?".to_owned(),
    };
    let fail = |feature| Report::Failed {
        failures: vec![(feature, failure(FailureKind::CheckFailed))],
        limited_until: None,
    };
    let mut base = Story::of(&[(1, &[]), (2, &[])]);
    let attempt = base.hire(CODING);
    base.report(attempt, full()).unwrap();
    let (attempt, feature) = probe(&mut base);
    let table: [(Report, &[&str]); 4] = [
        (ask(feature), &["CrewRecovered", "InputRequested"]),
        (fail(feature), &["CrewRecovered", "FeatureFailed"]),
        (
            Report::Mergeable(base.work(attempt)),
            &["CrewRecovered", "MergeStarted"],
        ),
        (release, &["AttemptReleased"]),
    ];
    for (report, events) in table {
        expect(
            &base,
            report.as_str(),
            &reporting(attempt, report.clone()),
            Ok(events),
        );
    }
    let mut lost = base.clone();
    lost.lose(attempt);
    assert!(lost.state.troubled.is_some());
    let worker = lost.join(CODING);
    assert!(
        lost.plan(&[worker]).command.is_some(),
        "another may look at once"
    );
}

#[test]
fn a_run_that_gets_no_further_ends_and_names_what_to_do() {
    let settings = Settings {
        worker_wait_ms: 5_000,
        ..Settings::default()
    };
    let mut story = Story::with(settings, &[(1, &[]), (2, &[])]);
    let other = story.hire(CODING);
    let attempt = story.hire(CODING);
    story.report(attempt, full()).unwrap();
    let end = |story: &mut Story, troubled_ms| {
        let world = World {
            troubled_ms,
            ..story.world(&[])
        };
        match story.plan_in(&world).command {
            Some(Command::FinishRun { outcome, reason }) => Some((outcome, reason)),
            _ => None,
        }
    };
    assert_eq!(end(&mut story, Some(5_000)), None, "an attempt is open");
    story.report(other, full()).unwrap();
    assert_eq!(end(&mut story, Some(4_999)), None);
    assert_eq!(end(&mut story, None), None);
    let (outcome, reason) = end(&mut story, Some(5_000)).unwrap();
    assert_eq!(outcome, RunOutcome::WaitingForPerson);
    for part in [
        "for 5.0s",
        "No space left on device",
        "free disk space",
        "`scheduler run`",
    ] {
        assert!(reason.contains(part), "{reason:?} does not say {part:?}");
    }
    story.ok(Command::FinishRun { outcome, reason });
    assert_eq!([story.status(1), story.status(2)], [Status::Pending; 2]);
    // The next run begins without it.
    story.start(Settings::default());
    assert_eq!(story.state.troubled, None);
    let worker = story.join(CODING);
    assert!(story.plan(&[worker]).command.is_some());
}

#[test]
fn without_a_limit_no_run_ends_because_of_a_trouble() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    story.report(attempt, full()).unwrap();
    let wait = Settings {
        worker_wait_ms: 0,
        ..Settings::default()
    };
    story.person(PersonCommand::change_to(&wait)).unwrap();
    let world = World {
        troubled_ms: Some(u64::MAX),
        ..story.world(&[])
    };
    assert_eq!(story.plan_in(&world).command, None);
}

#[test]
fn a_person_who_has_mended_it_need_not_wait() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    story.report(attempt, full()).unwrap();
    story.ok(resume());
    assert_eq!(story.state.troubled, None);
    let worker = story.join(CODING);
    assert!(story.plan(&[worker]).command.is_some());
}

/// A feature whose hook fails although everybody else's runs.
fn alone(story: &mut Story, kind: TroubleKind) -> (Vec<Event>, Vec<Event>) {
    let attempt = story.hire(CODING);
    assert_eq!(story.features_of(attempt), [id(1)]);
    let met = story
        .report(attempt, troubled(kind, Stage::Prepare))
        .unwrap();
    if !names(&met).contains(&begun(kind)) {
        return (met, Vec::new());
    }
    let (attempt, feature) = probe(story);
    assert_eq!(feature, id(2), "the others go first");
    let over = story.ok(recover(attempt));
    story
        .report(
            attempt,
            Report::Released {
                detail: String::new(),
                reason: "".into(),
            },
        )
        .unwrap();
    // It is put back, longer each time.
    let not_before = story.state.feature(id(1)).unwrap().not_before;
    assert!(not_before > story.now);
    story.now = not_before;
    (met, over)
}

#[test]
fn what_one_feature_alone_meets_again_and_again_is_its_own() {
    // Its rank is the highest, so that it is tried first whenever it may be.
    let mut base = Story::of(&[(1, &[]), (2, &[]), (3, &[1])]);
    base.person(PersonCommand::change_to(&Settings {
        max_attempts: 1,
        ..Settings::default()
    }))
    .unwrap();
    for kind in TroubleKind::ALL {
        let mut story = base.clone();
        for _ in 0..kind.own_after() {
            let (met, over) = alone(&mut story, kind);
            assert_eq!(names(&met), [begun(kind), "AttemptReleased"], "{kind:?}");
            assert_eq!(names(&over), [over_by(kind)]);
        }
        let (met, _) = alone(&mut story, kind);
        let wanted: &[&str] = match kind.may_be_own() {
            true => &["FeatureFailed", "FeatureParked"],
            false => &[begun(kind), "AttemptReleased"],
        };
        assert_eq!(names(&met), wanted, "{kind:?}");
    }
}

#[test]
fn what_several_meet_is_the_machines_however_often() {
    let mut story = Story::of(&[(1, &[]), (2, &[]), (3, &[])]);
    for _ in 0..3 * OWN_MAX {
        let attempts = [story.hire(CODING), story.hire(CODING)];
        for attempt in attempts {
            let events = story
                .report(attempt, troubled(TroubleKind::Hook, Stage::Prepare))
                .unwrap();
            assert_eq!(names(&events), ["CrewTroubled", "AttemptReleased"]);
        }
        let (attempt, _) = probe(&mut story);
        story.ok(recover(attempt));
        story
            .report(
                attempt,
                Report::Released {
                    detail: String::new(),
                    reason: "".into(),
                },
            )
            .unwrap();
    }
    assert!(story.state.features().all(|feature| feature.troubled == 0));
}

#[test]
fn a_tests_trouble_leaves_it_without_a_mark() {
    let mut story = Story::of(&[(1, &[]), (2, &[1])]);
    story.implement();
    story.ok(Command::MoveHead { head: commit(50) });
    story.hire(CODING);
    let test = story.hire(TESTING);
    let killed = failure(FailureKind::Trouble(TroubleKind::Memory));
    let verdicts = vec![(id(1), TestVerdict::Inconclusive(killed))];
    let events = story.report(test, tested(verdicts)).unwrap();
    assert_eq!(names(&events), ["CrewTroubled", "AttemptReleased"]);
    assert_eq!(story.state.feature(id(1)).unwrap().inconclusive, 0);
}

#[test]
fn a_trouble_in_a_failure_is_a_trouble_too() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    let events = story.fail(attempt, FailureKind::Trouble(TroubleKind::Git));
    assert_eq!(names(&events), ["CrewTroubled", "AttemptReleased"]);
}

#[test]
fn a_feature_at_the_edge_of_its_patience_is_not_parked_by_a_return_that_is_excused() {
    for excuse in [
        FailureKind::Trouble(TroubleKind::Disk),
        FailureKind::ProviderLimited,
        FailureKind::ProviderRefused,
    ] {
        let mut story = Story::of(&[(1, &[])]);
        for _ in 1..crewlog::model::state::LOST_MAX {
            story.now = Timestamp(story.now.0 + 1_000_000);
            let attempt = story.hire(CODING);
            story.lose(attempt);
        }
        let attempt = story.hire(CODING);
        let events = story.fail(attempt, excuse);
        assert!(
            !names(&events).contains(&"FeatureParked"),
            "{excuse:?}: {events:?}"
        );
    }
}

#[test]
fn facts_about_attempts_that_nobody_knows_change_little() {
    let mut story = Story::of(&[(1, &[])]);
    story.fact(CrewTroubled {
        attempt: AttemptId(99),
        kind: TroubleKind::Disk,
        stage: Stage::Check,
        until: story.now.plus_ms(1_000),
        reason: String::new(),
    });
    assert_eq!(story.state.troubled.as_ref().unwrap().met, []);
    assert_eq!(story.ok(recover(AttemptId(999))), []);
}
