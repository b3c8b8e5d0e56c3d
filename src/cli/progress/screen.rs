//! Standard error as a screen: lines that stay, and below them lines that are drawn over.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::globals::{Global, ProgressMode};
use crate::cli::output::{terminal_width, wants_color};
use crate::cli::text::Palette;

/// Redraws a second, at most.
const DRAWS_PER_SECOND: u8 = 12;
/// Rows that stay free above the running attempts, so that what scrolls by can be read.
const ROWS_FREE: usize = 6;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisplayMode {
    /// Lines that stay, and below them a line for every open attempt and one total.
    Bars,
    /// One line of totals.
    Counter,
    /// Lines that stay; the only form without a terminal.
    Plain,
    /// Nothing but notes.
    Silent,
}

impl DisplayMode {
    /// The form that the arguments ask for and the stream can show.
    pub fn choose(mode: ProgressMode, quiet: bool, terminal: bool) -> Self {
        match (mode, terminal) {
            _ if quiet => Self::Silent,
            (ProgressMode::None, _) => Self::Silent,
            (_, false) => Self::Plain,
            (ProgressMode::Counter, true) => Self::Counter,
            (ProgressMode::Auto | ProgressMode::Bar, true) => Self::Bars,
        }
    }
}

/// Standard error. Copies share it, so that log lines and progress don't overwrite each other.
#[derive(Clone)]
pub struct Screen {
    mode: DisplayMode,
    palette: Palette,
    /// One for all lines, so that they are always drawn together; shared by copies.
    bar: ProgressBar,
}

impl Screen {
    /// What the arguments and the terminal allow.
    pub fn new(global: &Global) -> Self {
        let terminal = io::stderr().is_terminal();
        let mode = DisplayMode::choose(global.progress, global.quiet, terminal);
        let target = match mode {
            DisplayMode::Bars | DisplayMode::Counter => {
                ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
            }
            DisplayMode::Plain | DisplayMode::Silent => ProgressDrawTarget::hidden(),
        };
        Self {
            mode,
            palette: Palette {
                color: wants_color(global.color, terminal),
            },
            bar: ProgressBar::with_draw_target(None, target).with_style(message_only()),
        }
    }

    /// What is shown.
    pub fn mode(&self) -> DisplayMode {
        self.mode
    }

    /// Colours or not.
    pub fn palette(&self) -> Palette {
        self.palette
    }

    /// Whether anything is drawn over.
    pub fn draws(&self) -> bool {
        matches!(self.mode, DisplayMode::Bars | DisplayMode::Counter)
    }

    /// Columns at this moment; people resize their windows.
    pub fn width(&self) -> Option<usize> {
        self.draws().then(|| terminal_width(&io::stderr()))?
    }

    /// Rows for running attempts at this moment.
    pub fn rows(&self) -> usize {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let rows = size.map_or(24, |size| usize::from(size.ws_row));
        rows.saturating_sub(ROWS_FREE).max(2)
    }

    /// Writes a line that stays, unless the form shows none.
    pub fn permanent(&self, text: impl FnOnce() -> String) {
        match self.mode {
            DisplayMode::Bars => self.note(&text()),
            DisplayMode::Plain => write_line(&text()),
            DisplayMode::Counter | DisplayMode::Silent => {}
        }
    }

    /// Writes a line that stays, whatever the form.
    pub fn note(&self, text: &str) {
        // Progress is a courtesy: a run goes on when nobody can see it any more.
        match self.draws() && !self.bar.is_finished() {
            true => self.bar.println(text),
            false => write_line(text),
        }
    }

    /// Draws these lines over those drawn before.
    pub fn draw(&self, lines: &[String]) {
        self.bar.set_message(lines.join("\n"));
    }

    /// Takes everything off that was drawn; nothing is drawn after it.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn message_only() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn write_line(text: &str) {
    // One write for the whole line, so that lines of several processes don't mix.
    drop(io::stderr().write_all(format!("{text}\n").as_bytes()));
}

/// Writes log lines above what is drawn.
impl<'a> MakeWriter<'a> for Screen {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine {
            screen: self.clone(),
            bytes: Vec::new(),
        }
    }
}

/// One log line; written as a whole when it is dropped.
pub struct LogLine {
    screen: Screen,
    bytes: Vec<u8>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_end_matches('\n');
        if !text.is_empty() {
            self.screen.note(text);
        }
    }
}
