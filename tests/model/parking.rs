//! A feature whose tries are used up is parked, whatever brings it back.

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::Status;
use crewlog::model::ids::AttemptId;
use crewlog::model::report::Report;
use crewlog::model::settings::Settings;

use crate::commands::*;
use crate::given::*;

fn rules(max_attempts: u32) -> Settings {
    Settings {
        max_attempts,
        ..Settings::default()
    }
}

fn stricter(story: &mut Story, max_attempts: u32) {
    let settings = rules(max_attempts);
    story.person(PersonCommand::change_to(&settings)).unwrap();
}

/// Feature 1 has failed once, and an attempt is at work on it.
fn tried_once() -> (Story, AttemptId) {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    story.fail(attempt, FailureKind::CheckFailed);
    story.wait(60_000);
    let attempt = story.hire(CODING);
    (story, attempt)
}

fn asked(story: &mut Story, attempt: AttemptId) {
    let question = Report::InputNeeded {
        feature: id(1),
        question: "which?".to_owned(),
    };
    story.report(attempt, question).unwrap();
}

/// Ways back, each with the events that it causes when the tries are left and when they are not.
type Way = (&'static str, fn(&mut Story, AttemptId) -> Command);

const WAYS: [Way; 6] = [
    ("FeatureFailed", |_, attempt| {
        reporting(attempt, failing(&[1], FailureKind::CheckFailed))
    }),
    ("AttemptReleased", |_, attempt| {
        let reason = "a person stopped it".to_owned();
        reporting(attempt, Report::released(reason.into()))
    }),
    ("AttemptLost", |_, attempt| losing(attempt)),
    ("InputAnswered", |story, attempt| {
        asked(story, attempt);
        let (feature, answer) = (id(1), "that one".to_owned());
        Command::Person(PersonCommand::Answer { feature, answer })
    }),
    ("ProviderLimited", |_, attempt| {
        reporting(attempt, failing(&[1], FailureKind::ProviderLimited))
    }),
    ("FeatureEdited", |story, attempt| {
        // The attempt is called off, and ends by giving the job back.
        let mut edited = spec(1, &[]);
        edited.description = "another text".to_owned();
        let features = vec![(id(1), edited)];
        let update = true;
        story
            .person(PersonCommand::Import { features, update })
            .unwrap();
        let reason = "it was called off".to_owned();
        reporting(attempt, Report::released(reason.into()))
    }),
];

#[test]
fn every_way_back_leads_to_parking_when_the_tries_are_used_up() {
    for (way, back) in WAYS {
        for (max_attempts, parked) in [(4, false), (1, true)] {
            let (mut story, attempt) = tried_once();
            // The rules change while the feature is away.
            let command = back(&mut story, attempt);
            stricter(&mut story, max_attempts);
            let events = story.ok(command);
            let last = names(&events).last().copied();
            assert_eq!(last == Some("FeatureParked"), parked, "{way}: {events:?}");
            let waits = story.status(1) == Status::Pending;
            assert_eq!(waits, !parked, "{way}");
            let worker = story.join(CODING);
            story.wait(600_000);
            if parked {
                assert_eq!(story.state.ready_count(), 0, "{way}");
                story
                    .person(PersonCommand::Retry {
                        features: vec![id(1)],
                    })
                    .unwrap();
            }
            story.take(worker);
        }
    }
}

#[test]
fn a_repair_that_comes_back_counts_the_times_it_was_found_broken() {
    for (max_attempts, parked) in [(2, false), (1, true)] {
        let mut story = Story::with(
            Settings {
                testing: 1,
                ..rules(4)
            },
            &[(1, &[])],
        );
        for other in [50, 51] {
            story.implement();
            let head = commit(other);
            story.ok(Command::MoveHead { head });
            let test = story.hire(TESTING);
            assert_eq!(story.features_of(test), [id(1)]);
            story.find_broken(test);
        }
        let repair = story.hire(CODING);
        assert_eq!(story.features_of(repair), [id(1)]);
        asked(&mut story, repair);
        stricter(&mut story, max_attempts);
        let (feature, answer) = (id(1), "that one".to_owned());
        let events = story
            .person(PersonCommand::Answer { feature, answer })
            .unwrap();
        let expected: &[&str] = match parked {
            true => &["InputAnswered", "FeatureParked"],
            false => &["InputAnswered"],
        };
        assert_eq!(names(&events), expected, "{max_attempts}");
    }
}

#[test]
fn a_log_that_ends_before_a_parking_is_put_right_by_the_next_start() {
    let (mut story, attempt) = tried_once();
    story.ok(losing(attempt));
    let strict = crewlog::model::event::SettingsChanged { settings: rules(1) };
    story.fact(strict);
    assert_eq!(story.ready(), [1]);
    assert_eq!(names(&story.start(rules(1))), ["FeatureParked"]);
    assert_eq!(names(&story.start(rules(1))), [] as [&str; 0]);
}
