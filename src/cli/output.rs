//! Results on standard output. A reader that went away ends the process quietly.

use std::io::{self, IsTerminal, Write};

use super::error::Error;
use super::exit::ExitCode;
use super::globals::{ColorChoice, Format, Global};
use super::text::clean_lines;

/// Standard output, and how results look there.
#[derive(Clone, Debug)]
pub struct Output {
    /// For people or for programs.
    pub format: Format,
    /// Whether to colour what people read.
    pub color: bool,
    /// Columns of the terminal; `None` when the output is no terminal and nothing is cut.
    pub width: Option<usize>,
    /// Print results only, no remarks.
    pub quiet: bool,
}

/// Marks the error of a reader that went away (`scheduler log | head`). It is not printed.
const READER_GONE: &str = "the reader of standard output went away";

impl Output {
    /// What the arguments and the terminal say.
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

    /// The same without an end of lines: for who asks to see all.
    pub fn uncut(&self) -> Self {
        Self {
            width: None,
            ..self.clone()
        }
    }

    /// True when programs read the results.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes text without colours of ours, and a line's end. Whatever it quotes (a reason, a path,
    /// what git says), a terminal shows it and does not obey it.
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
            io::ErrorKind::BrokenPipe => Error::new(ExitCode::Passing, READER_GONE, "", ""),
            _ => Error::internal(
                "cannot write to standard output",
                error,
                "look where it leads to: a full disk, or a closed terminal",
            ),
        })
    }
}

/// True for the error that only says that nobody reads any more.
pub fn is_reader_gone(error: &Error) -> bool {
    error.what == READER_GONE
}

/// Whether to colour a stream. NO_COLOR counts when it is not empty (no-color.org).
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

/// Rows of the terminal behind a stream.
pub fn terminal_rows(stream: &impl rustix::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_row >= 5).then_some(usize::from(size.ws_row))
}

/// Columns of the terminal behind a stream.
pub fn terminal_width(stream: &impl rustix::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A terminal that says 0 does not know; a handful of columns shows nothing of use.
    (size.ws_col >= 20).then_some(usize::from(size.ws_col))
}
