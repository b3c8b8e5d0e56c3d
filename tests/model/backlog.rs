//! What people may do to the backlog.

use crewlog::model::command::{Command, Rejection};
use crewlog::model::end_reason::EndReason;
use crewlog::model::event::{Event, JobCancelled};
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::Timestamp;
use crewlog::model::report::Report;
use crewlog::model::settings::Settings;

use crate::commands::*;
use crate::given::*;

/// A story in which feature 1 has come to a status; 2 waits for it.
fn in_status(status: Status) -> Story {
    let settings = Settings {
        max_attempts: 1,
        retry_backoff_ms: 0,
        ..Settings::default()
    };
    let mut story = Story::with(settings, &[(1, &[]), (2, &[1])]);
    match status {
        Status::Pending => {}
        Status::Running => {
            story.hire(CODING);
        }
        Status::Passing => {
            story.implement();
        }
        Status::Regressed => {
            story.implement();
            story.ok(Command::MoveHead { head: commit(99) });
            let test = story.hire(TESTING);
            story.find_broken(test);
        }
        Status::NeedsInput => {
            let attempt = story.hire(CODING);
            let feature = id(1);
            let question = "which?".to_owned();
            story
                .report(attempt, Report::InputNeeded { feature, question })
                .unwrap();
        }
        Status::Skipped => {
            story.ok(skip(1));
        }
        Status::Parked => {
            let attempt = story.hire(CODING);
            story.fail(attempt, FailureKind::CheckFailed);
        }
        Status::Removed => {
            story.ok(remove(1));
        }
    }
    assert_eq!(story.status(1), status);
    story
}

#[test]
fn what_people_may_do_in_every_status() {
    use Status::*;
    let ask = |story: &Story, what: &str, command: Command, expected: Expected<'_>| {
        expect(
            story,
            &format!("{what} {}", story.status(1).as_str()),
            &command,
            expected,
        );
    };
    let edit = edited(1, &[], |spec| spec.description = "else".to_owned());
    let gone: Expected<'_> = Err("is removed: it is no longer in the backlog");
    let removed: Expected<'_> = Ok(&["FeatureRemoved"]);
    let skipped: Expected<'_> = Ok(&["FeatureSkipped"]);
    let again: Expected<'_> = Ok(&["RetryRequested"]);
    let changed: Expected<'_> = Ok(&["FeatureEdited"]);
    let nobody: Expected<'_> = Err("has not asked a question");
    let nothing: Expected<'_> = Ok(&[]);
    //  status     remove   skip     retry   edit     answer
    let table: [(Status, [Expected<'_>; 5]); 8] = [
        (Pending, [removed, skipped, nothing, changed, nobody]),
        (
            Running,
            [
                Ok(&["JobCancelled", "FeatureRemoved"]),
                Ok(&["JobCancelled", "FeatureSkipped"]),
                Err("an attempt is working on it"),
                Ok(&["JobCancelled", "FeatureEdited"]),
                nobody,
            ],
        ),
        (
            Passing,
            [
                removed,
                Err("already on the branch"),
                nothing,
                changed,
                nobody,
            ],
        ),
        (Regressed, [removed, skipped, again, changed, nobody]),
        (
            NeedsInput,
            [
                removed,
                skipped,
                Err("scheduler answer"),
                changed,
                Ok(&["InputAnswered"]),
            ],
        ),
        (Skipped, [removed, nothing, again, changed, nobody]),
        (Parked, [removed, skipped, again, changed, nobody]),
        (Removed, [nothing, gone, gone, Err("was removed"), gone]),
    ];
    for (status, expected) in table {
        let story = in_status(status);
        ask(&story, "remove", remove(1), expected[0]);
        ask(&story, "skip", skip(1), expected[1]);
        ask(&story, "retry", retry(&[1]), expected[2]);
        ask(
            &story,
            "edit",
            import(&[(1, edit.clone())], true),
            expected[3],
        );
        ask(&story, "answer", answer(1, "that one"), expected[4]);
    }
}

#[test]
fn unknown_features_and_empty_words_are_refused() {
    let story = in_status(Status::NeedsInput);
    expect(&story, "skip", &skip(77), Err("no feature #77"));
    expect(&story, "remove", &remove(77), Err("no feature #77"));
    expect(&story, "retry", &retry(&[77]), Err("no feature #77"));
    expect(&story, "retry all", &retry(&[]), Ok(&[]));
    expect(&story, "answer", &answer(77, "x"), Err("no feature #77"));
    expect(
        &story,
        "say nothing",
        &answer(1, " \n"),
        Err("the answer is empty"),
    );
    expect(
        &story,
        "say much",
        &answer(1, &"x".repeat(65_537)),
        Err("longer than 64 KiB"),
    );
    expect(&story, "nothing to forgive", &retry(&[2, 2]), Ok(&[]));
}

#[test]
fn retry_without_a_number_means_every_parked_feature() {
    let mut story = in_status(Status::Parked);
    expect(&story, "twice", &retry(&[1, 1]), Ok(&["RetryRequested"]));
    assert_eq!(names(&story.ok(retry(&[]))), ["RetryRequested"]);
    let feature = story.state.feature(id(1)).unwrap();
    assert_eq!((feature.status, feature.failures), (Status::Pending, 0));
    assert_eq!(feature.not_before, Timestamp(0));
    story.state.settle();
    assert_eq!(story.ready(), [1]);
}

#[test]
fn a_skipped_feature_is_given_out_again_only_when_its_attempt_has_ended() {
    let mut story = Story::of(&[(1, &[])]);
    let attempt = story.hire(CODING);
    story.ok(skip(1));
    expect(
        &story,
        "at once",
        &retry(&[1]),
        Err("its attempt is ending"),
    );
    let released = "the feature was skipped".to_owned();
    story
        .report(attempt, Report::released(released.into()))
        .unwrap();
    assert_eq!(story.status(1), Status::Skipped);
    story.ok(retry(&[1]));
    assert_eq!(story.status(1), Status::Pending);
    assert!(story.plan(&[]).command.is_none());
}

#[test]
fn an_edit_calls_off_only_what_it_makes_pointless() {
    type Edit = fn(&mut FeatureSpec);
    let priority: Edit = |spec| spec.priority = 9;
    let category: Edit = |spec| spec.category = "other".to_owned();
    let steps: Edit = |spec| spec.steps = vec!["first".to_owned()];
    let checks: Edit = |spec| spec.checks = vec!["make all".to_owned()];
    let off: &[&str] = &["JobCancelled", "FeatureEdited"];
    let on: &[&str] = &["FeatureEdited"];
    //  the edit, what it means for a coding attempt, for a test of checks
    let table = [
        ("priority", priority, on, on),
        ("category", category, on, on),
        ("steps", steps, off, on),
        ("checks", checks, off, off),
    ];
    for (what, edit, coding, testing) in table {
        let command = import(&[(1, edited(1, &[], edit))], true);
        let mut story = in_status(Status::Running);
        expect(&story, what, &command, Ok(coding));
        story.ok(command.clone());
        let twice = edited(1, &[], |spec| spec.name = "another".to_owned());
        let cancelled = import(&[(1, twice)], true);
        let again: &[&str] = if coding == off { on } else { off };
        expect(&story, "called off once only", &cancelled, Ok(again));

        let mut story = Story::of(&[(1, &[]), (2, &[1])]);
        story.implement();
        story.ok(Command::MoveHead { head: commit(99) });
        story.hire(TESTING);
        expect(&story, what, &command, Ok(testing));
    }
}

#[test]
fn a_new_proof_is_asked_for_when_the_checks_change() {
    let mut story = Story::of(&[(1, &[])]);
    story.implement();
    let tester = story.join(TESTING);
    let plan = story.plan(&[tester]).command;
    assert!(matches!(plan, Some(Command::FinishRun { .. })), "{plan:?}");
    let checks = edited(1, &[], |spec| spec.checks = vec!["make all".to_owned()]);
    story.ok(import(&[(1, checks)], true));
    let plan = story.plan(&[tester]).command;
    assert!(
        matches!(plan, Some(Command::AssignTest { last: true, .. })),
        "{plan:?}"
    );
}

#[test]
fn what_is_being_merged_cannot_be_taken_back() {
    let mut story = Story::of(&[(1, &[]), (2, &[1])]);
    let attempt = story.hire(CODING);
    let work = story.work(attempt);
    story.report(attempt, Report::Mergeable(work)).unwrap();
    let checks = edited(1, &[], |spec| spec.checks = vec!["make all".to_owned()]);
    let priority = edited(1, &[], |spec| spec.priority = 3);
    expect(&story, "remove", &remove(1), Err("being merged"));
    expect(&story, "skip", &skip(1), Err("being merged"));
    expect(
        &story,
        "edit",
        &import(&[(1, checks)], true),
        Err("being merged"),
    );
    expect(
        &story,
        "order",
        &import(&[(1, priority)], true),
        Ok(&["FeatureEdited"]),
    );
    expect(
        &story,
        "remove another",
        &remove(2),
        Ok(&["FeatureRemoved"]),
    );
}

#[test]
fn who_waited_for_a_removed_feature_no_longer_does() {
    let mut story = Story::of(&[(1, &[]), (2, &[1]), (3, &[1, 2])]);
    let attempt = story.hire(CODING);
    let events = story.ok(remove(1));
    let cancelled = JobCancelled {
        attempt,
        reason: EndReason::FeatureRemoved,
    };
    assert_eq!(events[0], Event::from(cancelled));
    assert_eq!(story.state.feature(id(3)).unwrap().spec.depends_on, [id(2)]);
    story.state.settle();
    assert_eq!(story.ready(), [2]);
    // What the cancelled attempt still says changes nothing.
    let work = story.work(attempt);
    let events = story.report(attempt, Report::Mergeable(work)).unwrap();
    assert_eq!(names(&events), ["AttemptReleased"]);
    assert_eq!(story.status(1), Status::Removed);
    assert_eq!(story.state.features().count(), 2);
}

#[test]
fn a_question_lives_until_it_is_answered() {
    let mut story = in_status(Status::NeedsInput);
    let feature = story.state.feature(id(1)).unwrap();
    assert_eq!(feature.words.question.as_deref(), Some("which?"));
    let idle = story.join(CODING);
    let plan = story.plan(&[idle]).command;
    assert!(
        matches!(&plan, Some(Command::FinishRun { reason, .. }) if reason.contains("#2 waits for #1")),
        "{plan:?}"
    );
    story.ok(answer(1, "that one"));
    let feature = story.state.feature(id(1)).unwrap();
    assert_eq!(
        feature.words.answers,
        [("which?".to_owned(), "that one".to_owned())]
    );
    assert_eq!(
        (feature.status, feature.words.question.as_ref()),
        (Status::Pending, None)
    );
    let attempt = story.take(idle);
    assert_eq!(story.features_of(attempt), [id(1)]);
}

#[test]
fn rejections_keep_their_meaning_for_machines() {
    let story = in_status(Status::Running);
    let rejection = story.decide(&retry(&[1])).unwrap_err();
    let Rejection::WrongStatus {
        feature, status, ..
    } = rejection
    else {
        panic!("{rejection:?}");
    };
    assert_eq!((feature, status.as_str()), (id(1), "running"));
}
