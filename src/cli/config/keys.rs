//! The keys of the config file: which exist, on which line they are, and which one a typo meant.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::Origin;
use super::file::File;
use super::human::Span;
use crate::cli::error::Error;
use crate::model::clip::clip_chars;
use crate::model::nearest::nearest;
use crate::model::settings::SettingError;
use crate::worker::config::AgentConfig;

/// Prefix of all integration branches.
pub const BRANCH_PREFIX: &str = "crewlog/";

/// Longer keys are cut in messages.
const NAME_BYTES_MAX: usize = 100;

/// Tables whose keys are names of environment variables, chosen by the user.
const FREE_TABLES: [&str; 4] = [
    "agent.env",
    "agent.testing.env",
    "agents.NAME.env",
    "environment.env",
];

/// Section whose tables have names that the user chooses.
const NAMED: &str = "agents.";

/// A key with the name that the user chose replaced by `NAME`.
pub fn general(key: &str) -> Cow<'_, str> {
    let Some(rest) = key.strip_prefix(NAMED) else {
        return key.into();
    };
    match rest.split_once('.') {
        Some((_, own)) => format!("{NAMED}NAME.{own}").into(),
        None => format!("{NAMED}NAME").into(),
    }
}

/// Whether the keys of this table are chosen by the user.
pub fn is_free(table: &str) -> bool {
    FREE_TABLES.contains(&general(table).as_ref())
}

/// A mistake in the config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1, if known.
    pub line: Option<usize>,
    /// What is wrong, with the key and its value.
    pub problem: String,
    /// What to do; empty for the general advice.
    pub next: String,
}

impl Problem {
    /// The error of a command that read the file at `path`.
    pub fn at(self, path: &Path) -> Error {
        let place: &dyn fmt::Display = &path.display();
        let why = match self.line {
            Some(line) => format!("{place}:{line}: {}", self.problem),
            None => format!("{place}: {}", self.problem),
        };
        let next = match self.next.is_empty() {
            true => "correct this line; `scheduler init` in an empty repository writes a file that explains every key".to_owned(),
            false => self.next,
        };
        Error::usage("cannot use the config", why, next)
    }

    /// The parser's error, with its line.
    pub fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        Self {
            line: error.span().map(|span| line_of(text, span.start)),
            problem: error.message().trim().replace('\n', "; "),
            next: String::new(),
        }
    }

    /// The parser's error about a value, with its key and with common names for types.
    pub fn of_value(
        text: &str,
        error: &toml::de::Error,
        origins: &BTreeMap<String, Origin>,
    ) -> Self {
        let mut problem = Self::from_toml(text, error);
        problem.problem = in_words(&problem.problem);
        // A value may end on a later line than its key.
        let line = |origin: &Origin| match origin {
            Origin::File(line) => Some(*line),
            Origin::Default | Origin::Flag(_) => None,
        };
        let above = origins
            .iter()
            .filter_map(|(key, origin)| Some((line(origin)?, key)));
        let above = above.filter(|(line, _)| Some(*line) <= problem.line);
        if let Some((_, key)) = above.max() {
            problem.problem = format!("{key}: {}", problem.problem);
        }
        problem
    }
}

/// The parser's names of types, and their common names.
const TYPES: [(&str, &str); 9] = [
    (
        "expected u32",
        "expected a whole number from 0 to 4294967295",
    ),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u64", "expected a whole number, 0 or more"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
    ("expected a string", "expected text in quotes"),
    (
        "expected a sequence",
        "expected a list such as [\"one\", \"two\"]",
    ),
    (
        "expected a map",
        "expected a table such as { NAME = \"value\" }",
    ),
    ("invalid type: string", "invalid type: text"),
];

fn in_words(problem: &str) -> String {
    let words = |problem: String, (name, words): &(&str, &str)| problem.replace(name, words);
    TYPES.iter().fold(problem.to_owned(), words)
}

/// The lines of all keys that `text` sets. Fails on unknown keys.
pub fn origins(text: &str) -> Result<BTreeMap<String, Origin>, Problem> {
    let document = DeTable::parse(text).map_err(|error| Problem::from_toml(text, &error))?;
    let mut walk = Walk {
        text,
        known: known(),
        origins: BTreeMap::new(),
    };
    walk.table("", document.get_ref())?;
    Ok(walk.origins)
}

struct Walk<'t> {
    text: &'t str,
    known: BTreeSet<String>,
    origins: BTreeMap<String, Origin>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), Problem> {
        for (key, value) in table {
            let name = join(prefix, key.get_ref());
            let line = line_of(self.text, key.span().start);
            let section = self.is_section(&name);
            match value.get_ref() {
                DeValue::Table(inner) if section => self.table(&name, inner)?,
                _ if self.known.contains(general(&name).as_ref()) => {
                    self.origins.insert(name, Origin::File(line));
                }
                _ if section => {
                    return Err(Problem {
                        line: Some(line),
                        problem: format!("`{name}` is a section"),
                        next: format!("write [{name}] on a separate line, with its keys below it"),
                    });
                }
                _ => return Err(self.unknown(&name, line)),
            }
        }
        Ok(())
    }

    fn is_section(&self, name: &str) -> bool {
        let prefix = format!("{}.", general(name));
        self.known.iter().any(|known| known.starts_with(&prefix))
    }

    fn unknown(&self, name: &str, line: usize) -> Problem {
        let shown = clip_chars(name, NAME_BYTES_MAX);
        let next = match self.meant(name) {
            Some(known) => format!("did you mean {known}?"),
            None => {
                let section = name.rsplit_once('.').map(|(section, _)| section);
                format!("valid keys here: {}", self.siblings(section).join(", "))
            }
        };
        Problem {
            line: Some(line),
            problem: format!("unknown key `{shown}`"),
            next,
        }
    }

    /// The key or section that a typo probably meant: a similar one in the same section, else one of
    /// the same name in another section (at the top of the file, a similar one, because the section
    /// may be missing).
    fn meant(&self, name: &str) -> Option<String> {
        let quoted = |known: &str| format!("`{known}`");
        let (section, own) = match name.rsplit_once('.') {
            Some((section, own)) => (Some(section), own),
            None => (None, name),
        };
        let siblings = self.siblings(section);
        let sibling = nearest(own, siblings.iter().map(String::as_str));
        if let Some(sibling) = sibling {
            return Some(quoted(&join(section.unwrap_or_default(), sibling)));
        }
        let leaves = self.known.iter().filter_map(|known| {
            let (_, leaf) = known.rsplit_once('.')?;
            Some((leaf, known))
        });
        let leaf = match section {
            // In a section, a key that only resembles one of another section is no match.
            Some(_) => leaves
                .clone()
                .map(|(leaf, _)| leaf)
                .find(|leaf| *leaf == own),
            None => nearest(own, leaves.clone().map(|(leaf, _)| leaf)),
        }?;
        let found = leaves.filter(|(other, _)| *other == leaf);
        let found: Vec<String> = found.map(|(_, known)| quoted(known)).collect();
        Some(found.join(" or "))
    }

    /// The keys of a section; without a section, the sections.
    fn siblings(&self, section: Option<&str>) -> Vec<String> {
        let prefix = section
            .map(|section| format!("{}.", general(section)))
            .unwrap_or_default();
        let rest = self
            .known
            .iter()
            .filter_map(|known| known.strip_prefix(&prefix));
        let first = rest.filter_map(|rest| rest.split('.').next().map(str::to_owned));
        let names: BTreeSet<String> = first.collect();
        names.into_iter().collect()
    }
}

/// Every known key, with its section.
fn known() -> BTreeSet<String> {
    let mut file = File::default();
    file.agent.testing = Some(AgentConfig::default());
    file.agents = [("NAME".to_owned(), AgentConfig::default())].into();
    let mut keys: BTreeSet<String> = flatten(&file).into_iter().map(|(key, _)| key).collect();
    keys.extend(FREE_TABLES.map(str::to_owned));
    keys
}

/// Every key with its value in TOML, in alphabetical order of sections.
pub fn flatten(file: &File) -> Vec<(String, String)> {
    let mut out = Vec::new();
    // Our own plain data always serializes.
    if let Ok(value) = Value::try_from(file) {
        flatten_into("", &value, &mut out);
    }
    out
}

fn flatten_into(prefix: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Table(table) if !is_free(prefix) => {
            for (key, value) in table {
                flatten_into(&join(prefix, key), value, out);
            }
        }
        other => out.push((prefix.to_owned(), other.to_string())),
    }
}

fn join(prefix: &str, key: &str) -> String {
    match prefix {
        "" => key.to_owned(),
        prefix => format!("{prefix}.{key}"),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The file's key of a setting that the model rejects, and the problem in the file's units.
pub fn of_setting(error: &SettingError) -> (String, String) {
    let (name, in_time) = match error.name.as_str() {
        "retry_backoff_ms_max" => ("retry_backoff_max", true),
        "budget_microusd" => ("budget_usd", false),
        name => (
            name.strip_suffix("_ms").unwrap_or(name),
            name.ends_with("_ms"),
        ),
    };
    let say = |number: u64| match in_time {
        true => Span(number).to_string(),
        false => number.to_string(),
    };
    let range = error.range.words(say);
    let value = say(error.value);
    let key = format!("run.{name}");
    let problem = format!("{key} = {value}: must be {range}");
    (key, problem)
}

/// The file's key of a value in the worker's config.
pub fn of_worker(name: &str) -> &str {
    match name {
        "hooks.limit_ms" => "hooks.time_limit",
        "orphan_limit_ms" => "workers.orphan_limit",
        "transcript_limit" => "workers.transcript_limit",
        name => name,
    }
}

/// A branch name from the project's directory, without what git does not allow, or `main`.
pub fn branch_from_directory(root: &Path) -> String {
    let directory = root.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = directory.chars().map(plain).take(100).collect();
    let name = name.trim_matches(['-', '.']);
    match check_branch(name) {
        Ok(()) if !name.is_empty() => name.to_owned(),
        _ => "main".to_owned(),
    }
}

/// Fails with what git does not allow in the branch name. An empty name stands for the default.
pub fn check_branch(name: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("run.branch = {name:?}: {why}"));
    if name.is_empty() {
        return Ok(());
    }
    if name.len() > 200 {
        return wrong("longer than 200 bytes");
    }
    if name
        .chars()
        .any(|c| c.is_control() || " ~^:?*[\\".contains(c))
    {
        return wrong("a branch name must not contain spaces or any of ~^:?*[\\");
    }
    if name.contains("..") || name.contains("@{") || name == "@" {
        return wrong("a branch name must not contain `..` or `@{`");
    }
    for part in name.split('/') {
        let bad_end = part.ends_with('.') || part.to_ascii_lowercase().ends_with(".lock");
        if part.is_empty() || part.starts_with(['.', '-']) || bad_end {
            return wrong(
                "no part of a branch name may be empty, start with `.` or `-`, or end with `.` or `.lock`",
            );
        }
    }
    Ok(())
}
