//! The settings of a run. The log records them, so that a decision can be explained by the settings
//! of its time.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::evidence::Usage;

/// The kind of jobs that a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerKind {
    /// Implements features that do not pass yet.
    Coding,
    /// Tests passing features; changes no code.
    Testing,
}

impl WorkerKind {
    /// In a word, as on command lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coding => "coding",
            Self::Testing => "testing",
        }
    }
}

/// The settings of a run. `Default` is the result of an empty config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Most coding attempts at the same time, for any number of coding workers.
    pub max_concurrency: u32,
    /// Most testing attempts at the same time; 0 turns regression tests off.
    pub testing: u32,
    /// Most features in one coding job.
    pub batch_size: u32,
    /// Failed attempts after which a feature is parked.
    pub max_attempts: u32,
    /// Wait before the first retry, in milliseconds; doubles with every failure.
    pub retry_backoff_ms: u64,
    /// The longest wait before a retry, in milliseconds.
    pub retry_backoff_ms_max: u64,
    /// Silence after which an agent is ended, in milliseconds.
    pub idle_limit_ms: u64,
    /// Time limit of an attempt, in milliseconds.
    pub time_limit_ms: u64,
    /// Most tool calls in one session.
    pub step_limit: u32,
    /// Time limit of a check, in milliseconds.
    pub check_limit_ms: u64,
    /// Also launch a testing agent for features that have checks.
    pub test_with_agent: bool,
    /// Cost at which the run stops, in millionths of a US dollar; 0 is no limit.
    pub budget_microusd: u64,
    /// Number of tokens at which the run stops; 0 is no limit.
    pub budget_tokens: u64,
    /// The run ends when work has waited this long for a missing kind of worker, in milliseconds; 0
    /// waits forever.
    pub worker_wait_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_concurrency: 3,
            testing: 1,
            batch_size: 1,
            max_attempts: 3,
            retry_backoff_ms: 2_000,
            retry_backoff_ms_max: 300_000,
            idle_limit_ms: 600_000,
            time_limit_ms: 7_200_000,
            step_limit: 1_000,
            check_limit_ms: 900_000,
            test_with_agent: false,
            budget_microusd: 0,
            budget_tokens: 0,
            worker_wait_ms: 120_000,
        }
    }
}

/// A setting has a value that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{name} = {value}: must be {range}")]
pub struct SettingError {
    /// The field of [`Settings`].
    pub name: String,
    /// The value that is out of range.
    pub value: u64,
    /// What it may be.
    pub range: Range,
}

/// What a setting may be, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Range {
    /// From the first to the second, both included.
    Between(u64, u64),
    /// This or more.
    AtLeast(u64),
    /// This or less: more does not fit the field.
    AtMost(u64),
    /// 0 or 1.
    Flag,
    /// Nothing: no setting has this name.
    NoSuchSetting,
}

impl Range {
    /// The range as text, with numbers in the words of `say`.
    pub fn words(self, say: impl Fn(u64) -> String) -> String {
        match self {
            Self::Between(least, most) => format!("{} to {}", say(least), say(most)),
            Self::AtLeast(least) => format!("at least {}", say(least)),
            Self::AtMost(most) => format!("at most {}", say(most)),
            Self::Flag => "0 or 1".to_owned(),
            Self::NoSuchSetting => format!("a setting ({})", Settings::NAMES.join(", ")),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(|number| number.to_string()))
    }
}

/// A field of [`Settings`].
enum Field<'a> {
    Count(&'a mut u32),
    Amount(&'a mut u64),
    Flag(&'a mut bool),
}

impl Settings {
    /// The names of all fields.
    pub const NAMES: [&'static str; 14] = [
        "max_concurrency",
        "testing",
        "batch_size",
        "max_attempts",
        "retry_backoff_ms",
        "retry_backoff_ms_max",
        "idle_limit_ms",
        "time_limit_ms",
        "step_limit",
        "check_limit_ms",
        "test_with_agent",
        "budget_microusd",
        "budget_tokens",
        "worker_wait_ms",
    ];

    fn field(&mut self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "max_concurrency" => Field::Count(&mut self.max_concurrency),
            "testing" => Field::Count(&mut self.testing),
            "batch_size" => Field::Count(&mut self.batch_size),
            "max_attempts" => Field::Count(&mut self.max_attempts),
            "retry_backoff_ms" => Field::Amount(&mut self.retry_backoff_ms),
            "retry_backoff_ms_max" => Field::Amount(&mut self.retry_backoff_ms_max),
            "idle_limit_ms" => Field::Amount(&mut self.idle_limit_ms),
            "time_limit_ms" => Field::Amount(&mut self.time_limit_ms),
            "step_limit" => Field::Count(&mut self.step_limit),
            "check_limit_ms" => Field::Amount(&mut self.check_limit_ms),
            "test_with_agent" => Field::Flag(&mut self.test_with_agent),
            "budget_microusd" => Field::Amount(&mut self.budget_microusd),
            "budget_tokens" => Field::Amount(&mut self.budget_tokens),
            "worker_wait_ms" => Field::Amount(&mut self.worker_wait_ms),
            _ => return None,
        })
    }

    /// The differences in `other`, as text: `max_concurrency 3 -> 5, testing 1 -> 0`.
    pub fn changes_to(&self, other: &Self) -> String {
        let changes = Self::NAMES.iter().filter_map(|name| {
            let (from, to) = (self.get(name)?, other.get(name)?);
            (from != to).then(|| format!("{name} {from} -> {to}"))
        });
        changes.collect::<Vec<_>>().join(", ")
    }

    /// The value of the field with this name, in the field's unit; 0 or 1 for a flag.
    pub fn get(&self, name: &str) -> Option<u64> {
        let mut copy = self.clone();
        Some(match copy.field(name)? {
            Field::Count(count) => u64::from(*count),
            Field::Amount(amount) => *amount,
            Field::Flag(flag) => u64::from(*flag),
        })
    }

    /// Sets the field with this name. [`validate`](Self::validate) checks its range.
    ///
    /// # Errors
    /// There is no such field, or its type cannot hold the value.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), SettingError> {
        let error = |range| SettingError {
            name: name.to_owned(),
            value,
            range,
        };
        let too_large = || error(Range::AtMost(u32::MAX.into()));
        match self.field(name) {
            Some(Field::Count(count)) => *count = value.try_into().map_err(|_| too_large())?,
            Some(Field::Amount(amount)) => *amount = value,
            Some(Field::Flag(flag)) if value <= 1 => *flag = value == 1,
            Some(Field::Flag(_)) => return Err(error(Range::Flag)),
            None => return Err(error(Range::NoSuchSetting)),
        }
        Ok(())
    }

    /// Milliseconds to wait after a failure when `failures` came before it: doubling, at most
    /// `retry_backoff_ms_max`; `jitter` chooses between half of it and all of it.
    pub fn backoff_ms(&self, failures: u32, jitter: u64) -> u64 {
        let doubled = self.retry_backoff_ms.saturating_mul(1 << failures.min(32));
        let whole = doubled.min(self.retry_backoff_ms_max);
        let half = whole / 2;
        half + jitter % (whole - half + 1)
    }

    /// True if `spent` uses up the budget.
    pub fn exhausted_by(&self, spent: Usage) -> bool {
        let reached = |limit: u64, used: u64| limit > 0 && used >= limit;
        reached(self.budget_microusd, spent.cost_microusd)
            || reached(self.budget_tokens, spent.tokens())
    }

    /// Checks every value against its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let day = 86_400_000;
        let bounds: [(&str, u64, u64, u64); 10] = [
            // No known machine runs more sessions than this.
            ("max_concurrency", self.max_concurrency.into(), 1, 1_000),
            ("testing", self.testing.into(), 0, 1_000),
            ("batch_size", self.batch_size.into(), 1, 50),
            ("max_attempts", self.max_attempts.into(), 1, 100),
            ("retry_backoff_ms", self.retry_backoff_ms, 0, day),
            ("retry_backoff_ms_max", self.retry_backoff_ms_max, 0, day),
            ("idle_limit_ms", self.idle_limit_ms, 100, day),
            ("time_limit_ms", self.time_limit_ms, 100, 7 * day),
            ("check_limit_ms", self.check_limit_ms, 100, day),
            ("worker_wait_ms", self.worker_wait_ms, 0, 7 * day),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(SettingError {
                    name: name.to_owned(),
                    value,
                    range: Range::Between(least, most),
                });
            }
        }
        if self.step_limit == 0 {
            return Err(SettingError {
                name: "step_limit".to_owned(),
                value: 0,
                range: Range::AtLeast(1),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_name() {
        let defaults = Settings::default();
        let fields = format!("{defaults:?}").matches(": ").count();
        assert_eq!(Settings::NAMES.len(), fields);
        for name in Settings::NAMES {
            let mut settings = defaults.clone();
            let value = u64::from(defaults.get(name) == Some(0));
            settings.set(name, value).expect("it is a field");
            assert_eq!(settings.get(name), Some(value), "{name}");
            let differs = format!("{settings:?}").contains(&format!("{name}: "));
            assert!(
                differs && settings != defaults || name == "step_limit",
                "{name}"
            );
        }
        let mut settings = defaults;
        let unknown = settings.set("speed", 1).expect_err("no such field");
        assert!(unknown.to_string().contains("max_concurrency"), "{unknown}");
        let large = settings.set("testing", 1 << 40).expect_err("too large");
        assert!(large.to_string().contains("at most"), "{large}");
        assert!(settings.set("test_with_agent", 2).is_err());
    }
}
