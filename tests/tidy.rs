//! What the compiler does not check and a reader relies on: short files and functions, who may use
//! whom, a pure model, and nothing unfinished.

mod tidy_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidy_support::modules::Modules;
use tidy_support::{Block, paths, tokens, walk};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Who may use whom. The same table stands in ARCHITECTURE.md.
const TABLE: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("queue", &["model"]),
    ("protocol", &["model"]),
    ("stopwatch", &["model"]),
    ("workspace", &["model", "stopwatch"]),
    ("agent", &["model", "stopwatch"]),
    ("notify", &["model"]),
    ("scheduler", &["model", "queue", "protocol", "workspace"]),
    ("worker", &["model", "protocol", "agent", "workspace"]),
    (
        "cli",
        &[
            "model",
            "queue",
            "protocol",
            "workspace",
            "agent",
            "notify",
            "scheduler",
            "worker",
        ],
    ),
];

/// What everybody may name: bugs on purpose, which are nothing outside of the library's own tests,
/// and the report of what cannot happen.
const FOR_EVERYBODY: [&str; 2] = ["planted", "bug"];

/// Waiting, randomness and the world outside; nothing of it in the model.
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "tokio",
    "rand",
    "rustix",
];
const IMPURE_NAMES: [&str; 4] = ["HashMap", "HashSet", "Instant", "SystemTime"];

/// All that is wrong with one file, its path given from the crate's root.
fn problems(path: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut note = |line: usize, what: String| found.push(format!("{path}:{line}: {what}"));
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        note(lines, format!("more than {FILE_LINES_MAX} lines; split it"));
    }
    walk(&tokens, |at, token, blocks| {
        let test = path.starts_with("tests/") || path.contains("tests");
        let test = test || blocks.contains(&Block::Module("tests".to_owned()));
        // A test may be a table, and a table is as long as it is.
        if token.text == "}"
            && let Some(Block::Function { name, line }) = blocks.last()
            && !test
            && token.line - line >= FUNCTION_LINES_MAX
        {
            let lines = token.line - line + 1;
            note(
                *line,
                format!("fn {name} has {lines} lines; {FUNCTION_LINES_MAX} are enough"),
            );
        }
        let mark = tokens.get(at + 1).is_some_and(|next| next.text == "!");
        if mark && ["todo", "unimplemented", "dbg"].contains(&token.text.as_str()) {
            note(token.line, format!("{}! is left over", token.text));
        }
        let before: Vec<&str> = tokens[at.saturating_sub(2)..at]
            .iter()
            .map(|it| it.text.as_str())
            .collect();
        let sleeps = token.text == "sleep" && matches!(before[..], ["thread" | "time", "::"]);
        if sleeps && test && !blocks.contains(&Block::Loop) {
            note(
                token.line,
                "a test that sleeps; wait for what is to happen".to_owned(),
            );
        }
    });
    for (line, modules, segments) in paths(&tokens) {
        if let Some(problem) = uses(path, &modules, &segments) {
            note(line, problem);
        }
    }
    if path.starts_with("src/model") {
        let named = tokens
            .iter()
            .filter(|it| IMPURE_NAMES.contains(&it.text.as_str()));
        named.for_each(|token| note(token.line, format!("{} in the model", token.text)));
    }
    found
}

/// What is wrong with a path that is used in a file, if anything.
fn uses(file: &str, inline: &[String], segments: &[String]) -> Option<String> {
    let inside = file.strip_prefix("src/")?;
    let told = segments.join("::");
    let module = inside.split(['/', '.']).next().unwrap_or_default();
    if segments.first().is_some_and(|first| first == "sled") && module != "queue" {
        return Some(format!("{told}: only queue touches sled"));
    }
    let impure = IMPURE
        .iter()
        .any(|name| told == *name || told.starts_with(&format!("{name}::")));
    if module == "model" && impure {
        return Some(format!("{told}: the model is pure"));
    }
    let target = target(inside, inline, segments)?;
    let allowed = TABLE
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, allowed)| *allowed);
    if FOR_EVERYBODY.contains(&target.as_str()) {
        return None;
    }
    if TABLE.iter().all(|(name, _)| *name != target) {
        return Some(format!("{told}: there is no such module in the table"));
    }
    let fits = target == module || allowed.is_none_or(|allowed| allowed.contains(&target.as_str()));
    (!fits).then(|| format!("{told}: {module} may not use {target}"))
}

/// Which of the crate's modules a path leads to, if it leads out of where it stands.
fn target(inside: &str, inline: &[String], segments: &[String]) -> Option<String> {
    let first = segments.first()?;
    if first == "crate" || first == "crewlog" {
        return segments.get(1).cloned();
    }
    if first != "super" {
        return None;
    }
    let stem = inside.strip_suffix(".rs")?.trim_end_matches("/mod");
    let mut here: Vec<String> = stem.split('/').map(ToOwned::to_owned).collect();
    here.extend_from_slice(inline);
    let up = segments
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    here.truncate(here.len().saturating_sub(up));
    here.extend_from_slice(&segments[up..]);
    here.first().cloned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if ["target", ".git", "node_modules"].contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            files_under(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Text files, with their paths from the root.
fn texts() -> Vec<(String, String)> {
    let mut files = Vec::new();
    files_under(&root(), &mut files);
    let named = files.into_iter().filter_map(|file| {
        let path = file.strip_prefix(root()).ok()?.to_str()?.to_owned();
        Some((path, fs::read_to_string(&file).ok()?))
    });
    named.collect()
}

#[test]
fn the_source_is_tidy() {
    let texts = texts();
    let sources = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
    let sources: Vec<_> = sources.collect();
    assert!(
        sources.len() > 50,
        "only {} files were found",
        sources.len()
    );
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| problems(path, text))
        .collect();
    assert!(
        found.is_empty(),
        "{} problems:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Two modules that need each other cannot be read, tested or changed one after the other. How a
/// need is recognized stands in `tidy_support::modules`.
#[test]
fn no_modules_need_each_other() {
    let texts = texts();
    let files = texts.iter().filter_map(|(path, text)| {
        let path = path.strip_prefix("src/")?;
        path.ends_with(".rs").then_some((path, text.as_str()))
    });
    let circles = Modules::read(files).circles();
    let told: Vec<String> = circles.iter().map(ToString::to_string).collect();
    assert!(
        told.is_empty(),
        "{} circles:\n{}",
        told.len(),
        told.join("\n")
    );
}

#[test]
fn the_table_is_the_one_that_people_read() {
    let told = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for (module, allowed) in TABLE {
        let begin = format!("| `{module}` |");
        let row = told
            .lines()
            .find(|line| line.starts_with(&begin))
            .expect(module);
        let last = row
            .trim_end_matches(['|', ' '])
            .rsplit('|')
            .next()
            .expect("a cell")
            .trim();
        let says = match module {
            "model" => "nothing of ours".to_owned(),
            "cli" => "anything; only the binaries use it".to_owned(),
            _ => format!("`{}`", allowed.join(" ")),
        };
        assert_eq!(last, says, "{module}");
    }
    let modules = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let modules = modules
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "));
    let mut modules: Vec<&str> = modules.map(|name| name.trim_end_matches(';')).collect();
    let mut rows: Vec<&str> = TABLE.iter().map(|(module, _)| *module).collect();
    modules.sort_unstable();
    rows.sort_unstable();
    assert_eq!(modules, rows, "every module has a row");
}

#[test]
fn no_file_knows_whose_machine_it_was_written_on() {
    // Put together here, so that this file does not find itself.
    let places = ["root", "work", "Users"].map(|place| format!("/{place}/"));
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in (1..).zip(text.lines()) {
            let word = |before: Option<char>| {
                before.is_some_and(|it| it.is_alphanumeric() || "._-}".contains(it))
            };
            let here = places.iter().any(|place| {
                let mut hits = line.match_indices(place.as_str());
                hits.any(|(at, _)| !word(line[..at].chars().next_back()))
            });
            if here {
                found.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The mark of planted bugs is in the library's own tests, which look for it too, and nowhere else.
#[test]
fn no_program_holds_planted_bugs() {
    let source = fs::read_to_string(root().join("src/planted.rs")).expect("src/planted.rs");
    let after = source.split("MARK: &str = \"").nth(1).expect("a mark");
    let mark = after.split('"').next().expect("its end");
    assert!(mark.len() > 20, "{mark:?}");
    for program in [
        env!("CARGO_BIN_EXE_scheduler"),
        env!("CARGO_BIN_EXE_worker"),
    ] {
        let grep = Command::new("grep").args(["-qaF", mark, program]).status();
        let held = grep.expect("grep").code() != Some(1);
        assert!(!held, "{program} holds planted bugs");
    }
}

/// Every rule finds what it is there to find, and leaves alone what only looks like it.
#[test]
fn the_rules_can_fail() {
    let long = |lines: usize| format!("fn long() {{\n{}}}\n", "x();\n".repeat(lines));
    let table: Vec<(&str, String, &[&str])> = vec![
        ("src/cli/a.rs", "\n".repeat(501), &["more than 500"]),
        ("src/cli/a.rs", "\n".repeat(500), &[]),
        ("src/cli/a.rs", long(69), &["fn long has 71 lines"]),
        ("src/cli/a.rs", long(68), &[]),
        ("tests/a.rs", long(100), &[]),
        ("tests/a/b.rs", "\n".repeat(501), &["more than 500"]),
        ("benches/a.rs", "\n".repeat(501), &["more than 500"]),
        ("benches/a.rs", long(69), &["fn long has 71 lines"]),
        ("examples/a/b.rs", long(69), &["fn long has 71 lines"]),
        (
            "src/cli/a.rs",
            format!("mod tests {{\n{}}}", long(100)),
            &[],
        ),
        (
            "src/queue/a.rs",
            "use crate::{model::x, worker::{self, y}};".to_owned(),
            &["worker"; 2],
        ),
        (
            "src/queue/mod.rs",
            "fn f() { super::agent::x() }".to_owned(),
            &["may not use agent"],
        ),
        (
            "src/queue/a.rs",
            "fn f() { super::agent::x() }".to_owned(),
            &[],
        ),
        (
            "src/queue/a.rs",
            "mod t { use super::super::agent::x; }".to_owned(),
            &[],
        ),
        (
            "src/queue/a.rs",
            "mod t { use super::super::super::agent::x; }".to_owned(),
            &["agent"],
        ),
        (
            "src/queue/a.rs",
            "use crate::nowhere::x;".to_owned(),
            &["no such module"],
        ),
        (
            "src/worker/a.rs",
            "let x = crate::model::y::<crate::cli::Z>();".to_owned(),
            &["cli"],
        ),
        (
            "src/worker/a.rs",
            "// crate::cli::x\n/* crate::cli /* */ ::y */".to_owned(),
            &[],
        ),
        (
            "src/worker/a.rs",
            "let x = \"crate::cli::x \\\" crate::cli::y\";".to_owned(),
            &[],
        ),
        (
            "src/worker/a.rs",
            "let x = r#\"crate::cli \" ::x\"#; crate::cli::f();".to_owned(),
            &["cli"],
        ),
        (
            "src/worker/a.rs",
            "let x = ['\"', '\\'', 'a']; fn f<'a>() { crate::cli::f() }".to_owned(),
            &["cli"],
        ),
        (
            "src/bin/worker.rs",
            "fn main() { crewlog::cli::run() }".to_owned(),
            &[],
        ),
        (
            "src/model/a.rs",
            "use std::{collections::HashMap, fs};".to_owned(),
            &["std::fs", "HashMap"],
        ),
        (
            "src/model/a.rs",
            "use std::time::{Duration, Instant};".to_owned(),
            &["Instant"],
        ),
        (
            "src/model/a.rs",
            "fn f() { let x = tokio::spawn(y); }".to_owned(),
            &["tokio"],
        ),
        (
            "src/agent/a.rs",
            "fn f() { let x = tokio::spawn(y); }".to_owned(),
            &[],
        ),
        (
            "src/model/a.rs",
            "fn f() { crate::planted::is(x); crate::simulation::y() }".to_owned(),
            &["no such module"],
        ),
        (
            "src/agent/a.rs",
            "fn f() { sled::open(x) }".to_owned(),
            &["only queue"],
        ),
        ("src/queue/a.rs", "fn f() { sled::open(x) }".to_owned(), &[]),
        (
            "src/queue/a.rs",
            "fn f() { todo!(); dbg!(x); unimplemented!() }".to_owned(),
            &["left over"; 3],
        ),
        (
            "src/queue/a.rs",
            "fn f() { todo(); x != dbg }".to_owned(),
            &[],
        ),
        (
            "tests/a.rs",
            "fn f() { std::thread::sleep(x) }".to_owned(),
            &["sleeps"],
        ),
        (
            "tests/a.rs",
            "fn f() { while !g() { tokio::time::sleep(x).await } }".to_owned(),
            &[],
        ),
        (
            "src/queue/a.rs",
            "mod tests { fn f() { thread::sleep(x) } }".to_owned(),
            &["sleeps"],
        ),
        (
            "src/queue/a.rs",
            "fn f() { thread::sleep(x) }".to_owned(),
            &[],
        ),
    ];
    for (path, source, wanted) in table {
        let found = problems(path, &source);
        let as_wanted = found.len() == wanted.len()
            && found
                .iter()
                .zip(wanted)
                .all(|(found, wanted)| found.contains(wanted));
        assert!(
            as_wanted,
            "{path}: {source}\nfound {found:?}, not {wanted:?}"
        );
    }
}
