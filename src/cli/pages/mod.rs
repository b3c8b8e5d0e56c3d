//! Prints views as text or JSON.

pub mod accepted;
pub mod attempt;
pub mod damage;
pub mod doctor;
pub mod end;
pub mod event;
pub mod feature;
pub mod missing_workers;
pub mod repair;
pub mod status;
pub mod verify;
pub mod why;

use super::output::Output;
pub use super::text::time;
use super::text::{Palette, Style, fit, width, wrap};

/// Fewest digits of a hash that name an output; `why` prints this many. Feature and attempt numbers
/// are always shorter, so the three cannot be confused.
pub const HASH_DIGITS_MIN: usize = 12;

/// A page under construction. Its lines are cut or wrapped at the terminal's width.
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

    /// Adds a line of pieces, without space between them. What is too wide is cut.
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

    /// Adds a line of pieces, without space between them. What is too wide continues in further
    /// lines, which begin with `indent` spaces.
    pub fn wrapped(&mut self, indent: usize, pieces: &[(Style, &str)]) {
        let text: String = pieces.iter().map(|(_, piece)| *piece).collect();
        let Some(most) = self.width.filter(|most| width(&text) > *most) else {
            return self.line(pieces);
        };
        let indent = indent.min(most / 2);
        for (number, range) in wrap(&text, most, indent).into_iter().enumerate() {
            if number > 0 {
                self.text.push_str(&" ".repeat(indent));
            }
            let mut at = 0;
            for (style, piece) in pieces {
                let start = range.start.max(at);
                let end = range.end.min(at + piece.len());
                at += piece.len();
                if let Some(part) = text.get(start..end) {
                    self.text.push_str(&self.palette.palette(*style, part));
                }
            }
            self.text.push('\n');
        }
    }

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// Adds a line that is neither cut nor wrapped, because it is a command to copy.
    pub fn whole(&mut self, pieces: &[(Style, &str)]) {
        let width = self.width.take();
        self.line(pieces);
        self.width = width;
    }

    /// The text of the page; it ends with a line end.
    pub fn end(self) -> String {
        self.text
    }
}
