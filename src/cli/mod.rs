//! Arguments and what people see in a terminal: results on standard output, progress, log lines
//! and errors on standard error.
//!
//! Knows no rule of the run: it asks, sends commands, and prints projections.

pub mod args;
pub mod boundary;
pub mod client;
pub mod commands;
pub mod config;
pub mod drill;
pub mod engine;
pub mod error;
pub mod exit;
pub mod logging;
pub mod output;
pub mod pages;
pub mod progress;
pub mod project;
pub mod source;
pub mod store;
pub mod text;
pub mod transcript;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;

use args::{Format, Global, Scheduler, Verb, Worker};
use error::Error;
use exit::ExitCode;
use output::Output;

/// What every verb gets beside its own arguments.
#[derive(Clone, Debug)]
pub struct Context {
    /// The global arguments.
    pub global: Global,
    /// Where results go.
    pub out: Output,
}

impl Context {
    fn new(global: Global) -> Self {
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

/// The whole `scheduler` binary: arguments in, exit code out.
pub fn scheduler(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.len() < 2 {
        // Whoever types the bare name wants to know what there is; that is no mistake.
        arguments = vec!["scheduler".into(), "--help".into()];
    }
    match Scheduler::try_parse_from(arguments) {
        Ok(Scheduler { global, verb }) => {
            let context = Context::new(global);
            finish(&context, dispatch(&context, &verb))
        }
        Err(error) => refused(&error),
    }
}

/// The whole `worker` binary: arguments in, exit code out.
pub fn worker(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match Worker::try_parse_from(arguments) {
        Ok(Worker { global, args }) => {
            let context = Context::new(global);
            finish(&context, commands::worker::run(&context, &args))
        }
        Err(error) => refused(&error),
    }
}

fn dispatch(context: &Context, verb: &Verb) -> Result<ExitCode, Error> {
    match verb {
        Verb::Drill(args) => commands::drill::run(context, args),
        Verb::Demo(args) => commands::demo::run(context, args),
        Verb::Doctor(args) => commands::doctor::run(context, args),
        Verb::Init(args) => commands::init::run(context, args),
        Verb::Import(args) => commands::import::run(context, args),
        Verb::Run(args) => commands::run::run(context, args),
        Verb::Status(args) => commands::status::run(context, args),
        Verb::Log(args) => commands::log::run(context, args),
        Verb::Replay(args) => commands::replay::run(context, args),
        Verb::Why(args) => commands::why::run(context, args),
        Verb::Show(args) => commands::show::run(context, args),
        Verb::Verify(args) => commands::verify::run(context, args),
        Verb::Repair(args) => commands::repair::run(context, args),
        Verb::Export(args) => commands::export::run(context, args),
        Verb::Pause(args) => commands::pause::run(context, args),
        Verb::Resume(args) => commands::resume::run(context, args),
        Verb::Retry(args) => commands::retry::run(context, args),
        Verb::Skip(args) => commands::skip::run(context, args),
        Verb::Remove(args) => commands::remove::run(context, args),
        Verb::Answer(args) => commands::answer::run(context, args),
        Verb::Stop(args) => commands::stop::run(context, args),
        Verb::Completions(args) => commands::completions::run(context, args),
        Verb::Worker(args) => commands::worker::run(context, args),
    }
}

/// Prints the failure, if it is one, and says how the process ends.
fn finish(context: &Context, result: Result<ExitCode, Error>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            if !output::is_reader_gone(&error) {
                let text = match context.global.format {
                    Format::Text => error.to_string(),
                    Format::Json => error.json(),
                };
                // With standard error closed too, the exit code is all that is left to say it.
                let _ = writeln!(io::stderr(), "{text}");
            }
            error.code
        }
    }
}

/// Help and version are results; everything else that clap says is a wrong argument.
fn refused(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    // `print` chooses the stream; a closed one is nothing to panic about.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Passing,
        _ => ExitCode::Usage,
    }
}
