//! `--help` of both programs and of every verb, and what is said of wrong arguments.

use std::ffi::OsString;
use std::process;

use clap::{Command, CommandFactory};
use crewlog::cli::args::{Scheduler, Worker};
use crewlog::cli::arguments;
use crewlog::cli::exit::ExitCode;
use crewlog::cli::output::Output;

use crate::kit::{self, Screen};

/// What a program prints for these arguments, by the same way as the program itself.
fn refusal(command: &Command, arguments: &[&str], color: bool) -> String {
    let all = [&[command.get_name()], arguments].concat();
    let parsed = command.clone().try_get_matches_from(all);
    let text = parsed.expect_err("help or a mistake").render();
    match color {
        true => text.ansi().to_string(),
        false => text.to_string(),
    }
}

fn all(mut command: Command, out: &Output) -> Vec<Screen> {
    let verbs = command.get_subcommands();
    let verbs: Vec<String> = verbs.map(|it| it.get_name().to_owned()).collect();
    command = command.term_width(out.width.expect("a terminal").min(100));
    let verbs = verbs.iter().map(|verb| vec![verb.as_str(), "--help"]);
    let screens = std::iter::once(vec!["--help"]).chain(verbs);
    let screens = screens.map(|arguments| {
        let title = format!("{} {}", command.get_name(), arguments.join(" "));
        (title, refusal(&command, &arguments, out.color))
    });
    screens.collect()
}

#[test]
fn help_of_every_verb() {
    kit::check("help", |out| {
        let scheduler = all(Scheduler::command(), out);
        assert!(scheduler.len() > 20, "{} verbs", scheduler.len());
        [scheduler, all(Worker::command(), out)].concat()
    });
}

/// Mistakes of every sort that arguments can have, after the program's name.
const MISTAKES: [&[&str]; 21] = [
    &["scheduler", "satus"],
    &["scheduler", "frobnicate"],
    &["scheduler", "-q"],
    &["scheduler", "status", "--wacth"],
    &["scheduler", "status", "--frobnicate"],
    &["scheduler", "status", "extra"],
    &["scheduler", "status", "--watch=yes"],
    &["scheduler", "status", "--format", "yaml"],
    &["scheduler", "status", "--format", "jso"],
    &["scheduler", "status", "--format"],
    &["scheduler", "completions", "tcsh"],
    &["scheduler", "why"],
    &["scheduler", "why", "x"],
    &["scheduler", "answer"],
    &["scheduler", "show", "x"],
    &["scheduler", "run", "--workers", "coding"],
    &["scheduler", "run", "--seed", "1", "--seed", "2"],
    &["scheduler", "set", "max_concurrency"],
    &["scheduler", "log", "--from", "0"],
    &["scheduler", "-q", "-v", "status"],
    &["worker", "--kidn", "coding"],
];

/// More of them, of the other program.
const WORKER_MISTAKES: [&[&str]; 4] = [
    &["worker", "-q"],
    &["worker", "--kind"],
    &["worker", "--kind", "codng"],
    &["worker", "--kind", "coding", "now"],
];

fn mistakes() -> impl Iterator<Item = &'static [&'static str]> {
    MISTAKES.into_iter().chain(WORKER_MISTAKES)
}

fn mistake(words: &[&str], width: Option<usize>) -> String {
    let command = match words[0] {
        "worker" => Worker::command(),
        _ => Scheduler::command(),
    };
    let parsed = command.clone().try_get_matches_from(words);
    let error = parsed.expect_err("a mistake");
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let error = arguments::refused(&command, &words, &error);
    assert_eq!(error.code, ExitCode::Usage);
    assert!(!error.why.is_empty() && !error.next.is_empty(), "{error}");
    error.text(width)
}

#[test]
fn wrong_arguments() {
    kit::check("arguments", |out| {
        let screens = mistakes().map(|words| {
            let title = format!("{}, exit 2", words.join(" "));
            (title, mistake(words, out.width))
        });
        screens.collect()
    });
}

/// The program itself, which knows the terminal's width from elsewhere.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let program = match words[0] {
        "worker" => env!("CARGO_BIN_EXE_worker"),
        _ => env!("CARGO_BIN_EXE_scheduler"),
    };
    let mut command = process::Command::new(program);
    let _alone = crate::alone();
    let output = command.args(&words[1..]).env("COLUMNS", "80").output();
    let output = output.expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_program_prints_the_kept_screens() {
    let command = Scheduler::command().term_width(80);
    let verbs = command.get_subcommands();
    let verbs: Vec<&str> = verbs.map(|verb| verb.get_name()).collect();
    let verbs = verbs.iter().map(|verb| vec![*verb, "--help"]);
    for arguments in std::iter::once(vec!["--help"]).chain(verbs) {
        let expected = refusal(&command, &arguments, false);
        let words = [&["scheduler"], &arguments[..]].concat();
        assert_eq!(run(&words), (Some(0), expected, String::new()));
    }
    for words in mistakes() {
        let expected = mistake(words, None) + "\n";
        assert_eq!(run(words), (Some(2), String::new(), expected));
    }
    let words = ["scheduler", "why", "x", "--format", "json"];
    let (code, _, text) = run(&words);
    assert_eq!(code, Some(2));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["error"]["exit_code"], 2);
}
