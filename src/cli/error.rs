//! Errors of commands: what failed, why, and what to do next.

use std::fmt;

use super::exit::ExitCode;
use super::text::{clean_lines, paragraph};

/// An error of a command. It is printed as
///
/// ```text
/// error: cannot read the config
///   why: .crewlog/config.toml:12: unknown key `idle_limt`
///  next: did you mean `idle_limit`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The process's exit code.
    pub code: ExitCode,
    /// What failed. Starts with the thing, not with an apology.
    pub what: String,
    /// Why, with the value that caused it.
    pub why: String,
    /// What to do next, with the exact command or key; empty when `why` already says it.
    pub next: String,
    /// What a caller may do something about.
    pub cause: Cause,
}

/// What commands handle themselves instead of printing it, so that nobody reads an error's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Nothing that a caller treats in its own way.
    #[default]
    Other,
    /// The connection to the scheduler broke before its answer. Another process may hold the log by
    /// now and can be asked instead.
    ConnectionLost,
    /// The reader of standard output closed its end: `scheduler log | head` is no error.
    ReaderGone,
}

impl Error {
    /// An error that ends the process with `code`.
    pub fn new(
        code: ExitCode,
        what: impl Into<String>,
        why: impl fmt::Display,
        next: impl Into<String>,
    ) -> Self {
        Self {
            code,
            what: what.into(),
            why: why.to_string(),
            next: next.into(),
            cause: Cause::Other,
        }
    }

    /// The same error, for callers that handle this cause.
    pub fn caused_by(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    /// An error of the person: exit code 2.
    pub fn usage(what: impl Into<String>, why: impl fmt::Display, next: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, what, why, next)
    }

    /// An error of the machine or of Crewlog: exit code 1.
    pub fn internal(
        what: impl Into<String>,
        why: impl fmt::Display,
        next: impl Into<String>,
    ) -> Self {
        Self::new(ExitCode::Internal, what, why, next)
    }

    /// The error for programs: one JSON object on one line. Empty parts are null.
    pub fn json(&self) -> String {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        serde_json::json!({
            "error": { "what": self.what, "why": said(&self.why), "next": said(&self.next),
                       "exit_code": self.code.code() }
        })
        .to_string()
    }
}

impl Error {
    /// The error as text. Lines are wrapped at `width` columns, if given.
    pub fn text(&self, width: Option<usize>) -> String {
        let parts = [
            ("error", &self.what),
            ("  why", &self.why),
            (" next", &self.next),
        ];
        let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
        let parts: Vec<String> = parts
            .map(|(label, text)| part(label, text, width))
            .collect();
        parts.join("\n")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(None))
    }
}

/// One part of an error. Its further lines stand below the first.
fn part(label: &str, text: &str, width: Option<usize>) -> String {
    // The text may quote an agent or a file, so it is cleaned.
    let text = clean_lines(text.trim_end());
    let text = format!("{label}: {text}");
    let indent = label.len() + 2;
    let lines = text.lines().enumerate().map(|(number, line)| {
        let line = match number {
            0 => line.to_owned(),
            _ => format!("{}{line}", " ".repeat(indent)),
        };
        paragraph(&line, width, indent)
    });
    lines.collect::<Vec<_>>().join("\n")
}
