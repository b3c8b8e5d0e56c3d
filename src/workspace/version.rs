//! Versions of git, and what they can do.

use std::fmt;

/// A version of git: major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// The oldest version that works; Debian 11 has it.
    pub const OLDEST: Self = Self(2, 30);

    /// The first version whose `merge-tree` merges without a working tree and from a named base.
    pub(super) const MERGE_TREE: Self = Self(2, 40);

    /// The first version that can be told to read no configuration of the user's.
    pub(super) const CONFIG_GLOBAL: Self = Self(2, 32);

    /// The first version that knows `core.fsync`.
    pub(super) const FSYNC: Self = Self(2, 36);

    /// Parses the output of `git version`, with any vendor's suffix.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix("git version ")?;
        let mut parts = numbers.split(|c: char| !c.is_ascii_digit());
        let mut next = || parts.next()?.parse().ok();
        Some(Self(next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Variables that keep git from every configuration file except the one of its git directory.
pub(super) fn only_own_config(version: Version) -> Vec<(&'static str, &'static str)> {
    let mut set = vec![("GIT_CONFIG_NOSYSTEM", "1")];
    match version >= Version::CONFIG_GLOBAL {
        true => set.push(("GIT_CONFIG_GLOBAL", "/dev/null")),
        // Filters do not find the person's own files then, which is better than what an agent wrote
        // there.
        false => set.extend([
            ("HOME", "/nonexistent"),
            ("XDG_CONFIG_HOME", "/nonexistent"),
        ]),
    }
    set
}
