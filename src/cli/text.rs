//! Text for a terminal: made harmless, measured, cut and coloured.

use unicode_width::UnicodeWidthChar;

use crate::model::views::Mark;

/// What a backlog, an agent or a program wrote, as one harmless line: no escape sequences and no
/// control characters (they could move the cursor or set the window's title), no marks that turn
/// the direction of writing (they could make a line read as another one), and line ends as spaces.
pub fn clean(text: &str) -> String {
    let text = clean_lines(text.trim());
    text.replace(['\n', '\t'], " ")
}

/// The same, as harmless lines: line ends and tabs stay, and a carriage return, by which programs
/// write over what they wrote before, ends a line.
pub fn clean_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = match letter {
            '\u{1b}' | '\u{9b}' => match escape_sequence(letter, after) {
                Some(behind) => behind,
                None => {
                    out.push('\u{fffd}');
                    after
                }
            },
            '\r' => {
                out.push('\n');
                after.strip_prefix('\n').unwrap_or(after)
            }
            letter => {
                out.extend(harmless(letter));
                after
            }
        };
    }
    out
}

fn harmless(letter: char) -> Option<char> {
    match letter {
        '\n' | '\t' => Some(letter),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => None,
        '\u{2028}' | '\u{2029}' => Some('\u{fffd}'),
        letter if letter.is_control() => Some('\u{fffd}'),
        letter => Some(letter),
    }
}

/// A program's title or link is not longer than this; what is has not ended.
const ESCAPE_BYTES_MAX: usize = 4_096;

/// What follows an escape sequence whose first character, `letter`, was read (ECMA-48); `None`
/// when it does not end.
fn escape_sequence(letter: char, after: &str) -> Option<&str> {
    let (kind, body) = match letter {
        '\u{9b}' => (b'[', after),
        _ => (*after.as_bytes().first()?, after.get(1..)?),
    };
    let near = body
        .as_bytes()
        .get(..ESCAPE_BYTES_MAX)
        .unwrap_or(body.as_bytes());
    let end = match kind {
        b'[' => near.iter().position(|byte| !(0x20..=0x3f).contains(byte))?,
        // A string: to the bell, or to the terminator `ESC \`.
        b']' | b'P' | b'X' | b'^' | b'_' => {
            let end = |byte: &u8| matches!(byte, 0x07 | 0x1b | b'\n');
            let ending = body.get(near.iter().position(end)?..)?;
            return ending
                .strip_prefix('\u{7}')
                .or_else(|| ending.strip_prefix("\x1b\\"));
        }
        // Characters between, and a last one, which may be the first.
        0x20..=0x2f => near.iter().position(|byte| !(0x20..=0x2f).contains(byte))?,
        0x30..=0x7e => return Some(body),
        _ => return None,
    };
    let last = near.get(end)?;
    (0x30..=0x7e).contains(last).then(|| body.get(end + 1..))?
}

/// Columns that a text takes. Control characters take none, so clean it first.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

/// The text, cut so that it takes at most `most` columns; a cut is shown by `…`.
pub fn fit(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = most.saturating_sub(1);
    for letter in text.chars() {
        let Some(rest) = left.checked_sub(columns(letter)) else {
            break;
        };
        left = rest;
        out.push(letter);
    }
    if most > 0 {
        out.push('…');
    }
    out
}

/// The text in exactly `columns` columns, cut or filled up on the right.
pub fn cell(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let filling = columns.saturating_sub(width(&text));
    text + &" ".repeat(filling)
}

/// The text in exactly `columns` columns, cut or filled up on the left.
pub fn cell_right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let filling = columns.saturating_sub(width(&text));
    " ".repeat(filling) + &text
}

/// What a text means, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Stands out.
    Strong,
    /// Stands back.
    Faint,
    /// As wished.
    Good,
    /// Needs an eye.
    Warning,
    /// Not as wished.
    Bad,
    /// Under way, or of interest.
    Note,
}

/// Whether and how to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    /// False writes no escape sequences at all.
    pub color: bool,
}

impl Paint {
    /// The text in its colour. Takes as many columns as the text alone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        // The sixteen basic colours follow the user's own palette, light or dark.
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Note => "36",
        };
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The colour of what happened.
pub fn tone(mark: Mark) -> Tone {
    match mark {
        Mark::Pass => Tone::Good,
        Mark::Fail | Mark::Regression | Mark::Park | Mark::Spent => Tone::Bad,
        Mark::Lost | Mark::Late | Mark::Unsure | Mark::Limit | Mark::Cancel | Mark::Note => {
            Tone::Warning
        }
        Mark::Ask | Mark::Pause | Mark::Head | Mark::Back | Mark::Again => Tone::Warning,
        Mark::Test | Mark::Start | Mark::Merge | Mark::Retry | Mark::Reply => Tone::Note,
        Mark::Run | Mark::End | Mark::Resume => Tone::Strong,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_harmful_is_left() {
        let table = [
            ("plain", "plain"),
            ("  two\nlines\tand\r\nmore ", "two lines and more"),
            ("\x1b]0;title\x07\x1b[31mred\x1b[0m", "red"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Ba\x1bMb\x1b[?25lc", "abc"),
            // What does not end takes nothing away but its own beginning.
            ("\x1b]0;title\nnext", "\u{fffd}]0;title next"),
            ("a\x1b[31", "a\u{fffd}[31"),
            ("a\x1b", "a\u{fffd}"),
            ("a\x1b[3\u{e9}m\x07", "a\u{fffd}[3\u{e9}m\u{fffd}"),
            ("a\u{202e}b\u{2066}c", "abc"),
            ("\u{9b}31m", ""),
            ("日本語 é", "日本語 é"),
        ];
        for (text, expected) in table {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_stay_lines() {
        let table = [
            ("a\r\nb\n\n\tc", "a\nb\n\n\tc"),
            ("10%\r20%\r", "10%\n20%\n"),
            ("\x1b[1mbold\x1b[0m\n\x08", "bold\n\u{fffd}"),
        ];
        for (text, expected) in table {
            assert_eq!(clean_lines(text), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_fit() {
        let table = [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("abcdef", 1, "…"),
            ("abcdef", 0, ""),
            ("", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            // Half of a wide letter is never shown.
            ("日本語", 4, "日…"),
        ];
        for (text, most, expected) in table {
            let fitted = fit(text, most);
            assert_eq!(fitted, expected, "{text:?} in {most}");
            assert!(width(&fitted) <= most, "{text:?} in {most}");
            assert_eq!(width(&cell(text, most)), most, "{text:?} in {most}");
            assert_eq!(width(&cell_right(text, most)), most, "{text:?} in {most}");
        }
    }

    #[test]
    fn colours_only_when_asked() {
        assert_eq!(Paint { color: false }.paint(Tone::Bad, "x"), "x");
        assert_eq!(
            Paint { color: true }.paint(Tone::Bad, "x"),
            "\x1b[31mx\x1b[0m"
        );
        assert_eq!(Paint { color: true }.paint(Tone::Plain, "x"), "x");
    }
}
