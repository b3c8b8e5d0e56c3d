//! A run's config as text, one `key = value` per line, and the differences between two such texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Changes that are named; more are counted.
pub const CHANGES_MAX: usize = 50;

/// Bytes of a value that are shown; a longer one is replaced by its digest and length.
const VALUE_BYTES_MAX: usize = 200;

/// A value that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The key with its section.
    pub key: String,
    /// The value before, as in the file; empty if there was none.
    pub before: String,
    /// The value now; empty if there is none.
    pub after: String,
}

impl ConfigChange {
    /// `checks.keep_ignored: [] -> ["*"]`.
    pub fn words(&self) -> String {
        let named = |value: &str| match value {
            "" => "(none)".to_owned(),
            value => value.to_owned(),
        };
        format!(
            "{}: {} -> {}",
            self.key,
            named(&self.before),
            named(&self.after)
        )
    }
}

/// The keys whose values differ, ascending.
pub fn differences(before: &str, after: &str) -> Vec<ConfigChange> {
    let (before, after) = (values(before), values(after));
    let mut keys: Vec<&str> = before.keys().chain(after.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let changed = keys.into_iter().filter_map(|key| {
        let (old, new) = (before.get(key), after.get(key));
        (old != new).then(|| ConfigChange {
            key: key.to_owned(),
            before: shown(old.copied().unwrap_or_default()),
            after: shown(new.copied().unwrap_or_default()),
        })
    });
    changed.collect()
}

/// The first few changes, on one line.
pub fn words(changes: &[ConfigChange], total: u32) -> String {
    const NAMED_MAX: usize = 5;
    let named = changes.iter().take(NAMED_MAX).map(ConfigChange::words);
    let named = named.collect::<Vec<_>>().join("; ");
    match (total as usize).saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// Stands for a value that is too long, or that nobody may read.
pub fn digest(value: &[u8]) -> String {
    let digest = Sha256::digest(value);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits} ({} bytes)", value.len())
}

fn shown(value: &str) -> String {
    match value.len() {
        0..=VALUE_BYTES_MAX => value.to_owned(),
        _ => digest(value.as_bytes()),
    }
}

fn values(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        let before = "a.b = 1\nc.d = [\"x = y\"]\ngone = true\nlong = s\n";
        let after = format!("a.b = 2\nc.d = [\"x = y\"]\nnew = \"\"\nlong = {long}\n");
        let changes = differences(before, &after);
        let told: Vec<String> = changes.iter().map(ConfigChange::words).collect();
        let digest = digest(long.as_bytes());
        assert_eq!(
            told,
            [
                "a.b: 1 -> 2".to_owned(),
                "gone: true -> (none)".to_owned(),
                format!("long: s -> {digest}"),
                "new: (none) -> \"\"".to_owned(),
            ]
        );
        assert!(digest.starts_with("sha256:") && digest.ends_with("(201 bytes)"));
        assert!(differences(before, before).is_empty());
        assert_eq!(
            words(&changes[..2], 9),
            "a.b: 1 -> 2; gone: true -> (none); and 4 more"
        );
    }
}
