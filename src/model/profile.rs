//! The agents that a run may use, by name, in orders of preference.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::settings::WorkerKind;

/// Name of an agent's profile: NAME in the section `[agents.NAME]` of the config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileName(pub String);

impl ProfileName {
    /// Longer names do not fit beside anything else in a line.
    pub const BYTES_MAX: usize = 40;

    /// The profile of logs and configs that name none.
    pub fn unnamed() -> Self {
        Self("agent".to_owned())
    }

    /// Whether a person gave it this name.
    pub fn is_named(&self) -> bool {
        *self != Self::unnamed()
    }

    /// As the subject of a sentence.
    pub fn subject(&self) -> String {
        match self.is_named() {
            true => format!("the agent {self}"),
            false => "the agent".to_owned(),
        }
    }

    /// One of its keys in the config.
    pub fn key(&self, key: &str) -> String {
        let unnamed = Self::unnamed();
        // In configs of earlier versions, a section inside of `[agent]` is an agent, too.
        let old = self.0.split('.').next() == Some(&unnamed.0);
        match old {
            true => format!("{self}.{key}"),
            false => format!("agents.{self}.{key}"),
        }
    }

    /// Whether it can be a profile's name: a word that needs no quotes anywhere.
    pub fn is_sound(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=Self::BYTES_MAX).contains(&self.0.len()) && self.0.bytes().all(plain)
    }
}

impl Default for ProfileName {
    fn default() -> Self {
        Self::unnamed()
    }
}

impl From<&str> for ProfileName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which profiles do which jobs. The first that can work does; the next ones take over while its
/// provider refuses or fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profiles {
    /// For coding jobs, the preferred one first.
    pub coding: Vec<ProfileName>,
    /// For testing jobs that need an agent.
    pub testing: Vec<ProfileName>,
}

impl Profiles {
    /// More would say that nobody has decided anything.
    pub const EACH_MAX: usize = 16;

    /// Those for jobs of this kind, the preferred one first.
    pub fn of(&self, kind: WorkerKind) -> &[ProfileName] {
        match kind {
            WorkerKind::Coding => &self.coding,
            WorkerKind::Testing => &self.testing,
        }
    }

    /// Every profile, once.
    pub fn all(&self) -> impl Iterator<Item = &ProfileName> {
        let testing = self.testing.iter();
        let others = testing.filter(|name| !self.coding.contains(name));
        self.coding.iter().chain(others)
    }
}

impl fmt::Display for Profiles {
    /// `coding: claude, then codex; testing: codex`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, kind) in [WorkerKind::Coding, WorkerKind::Testing]
            .into_iter()
            .enumerate()
        {
            let names: Vec<_> = self.of(kind).iter().map(|name| name.0.as_str()).collect();
            let before = if at > 0 { "; " } else { "" };
            let names = match names.is_empty() {
                true => "no agent".to_owned(),
                false => names.join(", then "),
            };
            write!(f, "{before}{}: {names}", kind.as_str())?;
        }
        Ok(())
    }
}

impl Default for Profiles {
    fn default() -> Self {
        Self {
            coding: vec![ProfileName::unnamed()],
            testing: vec![ProfileName::unnamed()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for sound in ["claude", "claude-2", "my_agent", "X"] {
            assert!(ProfileName::from(sound).is_sound(), "{sound}");
        }
        let long = "x".repeat(ProfileName::BYTES_MAX + 1);
        for odd in ["", "a b", "é", "a.b", "a\n", long.as_str()] {
            assert!(!ProfileName::from(odd).is_sound(), "{odd:?}");
        }
    }

    #[test]
    fn keys_are_those_of_the_config() {
        let table = [
            ("claude", "agents.claude.mode"),
            ("agent", "agent.mode"),
            ("agent.testing", "agent.testing.mode"),
            ("agent-2", "agents.agent-2.mode"),
        ];
        for (name, key) in table {
            assert_eq!(ProfileName::from(name).key("mode"), key);
        }
    }

    #[test]
    fn each_profile_is_named_once() {
        let profiles = Profiles {
            coding: vec!["a".into(), "b".into()],
            testing: vec!["b".into(), "c".into()],
        };
        let all: Vec<_> = profiles.all().map(|name| name.0.as_str()).collect();
        assert_eq!(all, ["a", "b", "c"]);
    }
}
