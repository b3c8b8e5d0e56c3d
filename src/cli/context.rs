//! What every verb gets: the global arguments, and where results and notes go.

use std::io::{self, Write};

use super::globals::Global;
use super::output::{self, Output};
use super::text;

/// What every command gets besides its own arguments.
#[derive(Clone, Debug)]
pub struct Context {
    /// Options that every command accepts.
    pub global: Global,
    /// Where results go, and how they look there.
    pub out: Output,
}

impl Context {
    /// The context that the arguments and the terminal ask for.
    pub fn new(global: Global) -> Self {
        let out = Output::new(&global);
        Self { global, out }
    }

    /// Prints a note on standard error, unless `--quiet`.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.global.quiet {
            let width = output::terminal_width(&io::stderr());
            let text = text::clean_lines(&text.to_string());
            for line in text.lines() {
                let line = text::paragraph(line, width, 2);
                // If standard error is closed, there is nowhere to report it.
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
    }
}
