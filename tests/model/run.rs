//! The run as a whole: its start, its limits, its end.

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::{Event, RunOutcome};
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::Status;
use crewlog::model::report::Report;
use crewlog::model::settings::Settings;
use crewlog::model::state::State;

use crate::commands::*;
use crate::given::*;

fn start(branch: &str, head: u64, settings: Settings) -> Command {
    Command::StartRun {
        branch: branch.to_owned(),
        head: commit(head),
        settings,
        seed: 7,
    }
}

#[test]
fn starting_and_going_on() {
    let settings = Settings::default();
    let other = Settings {
        max_concurrency: 9,
        ..Settings::default()
    };
    let wrong = Settings {
        max_concurrency: 0,
        ..Settings::default()
    };
    let fresh = Story::empty();
    let open = Story::of(&[(1, &[])]);
    let mut over = open.clone();
    over.implement();
    over.ok(finishing(RunOutcome::AllPassing));
    let table: [(&str, &Story, Command, Expected<'_>); 8] = [
        (
            "first",
            &fresh,
            start("b", 1, settings.clone()),
            Ok(&["RunStarted"]),
        ),
        (
            "bad rules",
            &fresh,
            start("b", 1, wrong),
            Err("max_concurrency = 0"),
        ),
        (
            "again",
            &open,
            start("crewlog/main", 1, settings.clone()),
            Ok(&[]),
        ),
        (
            "new rules",
            &open,
            start("crewlog/main", 1, other.clone()),
            Ok(&["SettingsChanged"]),
        ),
        (
            "moved",
            &open,
            start("crewlog/main", 2, settings.clone()),
            Ok(&["HeadMoved"]),
        ),
        (
            "both",
            &open,
            start("crewlog/main", 2, other.clone()),
            Ok(&["SettingsChanged", "HeadMoved"]),
        ),
        (
            "another branch",
            &open,
            start("else", 1, settings.clone()),
            Err("crewlog/main"),
        ),
        (
            "the next",
            &over,
            start("crewlog/main", 2, settings),
            Ok(&["RunStarted"]),
        ),
    ];
    for (what, story, command, expected) in table {
        expect(story, what, &command, expected);
    }
}

#[test]
fn a_restart_in_the_middle_keeps_everything() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let (one, two) = (story.hire(CODING), story.hire(CODING));
    let work = story.work(one);
    story.report(one, Report::Mergeable(work.clone())).unwrap();
    let bytes = story.state.to_bytes().unwrap();
    story.state = State::from_bytes(&bytes).unwrap();
    // While a merge is open, git is asked about it first; the head it finds is no surprise.
    let settings = Settings::default();
    expect(
        &story,
        "restart",
        &start("crewlog/main", 2, settings),
        Ok(&[]),
    );
    let head = work.commit;
    story.ok(Command::SettleMerge {
        attempt: one,
        merged: true,
        head,
    });
    assert_eq!(
        (story.status(1), story.status(2)),
        (Status::Passing, Status::Running)
    );
    story.pass(two);
}

#[test]
fn stricter_rules_park_at_once() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    story.fail(attempt, FailureKind::CheckFailed);
    let strict = Settings {
        max_attempts: 1,
        ..Settings::default()
    };
    let parks = Ok(&["SettingsChanged", "FeatureParked"][..]);
    expect(&story, "by a person", &rules(strict.clone()), parks);
    expect(
        &story,
        "by a config",
        &start("crewlog/main", 1, strict),
        parks,
    );
    expect(&story, "the same", &rules(Settings::default()), Ok(&[]));
    let wrong = Settings {
        step_limit: 0,
        ..Settings::default()
    };
    expect(&story, "wrong", &rules(wrong), Err("step_limit = 0"));
}

#[test]
fn rules_have_ranges() {
    type Change = fn(&mut Settings);
    let table: [(Change, &str); 12] = [
        (|it| it.max_concurrency = 1_001, "max_concurrency"),
        (|it| it.testing = 1_001, "testing"),
        (|it| it.batch_size = 0, "batch_size"),
        (|it| it.batch_size = 51, "batch_size"),
        (|it| it.max_attempts = 0, "max_attempts"),
        (|it| it.retry_backoff_ms = 86_400_001, "retry_backoff_ms"),
        (
            |it| it.retry_backoff_ms_max = 86_400_001,
            "retry_backoff_ms_max",
        ),
        (|it| it.idle_limit_ms = 0, "idle_limit_ms"),
        (|it| it.time_limit_ms = 0, "time_limit_ms"),
        (|it| it.check_limit_ms = 0, "check_limit_ms"),
        (|it| it.time_limit_ms = u64::MAX, "time_limit_ms"),
        (|it| it.step_limit = 0, "step_limit"),
    ];
    for (change, name) in table {
        let mut settings = Settings::default();
        change(&mut settings);
        let error = settings.validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} = ")), "{error}");
    }
    let least = Settings {
        testing: 0,
        retry_backoff_ms: 0,
        retry_backoff_ms_max: 0,
        ..Settings::default()
    };
    assert_eq!(least.validate(), Ok(()));
    assert_eq!(least.backoff_ms(5, 77), 0);
}

#[test]
fn paused_is_paused_for_everything_new() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    story.implement();
    let open = story.hire(CODING);
    expect(&story, "resume what runs", &resume(), Ok(&[]));
    story.ok(pause());
    expect(&story, "pause twice", &pause(), Ok(&[]));
    let idle = [story.join(CODING), story.join(TESTING)];
    assert_eq!(story.plan(&idle).command, None);
    story.fail(open, FailureKind::CheckFailed);
    story.wait(1_000_000);
    assert_eq!(end(&mut story), None, "a paused run waits for its person");
    let mut left = story.clone();
    left.ok(start("crewlog/main", 2, Settings::default()));
    assert_eq!(left.plan(&idle).command, None, "also over a restart");
    story.ok(resume());
    assert!(matches!(
        story.plan(&idle).command,
        Some(Command::Assign { .. })
    ));
}

#[test]
fn what_runs_while_paused_may_pass() {
    let mut story = Story::of(&[(1, &[])]);
    let open = story.hire(CODING);
    story.ok(pause());
    story.pass(open);
    let (outcome, _) = end(&mut story).unwrap();
    assert_eq!(
        outcome,
        RunOutcome::AllPassing,
        "nothing is left to pause for"
    );
}

#[test]
fn how_runs_end() {
    let skip = |number: u32| {
        Command::Person(PersonCommand::Skip {
            feature: id(number),
            reason: String::new(),
        })
    };
    let park = |story: &mut Story| {
        for _ in 0..3 {
            let attempt = story.hire(CODING);
            story.fail(attempt, FailureKind::CheckFailed);
            story.wait(300_000);
        }
    };
    let ask = |story: &mut Story| {
        let attempt = story.hire(CODING);
        let feature = story.features_of(attempt)[0];
        let question = "which?".to_owned();
        story
            .report(attempt, Report::InputNeeded { feature, question })
            .unwrap();
    };
    type Tell<'a> = Box<dyn Fn(&mut Story) + 'a>;
    type Row<'a> = (&'a [(u32, &'a [u32])], Tell<'a>, RunOutcome, &'a str);
    let table: Vec<Row<'_>> = vec![
        (
            &[],
            Box::new(|_| ()),
            RunOutcome::WaitingForPerson,
            "the backlog is empty",
        ),
        (
            &[(1, &[])],
            Box::new(|story| assert_eq!(story.implement(), id(1))),
            RunOutcome::AllPassing,
            "the only feature passes",
        ),
        (
            &[(1, &[])],
            Box::new(|story| drop(story.ok(skip(1)))),
            RunOutcome::AllPassing,
            "no features remain; 1 was skipped",
        ),
        (
            &[(1, &[]), (2, &[1]), (3, &[2]), (4, &[3])],
            Box::new(park),
            RunOutcome::SomeFailed,
            "1 parked after its last try (#1; `scheduler retry` tries again); 3 unreachable; #2 waits for #1 (parked); \
             #3 waits for #2 waits for #1 (parked); \
             #4 waits for #3 waits for #2 waits for #1 (parked)",
        ),
        (
            &[(1, &[]), (2, &[1])],
            Box::new(|story| drop(story.ok(skip(1)))),
            RunOutcome::SomeFailed,
            "1 unreachable; #2 waits for #1 (skipped)",
        ),
        (
            &[(1, &[]), (2, &[1])],
            Box::new(ask),
            RunOutcome::WaitingForPerson,
            "1 waiting for your answer (#1; `scheduler answer N TEXT`); 1 waiting for those; #2 waits for #1 (",
        ),
        (
            &[(1, &[]), (2, &[]), (3, &[1, 2])],
            Box::new(|story| {
                ask(story);
                park(story);
            }),
            RunOutcome::SomeFailed,
            "1 parked after its last try (#2; `scheduler retry` tries again); 1 waiting for your answer (#1; `scheduler answer N TEXT`); 1 unreachable; #3 waits for #2 (parked)",
        ),
    ];
    for (features, tell, outcome, says) in table {
        let mut story = Story::of(features);
        tell(&mut story);
        let (ended, reason) = end(&mut story).expect("an end");
        assert!(reason.starts_with(says), "{reason}");
        assert_eq!(ended, outcome, "{reason}");
        story.ok(finishing(outcome));
        assert_eq!(story.state.open_run(), None);
        let workers: Vec<_> = story.state.workers().keys().copied().collect();
        assert_eq!(story.plan(&workers).command, None);
    }
}

#[test]
fn a_run_does_not_end_while_anything_is_left() {
    let mut story = Story::of(&[(1, &[])]);
    for outcome in [
        RunOutcome::AllPassing,
        RunOutcome::SomeFailed,
        RunOutcome::BudgetSpent,
    ] {
        expect(
            &story,
            "ready",
            &finishing(outcome),
            Err("is not over, or ends differently"),
        );
    }
    let attempt = story.hire(CODING);
    expect(
        &story,
        "open",
        &finishing(RunOutcome::AllPassing),
        Err("is not over, or ends differently"),
    );
    story.fail(attempt, FailureKind::CheckFailed);
    expect(
        &story,
        "waiting",
        &finishing(RunOutcome::AllPassing),
        Err("is not over, or ends differently"),
    );
    story.wait(300_000);
    story.implement();
    story.ok(Command::MoveHead { head: commit(40) });
    expect(
        &story,
        "unverified",
        &finishing(RunOutcome::AllPassing),
        Err("is not over, or ends differently"),
    );
    let test = story.hire(TESTING);
    story.test(test);
    expect(
        &story,
        "wrong",
        &finishing(RunOutcome::SomeFailed),
        Err("is not over, or ends differently"),
    );
    // New work came between the wish and its turn.
    let mut more = story.clone();
    more.import(vec![(id(2), spec(2, &[]))]);
    expect(
        &more,
        "new work",
        &finishing(RunOutcome::AllPassing),
        Err("is not over, or ends differently"),
    );
    let ended = story.ok(finishing(RunOutcome::AllPassing));
    assert!(matches!(ended[..], [Event::RunFinished(_)]));
    expect(
        &story,
        "twice",
        &finishing(RunOutcome::AllPassing),
        Err("no run is open"),
    );
}
