//! Suggestions for typing errors.

use crate::model::clip::clip_chars;
use crate::model::nearest::nearest;

/// Keys that people write instead of ours and that are too different to be typing errors.
const SYNONYMS: [(&str, &str); 12] = [
    ("title", "name"),
    ("summary", "name"),
    ("number", "id"),
    ("group", "category"),
    ("requires", "depends_on"),
    ("needs", "depends_on"),
    ("blocked_by", "depends_on"),
    ("after", "depends_on"),
    ("tests", "checks"),
    ("commands", "checks"),
    ("acceptance_criteria", "steps"),
    ("details", "description"),
];

/// Keys that AutoForge keeps besides a feature's own.
const STATES: [&str; 4] = ["passes", "in_progress", "needs_human_input", "status"];

/// What to do about an unknown key.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    let found = quoted(key);
    if STATES.contains(&key) && known.contains(&"checks") {
        return format!("the key {found} is a state, which the log keeps; remove it");
    }
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == key);
    let synonym = synonym
        .map(|&(_, ours)| ours)
        .filter(|ours| known.contains(ours));
    match synonym.or_else(|| nearest(key, known.iter().copied())) {
        Some(ours) => format!("the key {found} is unknown; did you mean `{ours}`?"),
        None => format!(
            "the key {found} is unknown; remove it, or use one of: {}",
            known.join(", ")
        ),
    }
}

/// A text of the file, short and harmless enough for a line of a terminal.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown = clip_chars(text, SHOWN);
    let mark = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown:?}{mark}")
}
