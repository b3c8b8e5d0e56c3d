//! `--help` of both programs and of every verb, and what is said of wrong arguments.

use std::process;

use clap::{Command, CommandFactory};
use crewlog::cli::args::{Scheduler, Worker};
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

/// Mistakes of every sort that arguments can have.
const MISTAKES: [&[&str]; 10] = [
    &["satus"],
    &["status", "--wacth"],
    &["status", "--format", "yaml"],
    &["why"],
    &["why", "x"],
    &["show", "x"],
    &["run", "--workers", "coding"],
    &["set", "max_concurrency"],
    &["log", "--from", "0"],
    &["-q", "-v", "status"],
];

#[test]
fn wrong_arguments() {
    let command = Scheduler::command();
    kit::check_unwrapped("arguments", |out| {
        let screens = MISTAKES.iter().map(|mistake| {
            let title = format!("scheduler {}", mistake.join(" "));
            (title, refusal(&command, mistake, out.color))
        });
        screens.collect()
    });
}

/// The program itself, which knows the terminal's width from elsewhere.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_scheduler"));
    let output = command.args(arguments).env("COLUMNS", "80").output();
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
        assert_eq!(run(&arguments), (Some(0), expected, String::new()));
    }
    for mistake in MISTAKES {
        let expected = refusal(&command, mistake, false);
        assert_eq!(run(mistake), (Some(2), String::new(), expected));
    }
}
