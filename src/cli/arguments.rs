//! Turns clap's errors about wrong arguments into errors that look like all others: what failed,
//! why, and what to do next.

use std::error::Error as _;
use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::error::Error;

/// The error for the `arguments` of `command`, the first of which is the program's name, that clap
/// has refused.
pub fn refused(command: &Command, arguments: &[OsString], error: &clap::Error) -> Error {
    let program = command.get_name();
    let mut words = arguments.iter().skip(1);
    let verb = words.find_map(|it| command.find_subcommand(it));
    let mistake = Mistake {
        program,
        definition: verb.unwrap_or(command),
        command: verb.map_or(program.to_owned(), |verb| {
            format!("{program} {}", verb.get_name())
        }),
        error,
    };
    let (what, why) = mistake.problem();
    Error::usage(what, why, mistake.next())
}

/// True if the arguments ask for errors as JSON. They could not be parsed, so this reads them as
/// they are.
pub fn wants_json(arguments: &[OsString]) -> bool {
    let mut pairs = arguments.windows(2);
    arguments.iter().any(|it| it == "--format=json")
        || pairs.any(|pair| matches!(pair, [key, value] if key == "--format" && value == "json"))
}

struct Mistake<'a> {
    program: &'a str,
    /// The command as clap knows it.
    definition: &'a Command,
    /// The program, and the command if one was given, for example `scheduler why`.
    command: String,
    error: &'a clap::Error,
}

impl Mistake<'_> {
    /// What failed, and why.
    fn problem(&self) -> (String, String) {
        let argument = self.text(ContextKind::InvalidArg);
        let value = self.text(ContextKind::InvalidValue);
        let (program, command) = (self.program, &self.command);
        match self.error.kind() {
            ErrorKind::InvalidSubcommand => {
                let name = self.text(ContextKind::InvalidSubcommand);
                let why = format!("`{program}` has no such command");
                (format!("unknown command `{name}`"), why)
            }
            ErrorKind::MissingSubcommand => {
                let why = format!("`{program}` does nothing without a command");
                ("missing command".to_owned(), why)
            }
            ErrorKind::UnknownArgument => {
                let why = match argument.starts_with('-') {
                    true => format!("`{command}` has no such option"),
                    false => format!("`{command}` takes no such argument"),
                };
                (format!("unexpected argument `{argument}`"), why)
            }
            ErrorKind::MissingRequiredArgument => {
                missing(self.definition, &self.list(ContextKind::InvalidArg))
            }
            ErrorKind::InvalidValue if value.is_empty() => {
                let why = format!("the option needs a value{}", self.possible(": "));
                (format!("missing value for `{argument}`"), why)
            }
            ErrorKind::InvalidValue => {
                let why = format!("the possible values are {}", self.possible(""));
                (format!("invalid value `{value}` for `{argument}`"), why)
            }
            ErrorKind::ValueValidation => {
                let why = self.error.source().map(ToString::to_string);
                let what = format!("invalid value `{value}` for `{argument}`");
                (what, why.unwrap_or_else(|| self.message()))
            }
            ErrorKind::TooManyValues => {
                let what = format!("unexpected value `{value}` for `{argument}`");
                (what, "the option takes no value".to_owned())
            }
            ErrorKind::ArgumentConflict => {
                let others = self.list(ContextKind::PriorArg);
                match others.iter().find(|other| **other != argument) {
                    Some(other) => (
                        format!("`{argument}` and `{other}` cannot be used together"),
                        "the command accepts only one of them".to_owned(),
                    ),
                    None => (
                        format!("`{argument}` is given more than once"),
                        "the command accepts it only once".to_owned(),
                    ),
                }
            }
            _ => ("invalid arguments".to_owned(), self.message()),
        }
    }

    /// What to do next: a suggestion if the mistake looks like a typo, otherwise the help.
    fn next(&self) -> String {
        let suggested = [
            ContextKind::SuggestedSubcommand,
            ContextKind::SuggestedArg,
            ContextKind::SuggestedValue,
        ];
        let suggested = suggested.into_iter().flat_map(|kind| self.list(kind));
        // clap's best suggestion is the last one.
        let suggested: Vec<String> = suggested.map(|it| format!("`{it}`")).rev().collect();
        match suggested.split_last() {
            Some((last, [])) => format!("did you mean {last}?"),
            Some((last, others)) => format!("did you mean {} or {last}?", others.join(", ")),
            None if self.command == "scheduler" => {
                "`scheduler --help` lists the commands and options".to_owned()
            }
            None => format!("`{} --help` shows what it takes", self.command),
        }
    }

    /// The values that the argument accepts, after `before`; empty if clap does not know them.
    fn possible(&self, before: &str) -> String {
        let values = self.list(ContextKind::ValidValue);
        match values.is_empty() {
            true => String::new(),
            false => format!("{before}{}", values.join(", ")),
        }
    }

    /// The first line of clap's own message, without its mood.
    fn message(&self) -> String {
        let text = self.error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        line.trim_start_matches("error: ").to_owned()
    }

    fn text(&self, kind: ContextKind) -> String {
        self.list(kind).join(" ")
    }

    fn list(&self, kind: ContextKind) -> Vec<String> {
        let list = match self.error.get(kind) {
            Some(ContextValue::String(text)) => vec![text.clone()],
            Some(ContextValue::Strings(texts)) => texts.clone(),
            Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
            Some(ContextValue::StyledStrs(texts)) => {
                texts.iter().map(ToString::to_string).collect()
            }
            Some(ContextValue::Number(number)) => vec![number.to_string()],
            _ => Vec::new(),
        };
        // clap marks what can be given several times.
        let trimmed = list.iter().map(|it| it.trim_end_matches("...").to_owned());
        trimmed.collect()
    }
}

/// What failed and why, if arguments of `command` are missing.
fn missing(command: &Command, arguments: &[String]) -> (String, String) {
    let names = arguments.iter().map(|name| match help(command, name) {
        Some(help) => format!("`{name}` ({help})"),
        None => format!("`{name}`"),
    });
    let names = names.collect::<Vec<_>>().join(" and ");
    match arguments.len() {
        1 => (
            "missing argument".to_owned(),
            format!("{names} is required"),
        ),
        _ => (
            "missing arguments".to_owned(),
            format!("{names} are required"),
        ),
    }
}

/// The help of an argument, given as clap prints its name, without a capital: it continues a
/// sentence.
fn help(command: &Command, name: &str) -> Option<String> {
    let named = |it: &&clap::Arg| match name.strip_prefix("--") {
        Some(option) => it.get_long() == option.split(' ').next(),
        None => {
            let names = it.get_value_names().unwrap_or_default();
            names.iter().any(|value| name == format!("<{value}>"))
        }
    };
    let help = command.get_arguments().find(named)?.get_help()?.to_string();
    let first = help.chars().next()?;
    let rest = help.get(first.len_utf8()..)?;
    Some(format!("{}{rest}", first.to_lowercase()))
}
