use super::*;
use crate::model::event::*;
use crate::model::evidence::Basis;
use crate::model::feature::Status;
use crate::model::ids::AttemptId;
use crate::model::settings::{Settings, WorkerKind};
use crate::model::views::fixtures::*;
use crate::model::views::report::{Begin, ReportFold};
use crate::model::views::{Choice, status};

fn why(log: &Log, feature: u32) -> Why {
    let mut fold = WhyFold::new(FeatureId(feature));
    log.events.iter().for_each(|recorded| fold.event(recorded));
    let now = Timestamp(log.state.at.0);
    fold.answer(&log.state, now).expect("the feature is there")
}

/// Nine features; #1 passes at the second try, #4 is parked, #7 waits for an answer, #3 is skipped.
fn busy() -> Log {
    let mut log = Log::default();
    let backlog: [(u32, &[u32]); 9] = [
        (1, &[]),
        (2, &[1]),
        (3, &[]),
        (4, &[]),
        (5, &[2, 4]),
        (6, &[5]),
        (7, &[]),
        (8, &[7]),
        (9, &[2]),
    ];
    for (number, on) in backlog {
        log.record(added(number, &format!("feature {number}"), on));
    }
    let (branch, seed) = ("crewlog/x".to_owned(), 1);
    let settings = Settings::default();
    log.record(RunStarted {
        branch,
        head: commit('a'),
        settings,
        seed,
    });
    let worker = log.record(joined(WorkerKind::Coding, "worker-1"));
    let attempt = log.start(worker, &[1], 1);
    log.record(failed(1, attempt, "not yet"));
    let attempt = log.start(worker, &[1], 2);
    log.record(passed(1, attempt, Basis::Checks));
    let attempt = log.start(worker, &[4], 1);
    log.record(failed(4, attempt, "never"));
    log.record(FeatureParked {
        feature: FeatureId(4),
        failures: 1,
    });
    let attempt = AttemptId(log.start(worker, &[7], 1));
    let question = "Which port?".to_owned();
    log.record(InputRequested {
        feature: FeatureId(7),
        attempt,
        question,
    });
    log.record(FeatureSkipped {
        feature: FeatureId(3),
        reason: "later".to_owned(),
    });
    log
}

#[test]
fn everything_stands_somewhere() {
    let log = busy();
    let view = status(&log.state, log.state.at);
    let table: Vec<(u32, DerivedStatus, &str)> = view
        .features
        .iter()
        .map(|it| (it.feature.0, it.status, it.note.as_str()))
        .collect();
    let expected = [
        (7, DerivedStatus::NeedsInput, "Which port?"),
        (4, DerivedStatus::Parked, "check_failed: never"),
        (5, DerivedStatus::Unreachable, "#5 waits for #4 (parked)"),
        (
            6,
            DerivedStatus::Unreachable,
            "#6 waits for #5 waits for #4 (parked)",
        ),
        (2, DerivedStatus::Ready, ""),
        (8, DerivedStatus::Blocked, "#8 waits for #7 (needs input)"),
        (9, DerivedStatus::Blocked, "#9 waits for #2 (ready)"),
        (3, DerivedStatus::Skipped, "later"),
        (1, DerivedStatus::Passing, ""),
    ];
    assert_eq!(table, expected);
    assert_eq!(
        view.next.iter().map(|it| it.feature.0).collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(view.counts.values().sum::<u32>(), 9);
    assert_eq!(log.state.count(Status::Passing), 1);
}

#[test]
fn chains_of_any_length_are_walked_once() {
    let mut log = Log::default();
    let length = 20_000;
    for number in 1..=length {
        let on = [number - 1];
        let on = if number == 1 { &[][..] } else { &on[..] };
        // Settling after each would rank the whole graph each time.
        let sequence = log.state.sequence.next();
        let event = added(number, &number.to_string(), on);
        let recorded = Recorded {
            sequence,
            epoch: crate::model::ids::Epoch(1),
            at: Timestamp(1),
            cause: crate::model::ids::CommandId(1),
            actor: crate::model::actor::Actor::Unknown,
            event,
        };
        crate::model::apply::apply(&mut log.state, &recorded);
    }
    log.record(FeatureParked {
        feature: FeatureId(1),
        failures: 3,
    });
    // Each feature's chain is as long as the backlog; only followed once it is quick.
    let view = status(&log.state, Timestamp(0));
    assert_eq!(view.features.len(), length as usize);
    let statuses = DerivedStatuses::of(&log.state, Timestamp(0));
    let chain = statuses.chain(FeatureId(length));
    assert_eq!((chain.length, chain.end), (length, FeatureId(1)));
    let words = statuses.chain_words(&chain);
    let expected = "#20000 waits for #19999 waits for #19998 waits for #19997 waits for #19996 waits for 19994 more waits for #1 (parked)";
    assert_eq!(words, expected);
}

#[test]
fn each_attempt_says_how_it_was_chosen_and_how_it_ended() {
    let log = busy();
    let why = why(&log, 1);
    assert_eq!(why.status, DerivedStatus::Passing);
    let told: Vec<(&str, &str, bool)> = why
        .entries
        .iter()
        .map(|it| (it.label.as_str(), it.note.as_str(), it.choice.is_some()))
        .collect();
    let expected = [
        ("ADD", "", false),
        ("START", "by worker-1", true),
        ("FAIL", "after 1.0s: check_failed: not yet", false),
        ("START", "try 2, by worker-1", true),
        ("PASS", "after 1.0s: at cccccccccc, try 2", false),
    ];
    assert_eq!(told, expected);
    let choice = why.entries[1].choice.as_ref().expect("a choice");
    let expected = [
        "#1 ranked first of 4 ready: chain 1m00s, unblocks 2",
        "ahead of #9: chain 1m00s, unblocks 2, priority -1",
    ];
    assert_eq!(choice.words(), expected);
}

#[test]
fn the_present_is_explained_wherever_a_feature_stands() {
    let log = busy();
    let table = [
        (1, "its checks passed on the tree that was merged"),
        (2, "it can be tried now: chain 15m01s, unblocks 3"),
        (2, "it is next"),
        (3, "a person skipped it: later"),
        (
            4,
            "`scheduler retry 4` forgives its failures and tries again",
        ),
        (6, "#6 waits for #5 waits for #4 (parked)"),
        (7, "its agent asks: Which port?"),
        (9, "#9 waits for #2 (ready)"),
    ];
    for (feature, expected) in table {
        let why = why(&log, feature);
        let found = why.because.iter().any(|because| because == expected);
        assert!(found, "#{feature}: {:?}", why.because);
    }
    let passed_over = why(&log, 9)
        .passed_over
        .expect("it was among the runners-up");
    assert_eq!((passed_over.times, passed_over.chosen), (4, FeatureId(7)));
    assert_eq!(why(&log, 2).passed_over, None);
}

#[test]
fn a_removed_feature_says_who_removed_it_and_when() {
    let mut log = busy();
    let sequence = log.record(FeatureRemoved {
        feature: FeatureId(3),
    });
    let person = crate::model::actor::Actor::person(1000, 7, "pts/3");
    log.events.last_mut().expect("the removal").actor = person;
    log.record(RunPaused {
        reason: String::new(),
    });
    let why = why(&log, 3);
    assert_eq!(
        (why.status, why.name.as_str()),
        (DerivedStatus::Removed, "feature 3")
    );
    let expected =
        format!("uid 1000 (pid 7, pts/3) removed it from the backlog 1.0s ago (event {sequence})");
    assert_eq!(why.because, [expected]);
    let view = status(&log.state, log.state.at);
    assert!(view.features.iter().all(|it| it.feature != FeatureId(3)));
}

#[test]
fn a_draw_shows_its_weights() {
    let terms = TestTerms {
        touched_since: 1,
        dependents: 0,
        untested_ms: 1_000,
        weight: 30,
    };
    let choice = Choice::Drawn {
        first: FeatureId(1),
        terms,
        runners_up: vec![(
            FeatureId(2),
            TestTerms {
                weight: 12,
                ..terms
            },
        )],
        draw: 7,
        last: false,
    };
    let expected = [
        "#1 was drawn at random, by weight 30: 1 file changed, 0 dependents, untested for 1.0s",
        "instead of #2: weight 12: 1 file changed, 0 dependents, untested for 1.0s",
    ];
    assert_eq!(choice.words(), expected);
}

#[test]
fn a_report_of_it_adds_up() {
    let log = busy();
    let started = log.state.run.as_ref().expect("a run").started;
    let mut fold = ReportFold::new(Begin::Event(started));
    log.events.iter().for_each(|event| fold.event(event));
    let report = fold.report(&log.state, None);
    assert_eq!(report.features, 9);
    assert_eq!(report.coding_attempts, 4);
    assert_eq!(report.failures.get("check_failed"), Some(&2));
    assert_eq!(report.wall_ms, (log.events.len() as u64 - 10) * 1_000);
}
