use std::collections::BTreeMap;

use super::{BacklogErrors, FEATURES_MAX, FILE_BYTES_MAX, Format, PROBLEMS_MAX, parse, resolve};
use crate::model::feature::FeatureSpec;
use crate::model::ids::FeatureId;

mod broken;

type Resolved = Vec<(FeatureId, FeatureSpec)>;

fn existing(features: &[(u32, &str)]) -> BTreeMap<FeatureId, String> {
    let features = features.iter();
    features
        .map(|&(id, name)| (FeatureId(id), name.to_owned()))
        .collect()
}

fn read(text: &str, format: Format, features: &[(u32, &str)]) -> Result<Resolved, BacklogErrors> {
    resolve(parse(text, format)?, &existing(features))
}

/// Number, name and dependencies of each.
fn brief(features: &Resolved) -> Vec<(u32, &str, Vec<u32>)> {
    let features = features.iter();
    features
        .map(|(id, spec)| {
            (
                id.0,
                spec.name.as_str(),
                spec.depends_on.iter().map(|id| id.0).collect(),
            )
        })
        .collect()
}

#[test]
fn a_file_with_everything_is_taken_as_it_is() {
    let text = r##"
        [[feature]]
        id = 7
        category = "auth"
        name = "  login form "
        description = """
        A form.
        With two fields."""
        steps = ["open /login", "see two fields"]
        checks = ["sh test/login.sh", "true"]
        depends_on = [3, "store", "#3"]
        priority = -2

        [[feature]]
        id = 3
        name = "skeleton"
        checks = "test -f main.sh"

        [[feature]]
        name = "store"
        dependencies = ["skeleton"]
    "##;
    let features = read(text, Format::Toml, &[]).unwrap();
    let expected = [
        (3, "skeleton", vec![]),
        (8, "store", vec![3]),
        (7, "login form", vec![3, 8]),
    ];
    assert_eq!(brief(&features), expected);
    let login = &features[2].1;
    assert_eq!(login.category, "auth");
    assert_eq!(
        login.description,
        "        A form.\n        With two fields."
    );
    assert_eq!(login.steps, ["open /login", "see two fields"]);
    assert_eq!(login.checks, ["sh test/login.sh", "true"]);
    assert_eq!(login.priority, -2);
    assert_eq!(features[0].1.checks, ["test -f main.sh"]);
}

#[test]
fn lists_in_the_vocabulary_of_autoforge_are_read() {
    let list = r#"[
        {"category": "functional", "name": "User can sign in", "description": "With a password.",
         "steps": ["Open the page", "Type", "Press the button"], "dependencies": [2], "priority": 1},
        {"id": 2, "category": "style", "name": "Page has a header", "description": "",
         "steps": [], "dependencies": null, "priority": 999}
    ]"#;
    let expected = [
        (2, "Page has a header", vec![]),
        (3, "User can sign in", vec![2]),
    ];
    for text in [list.to_owned(), format!("\u{feff}{{\"features\": {list}}}")] {
        let features = read(&text, Format::Json, &[]).unwrap();
        assert_eq!(brief(&features), expected);
        assert_eq!(features[1].1.steps.len(), 3);
        assert_eq!(features[0].1.priority, 999);
    }
}

#[test]
fn numbers_are_given_in_the_order_of_the_file_above_all_that_are_used() {
    let text = "features = [{name='c', depends_on=['b', 'old']}, {id=12, name='x'}, {name='b'}, {name='old'}]";
    let features = read(text, Format::Toml, &[(4, "old"), (14, "")]).unwrap();
    let expected = [
        (12, "x", vec![]),
        (16, "b", vec![]),
        (4, "old", vec![]),
        (15, "c", vec![4, 16]),
    ];
    assert_eq!(brief(&features), expected);
}

#[test]
fn an_existing_feature_is_found_by_name_or_renamed_by_number() {
    let known = [(1, "one"), (2, "two")];
    let text = "[[feature]]\nname='two'\ndepends_on=['one', 1]\n[[feature]]\nname='three'\ndepends_on=['two']";
    let features = read(text, Format::Toml, &known).unwrap();
    assert_eq!(
        brief(&features),
        [(2, "two", vec![1]), (3, "three", vec![2])]
    );
    let text = "[[feature]]\nid=2\nname='second'\n[[feature]]\nname='three'\ndepends_on=['second']";
    let features = read(text, Format::Toml, &known).unwrap();
    assert_eq!(
        brief(&features),
        [(2, "second", vec![]), (3, "three", vec![2])]
    );
}

#[test]
fn the_name_of_a_file_says_its_format() {
    let table = [
        ("a.toml", Format::Toml),
        ("a.JSON", Format::Json),
        ("a", Format::Toml),
        ("json", Format::Json),
    ];
    for (name, format) in table {
        assert_eq!(Format::of_file_name(name), format, "{name}");
    }
}

#[test]
fn a_large_backlog_is_read_in_one_go() {
    let count = 20_000;
    let entry = |at: u32| {
        format!(
            "[[feature]]\nname = \"f{at}\"\ndepends_on = [\"f{}\"]\n",
            (at + 1) % count
        )
    };
    let mut text: String = (0..count).map(entry).collect();
    let message = read(&text, Format::Toml, &[]).unwrap_err().to_string();
    assert!(message.contains("#1 -> #2 -> #3"), "{message}");
    assert!(
        message.contains("-> (19988 more) -> #1; remove one"),
        "{message}"
    );
    assert!(message.len() < 300, "{message}");
    text = text.replace("[\"f0\"]", "[]");
    let features = read(&text, Format::Toml, &[]).unwrap();
    assert_eq!(features.len(), count as usize);
    assert_eq!(features[0].1.name, "f19999");
}

#[test]
fn a_file_beyond_the_limits_is_refused_before_it_is_read() {
    let text = " ".repeat(FILE_BYTES_MAX + 1);
    let errors = parse(&text, Format::Json).unwrap_err().to_string();
    let limit = format!("the limit is {FILE_BYTES_MAX}");
    assert!(errors.contains(&limit), "{errors}");
    let text = format!("[{}0]", "0,".repeat(FEATURES_MAX));
    let errors = parse(&text, Format::Json).unwrap_err().to_string();
    assert!(
        errors.contains("has 200001 features, the limit is 200000"),
        "{errors}"
    );
    let deep = "[".repeat(100_000);
    for format in [Format::Json, Format::Toml] {
        assert!(parse(&deep, format).is_err());
        assert!(parse(&format!("feature = {deep}"), format).is_err());
    }
}

#[test]
fn all_problems_are_told_up_to_a_limit() {
    let text = "[[feature]]\nnam = 1\n".repeat(PROBLEMS_MAX);
    let errors = parse(&text, Format::Toml).unwrap_err();
    assert_eq!(
        (errors.problems.len(), errors.more),
        (PROBLEMS_MAX, PROBLEMS_MAX)
    );
    let shown = errors.to_string();
    assert!(
        shown.starts_with("the backlog file has 100 problems:\n  line 2, feature 1: "),
        "{shown}"
    );
    assert!(shown.ends_with("\n  and 50 more"), "{shown}");
}

/// The same file with the line ends of Windows means the same in either format.
#[test]
fn files_from_windows_mean_what_they_say() {
    let toml = "[[feature]]\nname = \"a\"\ndescription = \"\"\"\none\ntwo\n\"\"\"\nsteps = [\"s\"]\nchecks = ['''\ncd x\nmake test\n''']\ndepends_on = [\"b\"]\n\n[[feature]]\nname = \"b\"\nchecks = \"true\"\n";
    let json = r#"[{"name": "a", "description": "one\ntwo\n", "steps": ["s"],
        "checks": ["cd x\nmake test\n"], "depends_on": ["b"]}, {"name": "b", "checks": "true"}]"#;
    let specs = |text: &str, format| {
        let parsed = parse(text, format).expect("a good file");
        let features = parsed.into_iter();
        features
            .map(|feature| (feature.spec, feature.depends_on))
            .collect::<Vec<_>>()
    };
    let unix = specs(toml, Format::Toml);
    assert_eq!(unix, specs(json, Format::Json));
    assert_eq!(unix, specs(&toml.replace('\n', "\r\n"), Format::Toml));
    let windows = json.replace(r"\n", r"\r\n").replace('\n', "\r\n");
    assert_eq!(unix, specs(&windows, Format::Json));
    assert!(!format!("{unix:?}").contains(r"\r"));
}

#[test]
fn a_mistyped_key_is_answered_with_the_one_that_was_meant() {
    let table = [
        ("prio = 1", "`priority`"),
        ("Priority = 1", "`priority`"),
        ("desc = \"x\"", "`description`"),
        ("deps = []", "`depends_on`"),
        ("dependsOn = []", "`depends_on`"),
        ("check = \"true\"", "`checks`"),
        ("title = \"x\"", "`name`"),
        ("colour = \"red\"", "use one of: name, category"),
    ];
    for (line, words) in table {
        let text = format!("[[feature]]\nname = \"a\"\n{line}\n");
        let errors = parse(&text, Format::Toml).expect_err(line).to_string();
        assert!(errors.contains(words), "{line}: {errors}");
        assert!(errors.contains("line 3"), "{line}: {errors}");
    }
}
