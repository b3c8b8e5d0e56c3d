//! What people may do to the backlog.

use crewlog::model::command::{Command, PersonCommand, Rejection};
use crewlog::model::event::{Event, JobCancelled};
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::{FeatureId, Timestamp};
use crewlog::model::report::Report;
use crewlog::model::settings::Settings;
use crewlog::model::state::FEATURES_MAX;

use crate::given::*;

fn import(features: &[(u32, FeatureSpec)], update: bool) -> Command {
    let features = features
        .iter()
        .map(|(number, spec)| (id(*number), spec.clone()));
    Command::Person(PersonCommand::Import {
        features: features.collect(),
        update,
    })
}

fn edited(number: u32, depends_on: &[u32], edit: impl Fn(&mut FeatureSpec)) -> FeatureSpec {
    let mut spec = spec(number, depends_on);
    edit(&mut spec);
    spec
}

fn skip(number: u32) -> Command {
    Command::Person(PersonCommand::Skip {
        feature: id(number),
        reason: "not now".to_owned(),
    })
}

fn remove(number: u32) -> Command {
    let feature = id(number);
    Command::Person(PersonCommand::Remove { feature })
}

fn retry(numbers: &[u32]) -> Command {
    let features = numbers.iter().copied().map(FeatureId).collect();
    Command::Person(PersonCommand::Retry { features })
}

fn answer(number: u32, words: &str) -> Command {
    Command::Person(PersonCommand::Answer {
        feature: id(number),
        answer: words.to_owned(),
    })
}

#[test]
fn imports_that_are_refused() {
    let story = {
        let mut story = Story::of(&[(1, &[]), (2, &[1]), (3, &[])]);
        story.ok(remove(3));
        story
    };
    let renamed = |number, name: &str| edited(number, &[], |spec| spec.name = name.to_owned());
    let checking = |check: &str| edited(9, &[], |spec| spec.checks = vec![check.to_owned()]);
    type Row = (&'static str, Vec<(u32, FeatureSpec)>, bool, &'static str);
    let table: Vec<Row> = vec![
        (
            "number 0",
            vec![(0, spec(0, &[]))],
            false,
            "the number must be",
        ),
        (
            "a huge number",
            vec![(1_000_001, spec(9, &[]))],
            false,
            "the number must be",
        ),
        ("no name", vec![(9, renamed(9, "  "))], false, "no name"),
        (
            "a long name",
            vec![(9, renamed(9, &"x".repeat(201)))],
            false,
            "longer than 200",
        ),
        (
            "a name of two lines",
            vec![(9, renamed(9, "a\nb"))],
            false,
            "control characters",
        ),
        (
            "an empty check",
            vec![(9, checking(" "))],
            false,
            "proves nothing",
        ),
        (
            "a zero byte",
            vec![(9, checking("a\0b"))],
            false,
            "zero byte",
        ),
        (
            "long texts",
            vec![(9, checking(&"x".repeat(262_145)))],
            false,
            "texts are longer",
        ),
        (
            "many checks",
            vec![(
                9,
                edited(9, &[], |it| it.checks = vec!["x".to_owned(); 1001]),
            )],
            false,
            "more than 1000",
        ),
        (
            "a dependency twice",
            vec![(9, spec(9, &[1, 1]))],
            false,
            "twice",
        ),
        (
            "a number twice",
            vec![(9, spec(9, &[])), (9, spec(8, &[]))],
            false,
            "given twice",
        ),
        (
            "a name twice",
            vec![(9, spec(9, &[])), (8, spec(9, &[]))],
            false,
            "belongs to feature #9",
        ),
        (
            "a taken name",
            vec![(9, spec(1, &[]))],
            false,
            "belongs to feature #1",
        ),
        (
            "a taken number",
            vec![(1, spec(9, &[]))],
            false,
            "import with --update",
        ),
        (
            "a removed number",
            vec![(3, spec(9, &[]))],
            false,
            "was removed",
        ),
        (
            "nothing to wait for",
            vec![(9, spec(9, &[77]))],
            false,
            "#77, which is not",
        ),
        (
            "waiting for a removed one",
            vec![(9, spec(9, &[3]))],
            false,
            "#3, which is not",
        ),
        (
            "waiting for itself",
            vec![(9, spec(9, &[9]))],
            false,
            "#9 -> #9",
        ),
        (
            "a circle of new ones",
            vec![(8, spec(8, &[9])), (9, spec(9, &[8]))],
            false,
            "#8 -> #9 -> #8",
        ),
        (
            "a circle with old ones",
            vec![(1, spec(1, &[2]))],
            true,
            "#1 -> #2 -> #1",
        ),
        (
            "a circle through a new one",
            vec![(1, spec(1, &[9])), (9, spec(9, &[2]))],
            true,
            "#1 -> #9 -> #2 -> #1",
        ),
        (
            "a name of one that stays",
            vec![(1, spec(2, &[]))],
            true,
            "belongs to feature #2",
        ),
    ];
    for (what, features, update, says) in table {
        expect(&story, what, &import(&features, update), Err(says));
    }
}

#[test]
fn imports_that_are_accepted() {
    let story = Story::of(&[(1, &[]), (2, &[1])]);
    let priority = edited(1, &[], |spec| spec.priority = 5);
    type Row<'a> = (&'a str, Vec<(u32, FeatureSpec)>, bool, &'a [&'a str]);
    let table: Vec<Row<'_>> = vec![
        ("nothing", vec![], false, &[]),
        (
            "the same again",
            vec![(1, spec(1, &[])), (2, spec(2, &[1]))],
            false,
            &[],
        ),
        (
            "a new one",
            vec![(9, spec(9, &[2]))],
            false,
            &["FeatureAdded"],
        ),
        (
            "one that refers forward",
            vec![(8, spec(8, &[1, 9])), (9, spec(9, &[]))],
            false,
            &["FeatureAdded", "FeatureAdded", "DependenciesSet"],
        ),
        (
            "another priority",
            vec![(1, priority)],
            true,
            &["FeatureEdited"],
        ),
        (
            "another dependency",
            vec![(2, spec(2, &[]))],
            true,
            &["DependenciesSet"],
        ),
        (
            "an old one that waits for a new one",
            vec![(1, spec(1, &[9])), (9, spec(9, &[]))],
            true,
            &["FeatureAdded", "DependenciesSet"],
        ),
        (
            "two that change names",
            vec![(1, spec(2, &[])), (2, spec(1, &[1]))],
            true,
            &["FeatureEdited", "FeatureEdited"],
        ),
    ];
    for (what, features, update, wanted) in table {
        expect(&story, what, &import(&features, update), Ok(wanted));
    }
}

#[test]
fn dependencies_hold_whatever_their_order_in_the_file() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let features = [
        (2, spec(2, &[4, 3])),
        (3, spec(3, &[4, 1])),
        (4, spec(4, &[])),
    ];
    story.ok(import(&features, true));
    assert_eq!(story.state.unmet(id(2)), 2);
    assert_eq!(story.state.unmet(id(3)), 2);
    let on = &story.state.feature(id(2)).unwrap().spec.depends_on;
    assert_eq!(on, &[id(3), id(4)], "ascending, as events have them");
    let again = story.decide(&import(&features, true)).unwrap();
    assert!(again.is_empty(), "an unsorted list is no change");
    story.state.settle();
    assert_eq!(story.ready(), [1, 4]);
}

#[test]
fn names_that_two_features_change_can_be_found() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    story.ok(import(&[(1, spec(2, &[])), (2, spec(1, &[]))], true));
    assert_eq!(story.state.feature_named("feature 2"), Some(id(1)));
    assert_eq!(story.state.feature_named("feature 1"), Some(id(2)));
    story.ok(import(&[(1, spec(7, &[])), (3, spec(2, &[]))], true));
    assert_eq!(story.state.feature_named("feature 2"), Some(id(3)));
    story.ok(remove(3));
    assert_eq!(story.state.feature_named("feature 2"), None);
}

#[test]
fn the_backlog_has_a_limit_that_updates_do_not_count_against() {
    let bare = |number: u32| FeatureSpec {
        name: number.to_string(),
        ..FeatureSpec::default()
    };
    let all = |count: u32| (1..=count).map(|number| (number, bare(number)));
    let many: Vec<_> = all(FEATURES_MAX as u32 + 1).collect();
    let mut story = Story::empty();
    expect(&story, "too many", &import(&many, false), Err("200001"));
    let half = import(&many[..FEATURES_MAX / 2 + 1], true);
    story.ok(half.clone());
    expect(&story, "the same again", &half, Ok(&[]));
}

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
            &format!("{what} {}", story.status(1).word()),
            &command,
            expected,
        );
    };
    let edit = edited(1, &[], |spec| spec.description = "else".to_owned());
    let gone: Expected<'_> = Err("there is no feature");
    let removed: Expected<'_> = Ok(&["FeatureRemoved"]);
    let skipped: Expected<'_> = Ok(&["FeatureSkipped"]);
    let again: Expected<'_> = Ok(&["RetryRequested"]);
    let changed: Expected<'_> = Ok(&["FeatureEdited"]);
    let nobody: Expected<'_> = Err("nobody asked");
    //  status     remove   skip     retry   edit     answer
    let table: [(Status, [Expected<'_>; 5]); 8] = [
        (Pending, [removed, skipped, again, changed, nobody]),
        (
            Running,
            [
                Ok(&["JobCancelled", "FeatureRemoved"]),
                Ok(&["JobCancelled", "FeatureSkipped"]),
                Err("an attempt is at work"),
                Ok(&["JobCancelled", "FeatureEdited"]),
                nobody,
            ],
        ),
        (
            Passing,
            [
                removed,
                Err("on the branch already"),
                Err("nothing to try"),
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
        (
            Skipped,
            [
                removed,
                Err("nothing is left to do"),
                again,
                changed,
                nobody,
            ],
        ),
        (Parked, [removed, skipped, again, changed, nobody]),
        (Removed, [gone, gone, gone, Err("was removed"), gone]),
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
    expect(
        &story,
        "retry all",
        &retry(&[]),
        Err("no feature is parked"),
    );
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
    expect(
        &story,
        "the same twice",
        &retry(&[2, 2]),
        Ok(&["RetryRequested"]),
    );
}

#[test]
fn retry_without_a_number_means_every_parked_feature() {
    let mut story = in_status(Status::Parked);
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
    expect(&story, "at once", &retry(&[1]), Err("is being ended"));
    let released = "the feature was skipped".to_owned();
    story
        .report(attempt, Report::Released { reason: released })
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
        reason: "the feature was removed".to_owned(),
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
    assert_eq!(feature.question.as_deref(), Some("which?"));
    let idle = story.join(CODING);
    let plan = story.plan(&[idle]).command;
    assert!(
        matches!(&plan, Some(Command::FinishRun { reason, .. }) if reason.contains("#2 waits for #1")),
        "{plan:?}"
    );
    story.ok(answer(1, "that one"));
    let feature = story.state.feature(id(1)).unwrap();
    assert_eq!(
        feature.answers,
        [("which?".to_owned(), "that one".to_owned())]
    );
    assert_eq!(
        (feature.status, feature.question.as_ref()),
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
