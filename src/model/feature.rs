//! A feature: a unit of intent with dependencies and checks.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::ids::FeatureId;

/// A feature's text in the backlog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureSpec {
    /// A group of similar features, which share their expected duration. May be empty.
    pub category: String,
    /// A short, unique title. 1 to [`FeatureSpec::NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// What is wanted.
    pub description: String,
    /// How to do it or how to see that it works, in order.
    pub steps: Vec<String>,
    /// Shell commands; the feature passes if all exit with 0.
    pub checks: Vec<String>,
    /// Features that must pass before, ascending, without repeats.
    pub depends_on: Vec<FeatureId>,
    /// A greater number goes first among equals. Any number; 0 by default.
    pub priority: i32,
}

impl FeatureSpec {
    /// Names are shown on one line of a terminal.
    pub const NAME_BYTES_MAX: usize = 200;
    /// Description, steps and checks together; fits well into one event of 1 MiB.
    pub const TEXT_BYTES_MAX: usize = 256 * 1024;
    /// Steps, and checks, of one feature: more would be a backlog of its own.
    pub const ITEMS_MAX: usize = 1_000;
    /// Direct dependencies of one feature: a feature may wait for a whole milestone.
    pub const DEPENDENCIES_MAX: usize = 10_000;

    /// Bytes of all the texts together.
    pub fn text_bytes(&self) -> usize {
        let lists = self.steps.iter().chain(&self.checks);
        self.category.len() + self.description.len() + lists.map(String::len).sum::<usize>()
    }

    /// Converts every text to the line ends of Unix: a shell takes the carriage return of Windows
    /// for a part of the last word of its line.
    pub fn normalise_line_ends(&mut self) {
        let prose = [&mut self.category, &mut self.name, &mut self.description];
        for text in prose.into_iter().chain(&mut self.steps) {
            // The line ends of old Macs, which mean nothing else in prose.
            normalise(text, |text| text.replace('\r', "\n"));
        }
        for check in &mut self.checks {
            // In the middle of a command's line a carriage return may be intended.
            normalise(check, |text| text);
        }
    }

    /// True if [`Self::normalise_line_ends`] would change something.
    pub fn has_foreign_line_ends(&self) -> bool {
        let own = [&self.category, &self.name, &self.description];
        let prose = own.into_iter().chain(&self.steps);
        prose.clone().any(|text| text.contains('\r'))
            || self
                .checks
                .iter()
                .any(|check| matches!(unix_line_ends(check), Cow::Owned(_)))
    }

    /// True if the other text asks for the same work: only its category, priority or dependencies
    /// differ.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.description == other.description
            && self.steps == other.steps
            && self.checks == other.checks
    }

    /// True if a proof of one text proves the other: the same checks or, without any, the same
    /// work.
    pub fn proven_by_the_same(&self, other: &Self) -> bool {
        self.checks == other.checks && (!self.checks.is_empty() || self.asks_the_same(other))
    }
}

fn normalise(text: &mut String, lone: impl Fn(String) -> String) {
    if text.contains('\r') {
        *text = lone(unix_line_ends(text).into_owned());
    }
}

/// The text without carriage returns at the ends of its lines, however many (a file that was
/// converted twice has two).
fn unix_line_ends(text: &str) -> Cow<'_, str> {
    if !text.contains("\r\n") && !text.ends_with('\r') {
        return Cow::Borrowed(text);
    }
    let lines: Vec<&str> = text
        .split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    Cow::Owned(lines.join("\n"))
}

/// The stored status of a feature. Blocked and ready are both `Pending`: its dependencies decide
/// which.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not done yet.
    #[default]
    Pending,
    /// A coding attempt works on it.
    Running,
    /// Merged and proven.
    Passing,
    /// It passed before and no longer does.
    Regressed,
    /// Waits for a person's answer.
    NeedsInput,
    /// A person decided to continue without it.
    Skipped,
    /// Its tries are used up.
    Parked,
    /// No longer in the backlog.
    Removed,
}

impl Status {
    /// In words, as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Passing => "passing",
            Self::Regressed => "regressed",
            Self::NeedsInput => "waiting for an answer",
            Self::Skipped => "skipped",
            Self::Parked => "parked",
            Self::Removed => "removed",
        }
    }
}

/// True for what would garble a terminal or hide in it: control characters, line separators, and
/// marks that change the direction of writing. Names and categories contain none.
pub fn garbles(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_gets_the_line_ends_of_unix() {
        let windows = |text: &str| text.replace('\n', "\r\n");
        let text = "one\n\ttwo\n\nthree\n";
        let spec = FeatureSpec {
            category: "c\r".to_owned(),
            name: "n\r\n".to_owned(),
            description: windows(text),
            steps: vec![windows(text), "old\rMac\r".to_owned()],
            checks: vec![
                windows(text),
                "true\r".to_owned(),
                "a\r\r\nb".to_owned(),
                "printf 'x\ry'\r\n".to_owned(),
            ],
            ..FeatureSpec::default()
        };
        let mut normal = spec.clone();
        normal.normalise_line_ends();
        assert_eq!(normal.category, "c");
        assert_eq!(normal.name, "n\n");
        assert_eq!(normal.description, text);
        assert_eq!(normal.steps, [text, "old\nMac"]);
        assert_eq!(normal.checks, [text, "true", "a\nb", "printf 'x\ry'\n"]);
        assert!(spec.has_foreign_line_ends());
        assert!(!normal.has_foreign_line_ends(), "{normal:?}");
        let once = normal.clone();
        normal.normalise_line_ends();
        assert_eq!(normal, once);
    }
}
