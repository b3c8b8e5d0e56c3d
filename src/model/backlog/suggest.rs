//! Words for people who mistyped.

/// What people write instead of our keys, where it is too different to be a typing error.
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

/// What AutoForge keeps beside a feature.
const STATES: [&str; 4] = ["passes", "in_progress", "needs_human_input", "status"];

/// What to do about a key that nobody knows.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    let found = quoted(key);
    if STATES.contains(&key) && known.contains(&"checks") {
        return format!("the key {found} is a state, which the log keeps; take it out");
    }
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == key);
    let synonym = synonym
        .map(|&(_, ours)| ours)
        .filter(|ours| known.contains(ours));
    let nearest = || known.iter().copied().min_by_key(|ours| distance(key, ours));
    match synonym.or_else(nearest) {
        Some(ours) => format!("the key {found} is unknown; did you mean `{ours}`?"),
        None => format!("the key {found} is unknown; take it out"),
    }
}

/// How many characters have to be put in, taken out or replaced to make `b` of `a` (Levenshtein),
/// letters of either case being the same.
fn distance(a: &str, b: &str) -> usize {
    // A key that is longer than this is like none of ours.
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (line, b) in b.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, a) in row.iter_mut().skip(1).zip(&a) {
            let replaced = diagonal + usize::from(*a != b);
            diagonal = *cell;
            left = replaced.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A text of the file, short and harmless enough for a line of a terminal.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
