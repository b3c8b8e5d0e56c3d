//! The command line: results on standard output; progress, log lines and errors on standard error.
//!
//! This module has no rules of the run: it reads the log, sends commands, and prints views.

mod allocator;
pub mod args;
pub mod arguments;
pub mod boundary;
pub mod client;
pub mod commands;
pub mod completion;
pub mod config;
pub mod context;
pub mod drill;
pub mod engine;
pub mod error;
pub mod exit;
pub mod failures;
pub mod globals;
pub mod logging;
pub mod output;
pub mod pages;
pub mod progress;
pub mod project;
pub mod render;
pub mod runtime;
pub mod source;
pub mod store;
pub mod text;
pub mod transcript;
pub mod worker_counts;
pub mod zone;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{Command, CommandFactory, Parser};

use args::{Scheduler, Verb, Worker};
pub use context::Context;
use error::{Cause, Error};
use exit::ExitCode;
use globals::Format;

/// Runs the `scheduler` binary.
pub fn scheduler(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    allocator::give_large_blocks_back();
    zone::use_local();
    if completion::answered(Scheduler::command) {
        return ExitCode::Passing;
    }
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.len() < 2 {
        // The bare name asks for help; that is not an error.
        arguments = vec!["scheduler".into(), "--help".into()];
    }
    match Scheduler::try_parse_from(&arguments) {
        Ok(Scheduler { global, verb }) => {
            let context = Context::new(global);
            finish(&context, dispatch(&context, &verb))
        }
        Err(error) => refused(&Scheduler::command(), &arguments, &error),
    }
}

/// Runs the `worker` binary.
pub fn worker(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    zone::use_local();
    if completion::answered(Worker::command) {
        return ExitCode::Passing;
    }
    let arguments: Vec<OsString> = arguments.collect();
    match Worker::try_parse_from(&arguments) {
        Ok(Worker { global, args }) => {
            let context = Context::new(global);
            finish(&context, commands::worker::run(&context, &args))
        }
        Err(error) => refused(&Worker::command(), &arguments, &error),
    }
}

fn dispatch(context: &Context, verb: &Verb) -> Result<ExitCode, Error> {
    match verb {
        Verb::Drill(args) => commands::drill::run(context, args),
        Verb::Demo(args) => commands::demo::run(context, args),
        Verb::Doctor(args) => commands::doctor::run(context, args),
        Verb::Init(args) => commands::init::run(context, args),
        Verb::Config(args) => commands::config::run(context, args),
        Verb::Import(args) => commands::import::run(context, args),
        Verb::Run(args) => commands::run::run(context, args),
        Verb::Attach(args) => commands::attach::run(context, args),
        Verb::Service(args) => commands::service::run(context, args),
        Verb::Status(args) => commands::status::run(context, args),
        Verb::Report(args) => commands::report::run(context, args),
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
        Verb::Set(args) => commands::set::run(context, args),
        Verb::Answer(args) => commands::answer::run(context, args),
        Verb::Stop(args) => commands::stop::run(context, args),
        Verb::Completions(args) => commands::completions::run(context, args),
        Verb::Worker(args) => commands::worker::run(context, args),
    }
}

/// Prints the error, if any, and returns the exit code.
fn finish(context: &Context, result: Result<ExitCode, Error>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            if error.cause != Cause::ReaderGone {
                print(&error, context.global.format);
            }
            error.code
        }
    }
}

fn print(error: &Error, format: Format) {
    let text = match format {
        Format::Text => error.text(output::terminal_width(&io::stderr())),
        Format::Json => error.json(),
    };
    // If standard error is closed too, only the exit code reports the error.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Help and version are results; everything else from clap is a wrong argument.
fn refused(command: &Command, arguments: &[OsString], error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed stream is no reason to panic.
            let _ = error.print();
            ExitCode::Passing
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::Usage
        }
        _ => {
            let format = match arguments::wants_json(arguments) {
                true => Format::Json,
                false => Format::Text,
            };
            let error = arguments::refused(command, arguments, error);
            print(&error, format);
            error.code
        }
    }
}
