//! Finds the known word that a mistyped one probably means.

/// A longer word matches none of ours.
const WORD_CHARS_MAX: usize = 64;

/// Shorter words are a prefix of too many others.
const PREFIX_CHARS_MIN: usize = 2;
const ABBREVIATION_CHARS_MIN: usize = 3;

/// The known word that `word` may stand for, the most likely one: the same except for case and
/// separators, a beginning of it (`prio`) or a longer form of it, a typing error, or an
/// abbreviation (`desc`, `deps`). `None` if it is another word altogether.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = plain(word);
    let scored = known
        .into_iter()
        .filter_map(|candidate| Some((likeness(&word, &plain(candidate))?, candidate)));
    // Among equals the first one: lists of known words begin with the most usual.
    scored
        .min_by_key(|(score, _)| *score)
        .map(|(_, candidate)| candidate)
}

/// The distance between the words, nearest first; `None` if they are unrelated.
fn likeness(word: &[char], candidate: &[char]) -> Option<(u8, usize)> {
    let (short, long) = match word.len() <= candidate.len() {
        true => (word, candidate),
        false => (candidate, word),
    };
    let apart = long.len() - short.len();
    if word == candidate {
        return Some((0, 0));
    }
    let edits = edits(word, candidate);
    // One typing error for every three letters; more is another word.
    let allowed = ((word.len() + 1) / 3).clamp(1, 3);
    if edits == 1 && word.len() > 1 {
        return Some((1, edits));
    }
    if short.len() >= PREFIX_CHARS_MIN && long.starts_with(short) {
        return Some((2, apart));
    }
    if edits <= allowed {
        return Some((3, edits));
    }
    let abbreviates = word.len() >= ABBREVIATION_CHARS_MIN
        && word.first() == candidate.first()
        && is_subsequence(word, candidate);
    abbreviates.then_some((4, apart))
}

/// The letters of a word that matter.
fn plain(word: &str) -> Vec<char> {
    let letters = word
        .chars()
        .filter(|letter| !matches!(letter, '_' | '-' | ' '));
    letters
        .flat_map(char::to_lowercase)
        .take(WORD_CHARS_MAX)
        .collect()
}

fn is_subsequence(short: &[char], long: &[char]) -> bool {
    let mut letters = long.iter();
    short
        .iter()
        .all(|letter| letters.any(|other| other == letter))
}

/// Number of letters to insert, delete, replace or exchange with their neighbour to turn one word
/// into the other (Damerau and Levenshtein's distance, each place edited once).
fn edits(one: &[char], other: &[char]) -> usize {
    let width = other.len() + 1;
    let mut two_above: Vec<usize> = vec![0; width];
    let mut above: Vec<usize> = (0..width).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, candidate) in other.iter().enumerate() {
            let at = |cells: &[usize], at: usize| cells.get(at).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column).saturating_add(usize::from(letter != candidate));
            let taken_out = at(&above, column + 1).saturating_add(1);
            let put_in = at(&line, column).saturating_add(1);
            let mut best = replaced.min(taken_out).min(put_in);
            let before = row.checked_sub(1).and_then(|row| one.get(row));
            let beside = column.checked_sub(1).and_then(|column| other.get(column));
            if before == Some(candidate) && beside == Some(letter) {
                best = best.min(at(&two_above, column - 1).saturating_add(1));
            }
            line.push(best);
        }
        two_above = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_and_nothing_else() {
        let known = [
            "name",
            "category",
            "description",
            "steps",
            "checks",
            "depends_on",
            "priority",
            "id",
        ];
        let table = [
            ("prio", Some("priority")),
            ("Priority", Some("priority")),
            ("priorty", Some("priority")),
            ("pirority", Some("priority")),
            ("desc", Some("description")),
            ("dscr", Some("description")),
            ("descriptions", Some("description")),
            ("check", Some("checks")),
            ("chekcs", Some("checks")),
            ("cat", Some("category")),
            ("dependsOn", Some("depends_on")),
            ("depends-on", Some("depends_on")),
            ("deps", Some("depends_on")),
            ("step", Some("steps")),
            ("nmae", Some("name")),
            ("names", Some("name")),
            ("ids", Some("id")),
            ("di", Some("id")),
            ("colour", None),
            ("x", None),
            ("", None),
            ("weight", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn distances() {
        let edits = |one: &str, other: &str| {
            let letters = |word: &str| word.chars().collect::<Vec<_>>();
            edits(&letters(one), &letters(other))
        };
        let table = [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("ab", "ba", 1),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("checsk", "checks", 1),
        ];
        for (one, other, expected) in table {
            assert_eq!(edits(one, other), expected, "{one} {other}");
            assert_eq!(edits(other, one), expected, "{other} {one}");
        }
    }
}
