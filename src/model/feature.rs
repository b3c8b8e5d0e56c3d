//! A feature: a unit of intent with dependencies and checks.

use serde::{Deserialize, Serialize};

use super::ids::FeatureId;

/// What the backlog says of a feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureSpec {
    /// A group of like features; durations are learnt by it. May be empty.
    pub category: String,
    /// A short, unique title. 1 to [`FeatureSpec::NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// What is wanted.
    pub description: String,
    /// How to go about it or how to see that it works, in order.
    pub steps: Vec<String>,
    /// Shell commands; the feature passes when all exit with 0.
    pub checks: Vec<String>,
    /// What must pass before, ascending, without repeats.
    pub depends_on: Vec<FeatureId>,
    /// Greater is sooner among equals. Any number; 0 by default.
    pub priority: i32,
}

impl FeatureSpec {
    /// Names stand in one line of a terminal.
    pub const NAME_BYTES_MAX: usize = 200;
    /// Description, steps and checks together; fits well into one event of 1 MiB.
    pub const TEXT_BYTES_MAX: usize = 256 * 1024;
    /// Steps, and checks, of one feature: more is a backlog of its own.
    pub const ITEMS_MAX: usize = 1_000;
    /// Direct dependencies of one feature: a feature may wait for a whole milestone.
    pub const DEPENDENCIES_MAX: usize = 10_000;

    /// Bytes of all the texts together.
    pub fn text_bytes(&self) -> usize {
        let lists = self.steps.iter().chain(&self.checks);
        self.category.len() + self.description.len() + lists.map(String::len).sum::<usize>()
    }

    /// True when the other text asks for the same work: only its category, priority or
    /// dependencies differ.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.description == other.description
            && self.steps == other.steps
            && self.checks == other.checks
    }

    /// True when what proves one of the texts proves the other: the same checks or, without any,
    /// the same work.
    pub fn proven_by_the_same(&self, other: &Self) -> bool {
        self.checks == other.checks && (!self.checks.is_empty() || self.asks_the_same(other))
    }
}

/// Where a feature is in its life. Blocked and ready are both `Pending`: which of them follows
/// from its dependencies.
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
    /// Was passing and is not any more.
    Regressed,
    /// Waits for a person's answer.
    NeedsInput,
    /// A person decided to go without it.
    Skipped,
    /// Its tries are used up.
    Parked,
    /// No longer in the backlog.
    Removed,
}

impl Status {
    /// In words, as people read it.
    pub fn word(self) -> &'static str {
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
/// marks that turn the direction of writing. Names and categories hold none.
pub fn garbles(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
