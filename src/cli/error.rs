//! The one form in which a command fails: what failed, why, and what to do next.

use std::fmt;

use super::exit::ExitCode;
use super::text::clean_lines;

/// A command failed. Printed as
///
/// ```text
/// error: cannot read the config
///   why: .crewlog/config.toml:12: unknown key `idle_limt`
///  next: did you mean `idle_limit`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// How the process ends.
    pub code: ExitCode,
    /// What failed.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do next; empty when the reason says so already.
    pub next: String,
}

impl Error {
    /// A failure that ends the process with `code`.
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
        }
    }

    /// The person asked for something that cannot be.
    pub fn usage(what: impl Into<String>, why: impl fmt::Display, next: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, what, why, next)
    }

    /// The world failed.
    pub fn internal(
        what: impl Into<String>,
        why: impl fmt::Display,
        next: impl Into<String>,
    ) -> Self {
        Self::new(ExitCode::Internal, what, why, next)
    }

    /// The failure for a script: one JSON object in a line. What there is nothing to say of is null.
    pub fn json(&self) -> String {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        serde_json::json!({
            "error": { "what": self.what, "why": said(&self.why), "next": said(&self.next),
                       "exit_code": self.code.code() }
        })
        .to_string()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        part(f, "error", &self.what)?;
        part(f, "  why", &self.why)?;
        part(f, " next", &self.next)
    }
}

fn part(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    if text.is_empty() {
        return Ok(());
    }
    if label != "error" {
        f.write_str("\n")?;
    }
    // A text may quote what an agent or a file says. Further lines stand under the first one.
    let text = clean_lines(text.trim_end());
    write!(f, "{label}: {}", text.replace('\n', "\n       "))
}
