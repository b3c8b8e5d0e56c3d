//! Views as text and as JSON.

pub mod attempt;
pub mod damage;
pub mod event;
pub mod feature;
pub mod missing_workers;
pub mod status;
pub mod why;

use std::time::{Duration, UNIX_EPOCH};

use super::output::Output;
use super::text::{Palette, Style, fit, width};
use crate::model::ids::Timestamp;

/// The shortest beginning of a hash that names an output, and what `why` prints of one. No number
/// of a feature or of an attempt is so long, so that the three cannot be mistaken for each other.
pub const HASH_DIGITS_MIN: usize = 12;

/// A time as people and programs read it: `2026-11-22T15:04:05Z`.
pub fn time(at: Timestamp) -> String {
    // humantime panics in the year 10000; a wild clock must not do that.
    let seconds = (at.0 / 1_000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// Lines under construction, cut to the terminal's width.
pub struct Page {
    palette: Palette,
    width: Option<usize>,
    text: String,
}

impl Page {
    /// An empty page for this output.
    pub fn new(out: &Output) -> Self {
        let palette = Palette { color: out.color };
        Self {
            palette,
            width: out.width,
            text: String::new(),
        }
    }

    /// A line of pieces, one after the other with nothing between them.
    pub fn line(&mut self, pieces: &[(Style, &str)]) {
        let mut room = self.width.unwrap_or(usize::MAX);
        let mut line = String::new();
        for (style, piece) in pieces {
            let piece = fit(piece, room);
            room -= width(&piece);
            line.push_str(&self.palette.palette(*style, &piece));
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// All of it, with the last line's end.
    pub fn end(self) -> String {
        self.text
    }
}
