//! What every verb stands on: the global arguments, and where results and remarks go.

use std::io::{self, Write};

use super::globals::Global;
use super::output::Output;
use super::text;

/// What every verb gets beside its own arguments.
#[derive(Clone, Debug)]
pub struct Context {
    /// The global arguments.
    pub global: Global,
    /// Where results go.
    pub out: Output,
}

impl Context {
    /// What the arguments and the terminal say.
    pub fn new(global: Global) -> Self {
        let out = Output::new(&global);
        Self { global, out }
    }

    /// A remark on standard error, for people.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.global.quiet {
            // With standard error closed nobody is there to be told.
            let _ = writeln!(io::stderr(), "{}", text::clean_lines(&text.to_string()));
        }
    }
}
