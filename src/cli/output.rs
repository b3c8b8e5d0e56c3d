//! Results on standard output. If the reader closes its end (`| head`), the process ends quietly.

use std::io::{self, IsTerminal, Write};

use super::error::{Cause, Error};
use super::exit::ExitCode;
use super::globals::{ColorChoice, Format, Global};
use super::text::clean_lines;

/// Standard output, and how results look there.
#[derive(Clone, Debug)]
pub struct Output {
    /// Text for people, or JSON for programs.
    pub format: Format,
    /// Whether to use colour.
    pub color: bool,
    /// Columns of the terminal; `None` when the output is not a terminal and lines are not cut.
    pub width: Option<usize>,
    /// Whether to leave out notes.
    pub quiet: bool,
}

impl Output {
    /// The output that the arguments and the terminal ask for.
    pub fn new(global: &Global) -> Self {
        let stdout = io::stdout();
        Self {
            format: global.format,
            color: wants_color(global.color, stdout.is_terminal()),
            width: stdout
                .is_terminal()
                .then(|| terminal_width(&stdout))
                .flatten(),
            quiet: global.quiet,
        }
    }

    /// True with `--format json`.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes one line without colour. Control characters in quoted text (a reason, a path, git's
    /// message) are shown by name, so the terminal does not act on them.
    pub fn line(&self, text: impl std::fmt::Display) -> Result<(), Error> {
        let text = clean_lines(&text.to_string());
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes a value as one line of JSON.
    pub fn json(&self, value: &impl serde::Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::internal("cannot write the result as JSON", error, ""))?;
        // JSON escapes control characters itself.
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes bytes as they are, and flushes them.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => {
                let what = "the reader of standard output went away";
                Error::new(ExitCode::Passing, what, "", "").caused_by(Cause::ReaderGone)
            }
            _ => Error::internal(
                "cannot write to standard output",
                error,
                "check where the output goes: the disk may be full, or the terminal closed",
            ),
        })
    }
}

/// Whether to use colour on a stream. An empty NO_COLOR has no effect (no-color.org).
pub fn wants_color(choice: ColorChoice, terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        }
    }
}

/// Rows of the terminal behind a stream; `None` below 5, where nothing useful fits.
pub fn terminal_rows(stream: &impl rustix::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_row >= 5).then_some(usize::from(size.ws_row))
}

/// Columns of the terminal behind a stream; `None` below 20, where nothing useful fits.
pub fn terminal_width(stream: &impl rustix::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A terminal that does not know its size reports 0.
    (size.ws_col >= 20).then_some(usize::from(size.ws_col))
}
