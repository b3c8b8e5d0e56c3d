//! Who gets which job, and what attempts come to.

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::{Event, RunPaused};
use crewlog::model::evidence::{FailureKind, Usage};
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::CommandId;
use crewlog::model::report::{Report, Verdict};
use crewlog::model::settings::Settings;
use crewlog::model::state::{LOST_MAX, Remembered};

use crate::commands::*;
use crate::given::*;

#[test]
fn the_wait_between_tries_doubles_and_has_bounds() {
    let settings = Settings {
        max_attempts: 8,
        retry_backoff_ms: 1_000,
        retry_backoff_ms_max: 10_000,
        ..Settings::default()
    };
    //  failures before, jitter, the wait
    let table = [
        (0, 0, 500),
        (0, 500, 1_000),
        (0, 501, 500),
        (1, 0, 1_000),
        (3, u64::MAX, 4_000 + u64::MAX % 4_001),
        (4, 0, 5_000),
        (40, 5_000, 10_000),
        (u32::MAX, 0, 5_000),
    ];
    for (failures, jitter, wait) in table {
        assert_eq!(
            settings.backoff_ms(failures, jitter),
            wait,
            "{failures} {jitter}"
        );
    }
    let mut story = Story::with(settings, &[(1, &[])]);
    let worker = story.join(CODING);
    for wait in [500, 1_000, 2_000, 4_000, 5_000] {
        let attempt = story.take(worker);
        story.fail(attempt, FailureKind::CheckFailed);
        let until = story.now.plus_ms(wait);
        let plan = story.plan(&[worker]);
        assert_eq!((plan.command, plan.wake_at), (None, Some(until)));
        story.wait(wait - 1);
        assert_eq!(story.plan(&[worker]).command, None);
        story.wait(1);
    }
    let attempt = story.take(worker);
    assert_eq!(story.state.attempts()[&attempt].job.attempt_number, 6);
}

#[test]
fn failures_park_a_feature_and_losses_do_not() {
    let mut story = Story::of(&[(1, &[]), (2, &[1])]);
    let worker = story.join(CODING);
    for number in 1..=3 {
        for _ in 0..5 {
            let attempt = story.take(worker);
            assert_eq!(story.state.attempts()[&attempt].job.attempt_number, number);
            assert_eq!(names(&story.lose(attempt)), ["AttemptLost"]);
            // Another worker each time, since a stopped one does not come back.
            let attempt = story.hire(CODING);
            let reason = "a person stopped it".to_owned();
            let events = story
                .report(attempt, Report::released(reason.into()))
                .unwrap();
            assert_eq!(names(&events), ["AttemptReleased"]);
        }
        let attempt = story.take(worker);
        let events = story.fail(attempt, FailureKind::NoTerminalEvent);
        let parks: &[&str] = match number {
            3 => &["FeatureFailed", "FeatureParked"],
            _ => &["FeatureFailed"],
        };
        assert_eq!(names(&events), parks);
        story.wait(300_000);
    }
    let feature = story.state.feature(id(1)).unwrap();
    assert_eq!(
        (feature.status, feature.failures, feature.tries),
        (Status::Parked, 3, 33)
    );
    assert_eq!(
        feature.words.recent_failures,
        ["no_terminal_event: it went wrong"; 3]
    );
    let tally = &story.state.tally;
    assert_eq!((tally.coding, tally.lost, tally.released), (33, 15, 15));
}

#[test]
fn a_feature_that_takes_every_worker_down_is_parked_in_the_end() {
    let mut story = Story::of(&[(1, &[])]);
    for lost in 1..=LOST_MAX {
        let attempt = story.hire(CODING);
        let worker = story.state.attempts()[&attempt].job.worker;
        let reason = "its process has ended".to_owned();
        let events = story.ok(Command::Leave {
            worker,
            reason: reason.into(),
        });
        let wanted: &[&str] = match lost {
            LOST_MAX => &["AttemptLost", "FeatureParked", "WorkerLeft"],
            _ => &["AttemptLost", "WorkerLeft"],
        };
        assert_eq!(names(&events), wanted, "{lost}");
    }
    let features = vec![id(1)];
    story.person(PersonCommand::Retry { features }).unwrap();
    let attempt = story.hire(CODING);
    assert_eq!(names(&story.lose(attempt)), ["AttemptLost"], "forgiven");
}

#[test]
fn a_late_result_changes_nothing() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let first = story.hire(CODING);
    let work = Report::Mergeable(story.work(first));
    story.lose(first);
    let second = story.hire(CODING);
    assert!(second > first, "a later attempt has a greater token");
    let before: Vec<_> = story.state.features().cloned().collect();
    for report in [
        work,
        failing(&[1], FailureKind::CheckFailed),
        tested(vec![]),
    ] {
        let events = story.report(first, report).unwrap();
        assert_eq!(names(&events), ["LateResultIgnored"]);
    }
    assert_eq!(story.state.features().cloned().collect::<Vec<_>>(), before);
    assert!(story.state.open_merge().is_none());
    assert_eq!(story.state.tally.late, 3);
    assert_eq!(story.state.verdict(first), Some(Verdict::Late));
    assert_eq!(story.state.verdict(second), None);
    expect(&story, "lost twice", &losing(first), Err("not open"));
}

#[test]
fn a_report_that_does_not_fit_the_job_gives_it_back() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let foreign = Report::InputNeeded {
        feature: id(2),
        question: "which?".to_owned(),
    };
    for report in [foreign, tested(vec![]), failing(&[], FailureKind::Setup)] {
        let attempt = story.hire(CODING);
        assert_eq!(story.features_of(attempt), [id(1)]);
        let events = story.report(attempt, report).unwrap();
        assert_eq!(names(&events), ["AttemptReleased"]);
        assert_eq!(story.status(1), Status::Pending);
    }
}

#[test]
fn usage_is_told_in_all_and_recorded_by_its_difference() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    let mut stale = story.work(attempt);
    stale.onto = commit(77);
    let report = |report: Report, input_tokens| Command::Report {
        attempt,
        report,
        usage: Usage {
            input_tokens,
            ..Usage::default()
        },
        jitter: 0,
    };
    expect(
        &story,
        "moved",
        &report(Report::Mergeable(stale), 70),
        Err("moved"),
    );
    let work = story.work(attempt);
    let events = story.ok(report(Report::Mergeable(work), 100));
    assert_eq!(names(&events), ["UsageRecorded", "MergeStarted"]);
    story.ok(Command::SettleMerge {
        attempt,
        merged: false,
        head: commit(50),
    });
    let work = story.work(attempt);
    let events = story.ok(report(Report::Mergeable(work), 130));
    let Event::UsageRecorded(used) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(used.usage.input_tokens, 30);
    assert_eq!(story.state.spent.input_tokens, 130);
    assert_eq!(story.state.run.as_ref().unwrap().spent.input_tokens, 130);
}

#[test]
fn a_cancelled_job_ends_without_an_outcome() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let attempt = story.hire(CODING);
    let edited = FeatureSpec {
        steps: vec!["otherwise".to_owned()],
        ..spec(1, &[])
    };
    let features = vec![(id(1), edited)];
    let update = true;
    story
        .person(PersonCommand::Import { features, update })
        .unwrap();
    assert!(story.state.attempts()[&attempt].cancelled.is_some());
    assert_eq!(story.status(1), Status::Running, "until its agent is gone");
    let work = story.work(attempt);
    for report in [
        Report::Mergeable(work),
        failing(&[1], FailureKind::TimeLimit),
    ] {
        let events = story.decide(&reporting(attempt, report)).unwrap();
        assert_eq!(names(&events), ["AttemptReleased"]);
    }
    let mut lost = story.clone();
    lost.lose(attempt);
    assert_eq!(lost.status(1), Status::Pending);
}

#[test]
fn outsiders_commands_are_remembered_and_the_schedulers_own_are_not() {
    let mut story = Story::of(&[(1, &[])]);
    let outside = CommandId(1 << 90);
    let pause = || {
        Event::from(RunPaused {
            reason: "x".to_owned(),
        })
    };
    let first = story.fact_of(outside, pause());
    let last = story.fact_of(outside, pause());
    story.fact_of(CommandId(5), pause());
    assert_eq!(story.state.remembered().get(outside), Some((first, last)));
    assert_eq!(story.state.remembered().get(CommandId(5)), None);
    for number in 1..=Remembered::MAX as u128 {
        story.fact_of(CommandId((1 << 91) + number), pause());
    }
    assert_eq!(
        story.state.remembered().get(outside),
        None,
        "there is a limit"
    );
    assert!(
        story
            .state
            .remembered()
            .get(CommandId((1 << 91) + 1))
            .is_some()
    );
}

#[test]
fn workers_come_and_go() {
    let mut story = Story::of(&[(1, &[])]);
    let names_of = |story: &Story| -> Vec<String> {
        let workers = story.state.workers().values();
        workers.map(|worker| worker.name.clone()).collect()
    };
    let first = story.join(CODING);
    story.join(TESTING);
    story.join(CODING);
    assert_eq!(names_of(&story), ["worker-1", "tester-1", "worker-2"]);
    let attempt = story.take(first);
    let leave = |worker| Command::Leave {
        worker,
        reason: "gone".into(),
    };
    let work = story.work(attempt);
    let mut merging = story.clone();
    merging.report(attempt, Report::Mergeable(work)).unwrap();
    expect(
        &merging,
        "its proof is in the log",
        &leave(first),
        Err("another merge"),
    );
    expect(
        &merging,
        "its proof is in the log",
        &losing(attempt),
        Err("another merge"),
    );
    story.ok(leave(first));
    assert_eq!(names_of(&story), ["tester-1", "worker-2"]);
    assert_eq!(story.status(1), Status::Pending);
    expect(&story, "twice", &leave(first), Err("already left"));
    story.join(CODING);
    assert_eq!(
        names_of(&story).last().unwrap(),
        "worker-3",
        "no name is given twice"
    );
}
