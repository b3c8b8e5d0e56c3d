//! Standard error as a screen: permanent lines, and below them lines that are redrawn in place.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::globals::{Global, ProgressMode};
use crate::cli::output::{terminal_width, wants_color};
use crate::cli::text::{Palette, clean_lines};

/// Most redraws per second.
const DRAWS_PER_SECOND: u8 = 12;
/// Rows left free above the running attempts for permanent lines.
const ROWS_FREE: usize = 6;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisplayMode {
    /// Permanent lines, and below them one line per open attempt and one of totals.
    Bars,
    /// One line of totals.
    Counter,
    /// Permanent lines only, also used without a terminal.
    Plain,
    /// Nothing except notes.
    Silent,
}

impl DisplayMode {
    /// The mode that the arguments ask for and the stream supports.
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

/// Standard error. Clones share it, so that log lines and progress do not overwrite each other.
#[derive(Clone)]
pub struct Screen {
    mode: DisplayMode,
    palette: Palette,
    /// One bar for all redrawn lines, so that they are drawn together; shared by clones.
    bar: ProgressBar,
    /// Which of standard input, output and error were a terminal at the start. After a hangup, the
    /// kernel no longer says.
    terminals: [bool; 3],
    /// The terminal has closed, so that lines go to a file.
    left: Arc<AtomicBool>,
}

impl Screen {
    /// The screen that the arguments ask for and the terminal supports.
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
            terminals: [
                io::stdin().is_terminal(),
                io::stdout().is_terminal(),
                terminal,
            ],
            left: Arc::default(),
        }
    }

    /// How progress is shown.
    pub fn mode(&self) -> DisplayMode {
        match self.mode {
            DisplayMode::Bars | DisplayMode::Counter if self.has_left() => DisplayMode::Plain,
            mode => mode,
        }
    }

    fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Writes each line with its time from now on: standard error is a file for later.
    pub fn write_times(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Continues without the terminal: nothing is drawn any more, and lines go to `file`, with their
    /// time. Streams that were no terminal stay as they are. Without a file, lines are lost.
    pub fn leave_terminal(&self, file: Option<File>) {
        self.bar.finish_and_clear();
        self.left.store(true, Ordering::Relaxed);
        let null = File::options().read(true).write(true).open("/dev/null");
        let Ok(null) = null else {
            return;
        };
        let output = file.as_ref().unwrap_or(&null);
        let [input, out, error] = self.terminals;
        let replaced = [
            input.then(|| rustix::stdio::dup2_stdin(null.as_fd())),
            out.then(|| rustix::stdio::dup2_stdout(output.as_fd())),
            error.then(|| rustix::stdio::dup2_stderr(output.as_fd())),
        ];
        for replaced in replaced.into_iter().flatten() {
            if let Err(error) = replaced {
                tracing::warn!(%error, "cannot leave the terminal");
            }
        }
    }

    /// Whether to use colour.
    pub fn palette(&self) -> Palette {
        match self.has_left() {
            true => Palette::default(),
            false => self.palette,
        }
    }

    /// Whether lines are redrawn in place.
    pub fn draws(&self) -> bool {
        matches!(self.mode(), DisplayMode::Bars | DisplayMode::Counter)
    }

    /// The terminal's current columns; people resize their windows.
    pub fn width(&self) -> Option<usize> {
        self.draws().then(|| terminal_width(&io::stderr()))?
    }

    /// Current number of rows for running attempts.
    pub fn rows(&self) -> usize {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let rows = size.map_or(24, |size| usize::from(size.ws_row));
        rows.saturating_sub(ROWS_FREE).max(2)
    }

    /// Writes a permanent line, if this mode shows them.
    pub fn permanent(&self, text: impl FnOnce() -> String) {
        match self.mode() {
            DisplayMode::Bars => self.note(&text()),
            DisplayMode::Plain => self.write(&text()),
            DisplayMode::Counter | DisplayMode::Silent => {}
        }
    }

    /// Writes a permanent line in every mode.
    pub fn note(&self, text: &str) {
        // A run continues even if nothing can be written to standard error.
        match self.draws() && !self.bar.is_finished() {
            true => self.bar.println(text),
            false => self.write(text),
        }
    }

    /// Writes a line to standard error, with its time if that is a file of our own.
    fn write(&self, text: &str) {
        match self.has_left() {
            true => {
                let now = crate::cli::zone::time(crate::cli::store::now());
                write_line(&format!("{now} {text}"));
            }
            false => write_line(text),
        }
    }

    /// Replaces the lines drawn before by these.
    pub fn draw(&self, lines: &[String]) {
        self.bar.set_message(lines.join("\n"));
    }

    /// Removes the drawn lines; nothing is drawn after this.
    pub fn clear(&self) {
        // The bar keeps what a closed terminal did not take, and would write it to the file.
        if !self.has_left() {
            self.bar.finish_and_clear();
        }
    }
}

fn message_only() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn write_line(text: &str) {
    // One write for the whole line, so that lines of several processes do not mix.
    drop(io::stderr().write_all(format!("{text}\n").as_bytes()));
}

/// Writes log lines above the redrawn lines.
impl<'a> MakeWriter<'a> for Screen {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine {
            screen: self.clone(),
            bytes: Vec::new(),
        }
    }
}

/// One log line, written as a whole when it is dropped.
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
        match (text.is_empty(), self.screen.has_left()) {
            (true, _) => {}
            // Log lines have their own time, and colours for the terminal that has closed.
            (false, true) => write_line(&clean_lines(text)),
            (false, false) => self.screen.note(text),
        }
    }
}
