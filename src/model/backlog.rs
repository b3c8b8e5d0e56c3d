//! The backlog file, which is checked as a whole before any of it is imported.
//!
//! TOML is a list of `[[feature]]` tables; JSON is an array of such objects, or `{"features":
//! [...]}`. `features` and `feature` mean the same.
//!
//! | key | value |
//! |---|---|
//! | `name` | a short title in one line, unique; the only key that must be there |
//! | `id` | the feature's number, if the author wants to choose it |
//! | `category` | a group of like features |
//! | `description` | what is wanted |
//! | `steps` | a list of texts |
//! | `checks` | a list of shell commands; a single one may stand without a list |
//! | `depends_on` (or `dependencies`) | a list of numbers (`4`, `"#4"`) and names, mixed |
//! | `priority` | an integer; **a higher number goes first**, 0 when absent |
//!
//! Lists for AutoForge have the same keys and can be read unchanged, with one difference in
//! meaning: there, a lower priority number is earlier. Priority only orders features that are
//! otherwise equal.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::feature::FeatureSpec;
use super::ids::FeatureId;
use super::state;

mod fields;
mod read;
mod resolve;
mod suggest;
#[cfg(test)]
mod tests;

pub use resolve::resolve;

/// A larger file is not a backlog: 200,000 features, the most there may be, of 1,300 bytes each. A
/// real one has some 600. The importing process takes a few times as much memory.
pub const FILE_BYTES_MAX: usize = 256 << 20;
/// Features in one file: no more than a backlog can hold.
pub const FEATURES_MAX: usize = state::FEATURES_MAX;
/// Problems that are listed: a person reads no more before fixing the first ones.
pub const PROBLEMS_MAX: usize = 50;

/// Format of a backlog file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML with `[[feature]]` tables.
    Toml,
    /// JSON: a list of objects.
    Json,
}

impl Format {
    /// The format by the file's name: JSON if it ends in `.json`, otherwise TOML.
    pub fn of_file_name(name: &str) -> Self {
        let ending = name.rsplit('.').next().unwrap_or_default();
        if ending.eq_ignore_ascii_case("json") {
            Self::Json
        } else {
            Self::Toml
        }
    }
}

/// How a file refers to a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reference {
    /// By its number.
    Id(FeatureId),
    /// By its name.
    Name(String),
}

/// One feature as the file has it, valid by itself. [`resolve()`] decides whether its number, its
/// name and its dependencies fit the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogFeature {
    /// Where it stands.
    pub place: Place,
    /// The number that the author chose, if any: 1 to [`FeatureId::MAX`].
    pub id: Option<FeatureId>,
    /// Everything in the file except `depends_on`, which is empty here.
    pub spec: FeatureSpec,
    /// What it depends on, in the author's order and words.
    pub depends_on: Vec<Reference>,
}

/// Where a feature is in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which feature of the file it is, from 1.
    pub number: usize,
    /// Its name, as far as it has one.
    pub name: String,
    /// The line on which it begins, from 1; 0 if unknown.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "feature {}", self.number)?;
        if !self.name.is_empty() {
            write!(f, " {}", suggest::quoted(&self.name))?;
        }
        Ok(())
    }
}

/// One problem of a backlog file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct Problem {
    /// The line, from 1, as exactly as it is known; 0 if unknown.
    pub line: usize,
    /// The feature, unless the problem is the file's.
    pub feature: Option<Place>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &self.feature) {
            (0, None) => f.write_str(&self.message),
            (0, Some(place)) => write!(f, "{place}: {}", self.message),
            (line, None) => write!(f, "line {line}: {}", self.message),
            (line, Some(place)) => write!(f, "line {line}, {place}: {}", self.message),
        }
    }
}

/// All problems of a backlog file. Such a file is not imported at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct BacklogErrors {
    /// The first [`PROBLEMS_MAX`] of them, mostly in the order of the file.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

impl BacklogErrors {
    fn add(&mut self, line: usize, feature: Option<&Place>, message: impl Into<String>) {
        if self.full() {
            self.more += 1;
            return;
        }
        self.problems.push(Problem {
            line,
            feature: feature.cloned(),
            message: message.into(),
        });
    }

    /// True if another problem would only be counted.
    fn full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// A problem of the whole file.
    fn of_file(line: usize, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(line, None, message);
        errors
    }

    fn or<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for BacklogErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() + self.more {
            1 => f.write_str("the backlog file has a problem:")?,
            count => write!(f, "the backlog file has {count} problems:")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", self.more)?;
        }
        Ok(())
    }
}

/// Reads a backlog file and checks every feature of it by itself.
///
/// # Errors
///
/// All problems, each with its place. Text that is neither TOML nor JSON has one.
pub fn parse(text: &str, format: Format) -> Result<Vec<BacklogFeature>, BacklogErrors> {
    if text.len() > FILE_BYTES_MAX {
        let (found, limit) = (text.len(), FILE_BYTES_MAX);
        let message = format!("has {found} bytes, the limit is {limit}; split it into several");
        return Err(BacklogErrors::of_file(0, message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut errors = BacklogErrors::default();
    let entries = match format {
        Format::Toml => read::toml(text, &mut errors)?,
        Format::Json => read::json(text, &mut errors)?,
    };
    if entries.len() > FEATURES_MAX {
        let found = entries.len();
        let message = format!("has {found} features, the limit is {FEATURES_MAX}; take some out");
        return Err(BacklogErrors::of_file(0, message));
    }
    let features = (1..).zip(&entries);
    let features = features.map(|(number, entry)| fields::feature(number, entry, &mut errors));
    let features = features.collect();
    errors.or(features)
}
