//! Bringing features in, and changing them.

use crewlog::model::backlog::{Format, parse};
use crewlog::model::command::{PersonCommand, Rejection};
use crewlog::model::event::Event;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::state::FEATURES_MAX;

use crate::commands::*;
use crate::given::*;

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
        ("number 0", vec![(0, spec(0, &[]))], false, "number must be"),
        (
            "a huge number",
            vec![(1_000_001, spec(9, &[]))],
            false,
            "number must be",
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
            "one of its checks is empty",
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
            "same dependency twice",
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
            "feature #9",
        ),
        ("a taken name", vec![(9, spec(1, &[]))], false, "feature #1"),
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
            "feature #2",
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

/// A client of another build, or no client of ours at all, sends what it likes.
#[test]
fn line_ends_are_normalised_wherever_an_import_comes_from() {
    let mut story = Story::empty();
    let mut windows = spec(1, &[]);
    windows.description = "one\r\ntwo\r\n".to_owned();
    windows.steps = vec!["s\r".to_owned()];
    windows.checks = vec!["cd x\r\nmake test\r\n".to_owned()];
    let import = |update| PersonCommand::Import {
        features: vec![(id(1), windows.clone())],
        update,
    };
    let events = story.person(import(false)).unwrap();
    let [Event::FeatureAdded(added)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(added.spec.description, "one\ntwo\n");
    assert_eq!(added.spec.steps, ["s"]);
    assert_eq!(added.spec.checks, ["cd x\nmake test\n"]);
    // The same again is the same, and no change.
    assert_eq!(story.person(import(true)).unwrap(), []);
}

/// A file of features, each `name` or `name: what it depends on`.
fn file(lines: &[&str], update: bool) -> PersonCommand {
    let feature = |line: &&str| match line.split_once(": ") {
        Some((name, on)) => format!("[[feature]]\nname = {name:?}\ndepends_on = [{on:?}]\n"),
        None => format!("[[feature]]\nname = {line:?}\n"),
    };
    let text: String = lines.iter().map(feature).collect();
    let features = parse(&text, Format::Toml).expect("a backlog");
    PersonCommand::ImportFile { features, update }
}

#[test]
fn names_of_a_file_are_what_they_are_when_it_is_decided() {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    story.ok(remove(2));
    // Written when there was no #1 of this name yet; the number of what was removed is not given
    // again.
    let events = story.person(file(&["new: feature 1", "newer: new"], false));
    let events = events.expect("an import");
    assert!(
        matches!(
            &events[..],
            [Event::FeatureAdded(_), Event::FeatureAdded(_)]
        ),
        "{events:?}"
    );
    assert_eq!(story.state.feature_named("new"), Some(id(3)));
    assert_eq!(story.state.feature_named("newer"), Some(id(4)));
    let depends_on = |number| {
        let feature = story.state.feature(id(number)).expect("a feature");
        feature.spec.depends_on.clone()
    };
    assert_eq!((depends_on(3), depends_on(4)), (vec![id(1)], vec![id(3)]));
    // The same file again changes nothing.
    let again = story.person(file(&["new: feature 1", "newer: new"], false));
    assert_eq!(again, Ok(Vec::new()));
}

#[test]
fn a_file_that_names_what_is_not_there_is_refused_with_its_places() {
    let mut story = Story::of(&[(1, &[])]);
    let before = story.state.to_bytes().expect("bytes");
    let refused = story.person(file(&["one", "two: nothing"], false));
    let Err(Rejection::Backlog(errors)) = refused else {
        panic!("{refused:?}");
    };
    let told = errors.to_string();
    assert!(told.contains("line 3, feature 2 \"two\""), "{told}");
    assert!(story.state.to_bytes().expect("bytes") == before);
}
