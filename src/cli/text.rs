//! Text for a terminal: cleaned, measured, cut and coloured.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use unicode_width::UnicodeWidthChar;

use crate::model::feature::garbles;
use crate::model::ids::Timestamp;
use crate::model::views::Label;

/// A time in UTC by RFC 3339: `2026-11-22T15:04:05Z`.
pub fn time(at: Timestamp) -> String {
    // humantime panics from the year 10000 on, which a wrong clock can show.
    let seconds = (at.0 / 1_000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// Text from a backlog, an agent or a program as one safe line. Control characters (which could move
/// the cursor, set the window's title, or break a command invisibly) and marks that change the
/// direction of writing are shown by name; line ends become spaces.
pub fn clean(text: &str) -> String {
    let text = clean_lines(trimmed(text));
    text.replace(['\n', '\t'], " ")
}

/// The text without surrounding spaces and line ends. Carriage returns stay, because they are shown.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\n', '\t'])
}

/// Like [`clean`], but line ends and tabs stay. Colours are removed. A carriage return, with which
/// programs overwrite a line, is shown as `^M` and ends the line.
pub fn clean_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = after;
        match letter {
            '\u{1b}' => match colour(after) {
                Some(behind) => rest = behind,
                None => out.push_str("^["),
            },
            '\r' => {
                out.push_str("^M");
                rest = after.strip_prefix('\n').unwrap_or(after);
                if !after.is_empty() {
                    out.push('\n');
                }
            }
            letter => show(letter, &mut out),
        }
    }
    out
}

/// Adds a character; one that would control the terminal is shown by name, like `^G` (as in `cat -v`).
fn show(letter: char, out: &mut String) {
    match letter {
        '\n' | '\t' => out.push(letter),
        '\u{7f}' => out.push_str("^?"),
        // `^@` to `^_`: the letter's code is 64 higher.
        letter if letter.is_ascii_control() => {
            let code = u8::try_from(letter).unwrap_or_default();
            out.extend(['^', char::from(code.saturating_add(64))]);
        }
        // Marks without width that right-to-left scripts need; they do not change the direction.
        '\u{200e}' | '\u{200f}' => {}
        letter if garbles(letter) => out.push_str(&format!("<U+{:04X}>", u32::from(letter))),
        letter => out.push(letter),
    }
}

/// If `after`, the text after an escape character, continues a colour sequence (`ESC [ ... m`), the
/// text after that sequence; otherwise `None`.
fn colour(after: &str) -> Option<&str> {
    let body = after.strip_prefix('[')?;
    let end =
        body.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, ';' | ':')))?;
    body.get(end..)?.strip_prefix('m')
}

/// Terminal columns of a text. Control characters count as none, so clean the text first.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

/// The text, cut to at most `most` columns; a cut ends with `…`.
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

/// The lines of a paragraph as byte ranges, each at most `most` columns wide, and all but the first
/// `indent` columns narrower. Breaks only at spaces and never inside backticks, so that a command can
/// be copied; a longer word or command has a line of its own.
pub fn wrap(text: &str, most: usize, indent: usize) -> Vec<Range<usize>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    for word in words(text) {
        let room = most.saturating_sub(if lines.len() > 1 { indent } else { 0 });
        match lines.last_mut() {
            Some(line) if fits(text, line.start..word.end, room) => line.end = word.end,
            Some(_) => lines.push(word),
            // Spaces before the first word are part of the text.
            None => lines.push(0..word.end),
        }
    }
    lines
}

fn fits(text: &str, range: Range<usize>, room: usize) -> bool {
    text.get(range).is_some_and(|line| width(line) <= room)
}

/// What stands between spaces. From one backtick to the next, spaces are part of a word.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let (mut quoted, mut open) = (false, false);
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        if letter == '`' {
            // A single one quotes nothing.
            quoted = !quoted && text.get(end..).is_some_and(|rest| rest.contains('`'));
        }
        let space = letter == ' ' && !quoted;
        match words.last_mut() {
            _ if space => {}
            Some(word) if open => word.end = end,
            _ => words.push(at..end),
        }
        open = !space;
    }
    words
}

/// A paragraph, wrapped at `most` columns if given. Lines after the first begin with `indent` spaces.
pub fn paragraph(text: &str, most: Option<usize>, indent: usize) -> String {
    let Some(most) = most else {
        return text.to_owned();
    };
    let lines = wrap(text, most, indent);
    let lines: Vec<&str> = lines.into_iter().filter_map(|it| text.get(it)).collect();
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// The text in exactly `columns` columns, cut or padded on the right.
pub fn cell(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let filling = columns.saturating_sub(width(&text));
    text + &" ".repeat(filling)
}

/// The text in exactly `columns` columns, cut or padded on the left.
pub fn cell_right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let filling = columns.saturating_sub(width(&text));
    " ".repeat(filling) + &text
}

/// The meaning of a text, which determines its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Ordinary text, in the terminal's own colour.
    Plain,
    /// Bold, for titles and names.
    Strong,
    /// Dimmed, for details.
    Faint,
    /// Green, for success.
    Good,
    /// Yellow: needs attention.
    Warning,
    /// Red, for failure.
    Bad,
    /// Cyan: in progress.
    Note,
}

/// Whether to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// False writes no escape sequences at all.
    pub color: bool,
}

impl Palette {
    /// The text in its colour. Escape sequences take no columns.
    pub fn palette(self, style: Style, text: &str) -> String {
        // The sixteen basic colours follow the user's own palette, light or dark.
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "31",
            Style::Note => "36",
        };
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The style of an event's label.
pub fn style_of(label: Label) -> Style {
    match label {
        Label::Pass => Style::Good,
        Label::Fail | Label::Regression | Label::Park | Label::Spent | Label::Deny => Style::Bad,
        Label::Lost
        | Label::Late
        | Label::Unsure
        | Label::Limit
        | Label::Hold
        | Label::Cancel
        | Label::Note => Style::Warning,
        Label::Ask | Label::Pause | Label::Head | Label::Release | Label::Rebase => Style::Warning,
        Label::Test | Label::Start | Label::Merge | Label::Retry | Label::Reply => Style::Note,
        Label::Run | Label::End | Label::Resume => Style::Strong,
        _ => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_harmful_is_left_and_nothing_is_hidden() {
        let table = [
            ("plain", "plain"),
            ("  two\nlines\tand\r\nmore ", "two lines and^M more"),
            ("test -f x\r", "test -f x^M"),
            ("\x1b[31mred\x1b[0m \x1b[38;5;1;4:3mx", "red x"),
            ("\x1b]0;title\x07x", "^[]0;title^Gx"),
            ("\x1b]8;;http://x\x1b\\link", "^[]8;;http://x^[\\link"),
            ("a\x1b[2J\x1b[?25l", "a^[[2J^[[?25l"),
            ("a\x1b[31", "a^[[31"),
            ("a\x1b", "a^["),
            ("\0a\x08b\x7f", "^@a^Hb^?"),
            ("a\u{202e}b\u{2066}c\u{200f}", "a<U+202E>b<U+2066>c"),
            ("\u{9b}31m\u{2028}", "<U+009B>31m<U+2028>"),
            ("日本語 é", "日本語 é"),
        ];
        for (text, expected) in table {
            assert_eq!(clean(text), expected, "{text:?}");
            assert!(
                !clean_lines(text)
                    .chars()
                    .any(|c| c != '\n' && c != '\t' && garbles(c))
            );
        }
    }

    #[test]
    fn lines_stay_lines() {
        let table = [
            ("a\r\nb\n\n\tc", "a^M\nb\n\n\tc"),
            ("10%\r20%\r", "10%^M\n20%^M"),
            ("\x1b[1mbold\x1b[0m\n\x08", "bold\n^H"),
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
    fn paragraphs_break_at_spaces_and_not_inside_commands() {
        let table = [
            ("one two three", 7, 0, "one two\nthree"),
            ("one two three", 7, 2, "one two\n  three"),
            ("  one two", 5, 2, "  one\n  two"),
            ("a longest b", 4, 0, "a\nlongest\nb"),
            ("see `a b c`, or d", 9, 0, "see\n`a b c`,\nor d"),
            ("it`s a b", 4, 0, "it`s\na b"),
            ("日本 語", 5, 0, "日本\n語"),
            ("", 5, 2, ""),
        ];
        for (text, most, indent, expected) in table {
            assert_eq!(paragraph(text, Some(most), indent), expected, "{text:?}");
            assert_eq!(paragraph(text, None, indent), text);
        }
    }

    #[test]
    fn colours_only_when_asked() {
        assert_eq!(Palette { color: false }.palette(Style::Bad, "x"), "x");
        assert_eq!(
            Palette { color: true }.palette(Style::Bad, "x"),
            "\x1b[31mx\x1b[0m"
        );
        assert_eq!(Palette { color: true }.palette(Style::Plain, "x"), "x");
    }
}
