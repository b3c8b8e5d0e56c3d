//! Prints views as text or JSON.

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

/// Fewest digits of a hash that name an output; `why` prints this many. Feature and attempt numbers
/// are always shorter, so the three cannot be confused.
pub const HASH_DIGITS_MIN: usize = 12;

/// A time in UTC by RFC 3339: `2026-11-22T15:04:05Z`.
pub fn time(at: Timestamp) -> String {
    // humantime panics from the year 10000 on, which a wrong clock can show.
    let seconds = (at.0 / 1_000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// A page under construction. Its lines are cut to the terminal's width.
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

    /// Adds a line of pieces, without space between them.
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

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// The text of the page; it ends with a line end.
    pub fn end(self) -> String {
        self.text
    }
}
