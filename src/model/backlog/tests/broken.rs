//! Broken backlogs, each with its expected messages.

use super::{existing, read};
use crate::model::backlog::{Format, parse, resolve};
use crate::model::feature::FeatureSpec;

/// Existing features while these are read: #1 "one", #2 "two"; #5 was removed.
const KNOWN: [(u32, &str); 3] = [(1, "one"), (2, "two"), (5, "")];

/// Each file, and a part of the message about it.
const TOML: &[(&str, &str)] = &[
    (
        "",
        "has no features; write [[feature]] tables, each with a name, or in JSON a list of objects",
    ),
    ("feature = []", "has no features; write [[feature]]"),
    ("[[feature]]\nname = \"a", "line 2: is not valid TOML: "),
    (
        "[[feature]]\nname = 'a'\n\nname = 'b'",
        "line 4: is not valid TOML: duplicate key",
    ),
    (
        "[[feature]]\nname='a'\n[[featurs]]\nname='b'",
        "line 3: the key \"featurs\" is unknown; did you mean `feature`?",
    ),
    (
        "[[feature]]\nname='a'\n[[features]]\nname='b'",
        "line 3: has two lists of features; use only",
    ),
    (
        "feature = 3",
        "line 1: `feature` is an integer; write a list of features ([[feature]] in TOML)",
    ),
    (
        "[feature]\nname='a'",
        "line 1: `feature` is a table; write a list of features ([[feature]] in TOML)",
    ),
    (
        "feature = [\n{name='a'},\n'b']",
        "line 3, feature 2: is a text; write a table with at least a name",
    ),
    (
        "[[feature]]\nid = 3",
        "line 1, feature 1: has no `name`; give it a short title",
    ),
    (
        "[[feature]]\nname = ' '",
        "line 2, feature 1: `name` is empty; give it a short title",
    ),
    (
        "[[feature]]\nname = 4",
        "line 2, feature 1: `name` is an integer; write text in quotes",
    ),
    (
        "[[feature]]\nname = '#4'",
        "`name` \"#4\" looks like a feature's number; use words",
    ),
    (
        "[[feature]]\nname = \"a\\u001b[31m\"",
        "line 2, feature 1 \"a\\u{1b}[31m\": `name` contains a line break or another control character",
    ),
    (
        "[[feature]]\nname = \"a\\nb\"",
        "`name` contains a line break",
    ),
    (
        "[[feature]]\nname = \"a\u{202e}b\"",
        "`name` contains a line break",
    ),
    (
        "[[feature]]\nname='a'\ncategory = \"x\\ty\"",
        "line 3, feature 1 \"a\": `category` contains a line break",
    ),
    (
        "[[feature]]\nname='a'\ncategory = []",
        "`category` is a list; write text in quotes",
    ),
    (
        "[[feature]]\nname='a'\n\ndescripton = 'x'",
        "line 4, feature 1 \"a\": the key \"descripton\" is unknown; did you mean `description`?",
    ),
    (
        "[[feature]]\nname='a'\nDependsOn = []",
        "the key \"DependsOn\" is unknown; did you mean `depends_on`?",
    ),
    (
        "[[feature]]\nname='a'\ntests = []",
        "the key \"tests\" is unknown; did you mean `checks`?",
    ),
    (
        "[[feature]]\nname='a'\npasses = false",
        "the key \"passes\" is a state, which the log keeps; remove it",
    ),
    (
        "[[feature]]\nname='a'\n\"\\u001b\" = 1",
        "the key \"\\u{1b}\" is unknown; remove it, or use one of: name",
    ),
    (
        "[[feature]]\nname='a'\ndescription = 1.5",
        "`description` is a number that is not an integer; write text in quotes",
    ),
    (
        "[[feature]]\nname='a'\ndescription = \"\\u0000\"",
        "`description` contains a NUL character",
    ),
    (
        "[[feature]]\nname='a'\nsteps = 'x'",
        "`steps` is a text; write a list of strings: steps = [\"...\"]",
    ),
    (
        "[[feature]]\nname='a'\nsteps = [\n'x',\n2]",
        "line 5, feature 1 \"a\": `steps, item 2` is an integer; write text",
    ),
    (
        "[[feature]]\nname='a'\nchecks = true",
        "`checks` is true or false; write a list of strings: checks = [\"...\"]",
    ),
    (
        "[[feature]]\nname='a'\nchecks = ''",
        "one of the `checks` is empty and would always pass",
    ),
    (
        "[[feature]]\nname='a'\nchecks = ['true', ' ']",
        "one of the `checks` is empty and would always pass",
    ),
    (
        "[[feature]]\nname='a'\nid = 0",
        "line 3, feature 1 \"a\": `id` is out of range; write an integer from 1 to 1000000",
    ),
    (
        "[[feature]]\nname='a'\nid = 1000001",
        "`id` is out of range",
    ),
    (
        "[[feature]]\nname='a'\nid = 0xffff_ffff_ffff_ffff",
        "`id` is out of range",
    ),
    (
        "[[feature]]\nname='a'\nid = '4'",
        "`id` is a text; write an integer from 1 to 1000000",
    ),
    (
        "[[feature]]\nname='a'\npriority = 2147483648",
        "`priority` is out of range; write an integer from -2147483648 to 2147483647",
    ),
    (
        "[[feature]]\nname='a'\npriority = 'high'",
        "`priority` is a text; write an integer, a higher number goes first",
    ),
    (
        "[[feature]]\nname='a'\npriority = 1979-05-27",
        "`priority` is a date or time; write an integer",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on = 3",
        "`depends_on` is an integer; write a list of ids or names: depends_on = [4, \"login form\"]",
    ),
    (
        "[[feature]]\nname='a'\ndependencies = [\n1,\n0]",
        "line 5, feature 1 \"a\": `dependencies`, item 2, is out of range; write an integer from 1",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on = ['#99999999999999999999999999999999999999999']",
        "`depends_on`, item 1, is out of range",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on = ['']",
        "`depends_on`, item 1, is empty; write an id or a name",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on = [[1]]",
        "`depends_on`, item 1, is a list; write an id or a name",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on = []\ndependencies = []",
        "line 1, feature 1 \"a\": has `depends_on` and `dependencies`, which mean the same; keep one",
    ),
    // From here on each feature is valid by itself.
    (
        "[[feature]]\nname='a'\n[[feature]]\nname='a '",
        "line 3, feature 2 \"a\": feature 1 has the same name; names must be unique, rename one",
    ),
    (
        "[[feature]]\nname='a'\nid=9\n[[feature]]\nname='b'\nid=9",
        "line 4, feature 2 \"b\": feature 1 has the id #9 too; give each its own id, or none",
    ),
    (
        "[[feature]]\nname='b'\nid=1\n[[feature]]\nname='one'",
        "feature 2 \"one\": feature 1 has the id #1 too",
    ),
    (
        "[[feature]]\nname='one'\nid=2",
        "has the id 2, but its name belongs to feature #1; leave out the id to mean that one, or rename it",
    ),
    (
        "[[feature]]\nname='a'\nid=5",
        "#5 was removed, and numbers are not reused; use another id, or none",
    ),
    (
        "[[feature]]\nname='a'\nid=1000000\n[[feature]]\nname='b'",
        "feature 2 \"b\": no number up to 1000000 is left for it; give it and others lower ids",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on=[77]",
        "depends on #77, which is not in the file or the backlog; correct the id or add the feature",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on=[5]",
        "depends on #5, which was removed; remove this from `depends_on`",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on=['b']",
        "depends on \"b\", which is not in the file or the backlog; correct the name, or add the feature",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on=['One']",
        "depends on \"One\", which is not in the file or the backlog; did you mean \"one\"?",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on=['two']\n[[feature]]\nname='deux'\nid=2",
        "depends on \"two\", which this file renames; use its new name or #2",
    ),
    (
        "[[feature]]\nname='a'\nid=9\ndepends_on=[1, '#9']",
        "line 1, feature 1 \"a\": depends on itself (#9); remove this from `depends_on`",
    ),
    (
        "[[feature]]\nname='a'\ndepends_on=['a']",
        "depends on itself (#6)",
    ),
    (
        "[[feature]]\nid=9\nname='a'\ndepends_on=['b',1]\n[[feature]]\nid=4\nname='b'\ndepends_on=[9]",
        "dependency cycle: #4 -> #9 -> #4; remove one of these dependencies",
    ),
];

const JSON: &[(&str, &str)] = &[
    ("", "line 1: is not valid JSON: EOF while parsing a value"),
    (
        "[{\"name\": \"a\"}]]",
        "line 1: is not valid JSON: trailing characters",
    ),
    (
        "[\n{\"name\": \"a\",}]",
        "line 2: is not valid JSON: trailing comma",
    ),
    ("3", "is an integer; write a list of features"),
    ("null", "is nothing; write a list of features"),
    ("{}", "has no features; write [[feature]] tables"),
    ("[]", "has no features; write [[feature]] tables"),
    ("{\"feature\": []}", "has no features; write [[feature]]"),
    (
        "{\"features\": {}}",
        "`features` is a table; write a list of features",
    ),
    (
        "{\"features\": [], \"version\": 1}",
        "the key \"version\" is unknown; remove it, or use one of: feature",
    ),
    (
        "[\n[],\n{\"name\": \"a\", \"x\": {\"y\": 1}}]",
        "feature 1: is a list; write a table",
    ),
    (
        "[{\"name\": \"a\", \"description\": \"}\\\"{\"},\n{\"name\": \"b\", \"steps\": [3]}]",
        "line 2, feature 2 \"b\": `steps, item 1` is an integer; write text in quotes",
    ),
    (
        "{\"features\": [\n{\"name\": \"a\"},\n{\"nam\": \"b\"}]}",
        "line 3, feature 2: the key \"nam\" is unknown; did you mean `name`?",
    ),
    (
        "[{\"name\": \"a\", \"name\": \"b\"}]",
        "line 1, feature 1 \"a\": the key \"name\" is given twice; keep one",
    ),
    (
        "[{\"name\": \"a\", \"priority\": 1.0}]",
        "`priority` is a number that is not an integer; write an integer",
    ),
    (
        "[{\"name\": \"a\", \"id\": 1e40}]",
        "`id` is a number that is not an integer; write an integer from 1",
    ),
    (
        "[{\"name\": \"a\", \"depends_on\": [true]}]",
        "`depends_on`, item 1, is true or false; write an id or a name",
    ),
];

#[test]
fn each_broken_backlog_is_told_what_is_wrong_and_what_to_do() {
    let toml = TOML.iter().map(|row| (Format::Toml, row));
    let json = JSON.iter().map(|row| (Format::Json, row));
    let mut wrong = Vec::new();
    for (format, (text, expected)) in toml.chain(json) {
        let shown = match read(text, format, &KNOWN) {
            Ok(features) => format!("it was taken: {features:?}"),
            Err(errors) => errors.to_string(),
        };
        let garbled = shown
            .chars()
            .any(|shown| shown.is_control() && shown != '\n');
        if garbled || !shown.contains(expected) {
            wrong.push(format!("{text:?}\n  is told: {shown}\n  not: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn several_problems_are_told_together() {
    let text = "[[feature]]\nname = 3\nstep = []\n[[feature]]\nid = -1\npriority = 'x'\n";
    let errors = parse(text, Format::Toml).unwrap_err();
    let lines: Vec<usize> = errors.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3, 5, 6, 4], "{errors}");
    let text = "[[feature]]\nname = 'a'\ndepends_on = ['x', 'y']\n[[feature]]\nname = 'b'\ndepends_on = [70]\n";
    let errors = resolve(parse(text, Format::Toml).unwrap(), &existing(&[])).unwrap_err();
    assert_eq!(errors.problems.len(), 3, "{errors}");
}

#[test]
fn what_is_too_long_or_too_much_is_refused_and_the_limit_named() {
    let text = |length: usize| "x".repeat(length);
    let list = |length: usize| "'x',".repeat(length);
    let numbers = |length: usize| "1,".repeat(length);
    let (name, bytes) = (FeatureSpec::NAME_BYTES_MAX, FeatureSpec::TEXT_BYTES_MAX);
    let (items, on) = (FeatureSpec::ITEMS_MAX, FeatureSpec::DEPENDENCIES_MAX);
    type Feature<'a> = &'a dyn Fn(usize) -> String;
    let table: [(usize, &str, Feature); 6] = [
        (name, "`name` has 201 bytes, the limit is 200", &|length| {
            format!("name='{}'", text(length))
        }),
        (name, "`category` has 201 bytes", &|length| {
            format!("name='a'\ncategory='{}'", text(length))
        }),
        (
            bytes,
            "have 262145 bytes together, the limit is 262144",
            &|length| {
                format!(
                    "name='a'\ndescription='{}'\nsteps=['{}']",
                    text(length - 9),
                    text(9)
                )
            },
        ),
        (
            items,
            "`steps` has 1001 items, the limit is 1000",
            &|length| format!("name='a'\nsteps=[{}]", list(length)),
        ),
        (items, "`checks` has 1001 items", &|length| {
            format!("name='a'\nchecks=[{}]", list(length))
        }),
        (on, "`depends_on` has 10001 items", &|length| {
            format!("name='a'\ndepends_on=[{}]", numbers(length))
        }),
    ];
    for (limit, expected, feature) in table {
        let text = |length| format!("[[feature]]\n{}", feature(length));
        assert!(parse(&text(limit), Format::Toml).is_ok(), "{expected}");
        let shown = parse(&text(limit + 1), Format::Toml)
            .unwrap_err()
            .to_string();
        assert!(shown.contains(expected), "{shown}");
    }
}
