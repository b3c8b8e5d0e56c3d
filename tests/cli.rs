//! The binaries from outside: arguments, help, exit codes, and streams that go away.

use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use crewlog::cli::args::{Scheduler, Worker};
use crewlog::cli::exit::ExitCode;

fn scheduler(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args(arguments)
        .output()
        .expect("the scheduler binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn definitions_are_sound() {
    Scheduler::command().debug_assert();
    Worker::command().debug_assert();
}

#[test]
fn every_verb_has_one_line_and_an_example() {
    let verbs = [
        "demo",
        "init",
        "config",
        "doctor",
        "import",
        "run",
        "attach",
        "service",
        "status",
        "report",
        "log",
        "replay",
        "why",
        "show",
        "verify",
        "repair",
        "export",
        "pause",
        "resume",
        "retry",
        "skip",
        "remove",
        "set",
        "answer",
        "stop",
        "drill",
        "completions",
    ];
    let mut command = Scheduler::command();
    command.build();
    let listed: Vec<&str> = command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(clap::Command::get_name)
        .collect();
    assert_eq!(listed, verbs);
    for verb in command.get_subcommands() {
        let about = verb.get_about().expect("an about").to_string();
        assert!(about.len() <= 80 && !about.contains('\n'), "{about}");
        let example = verb.get_after_help().expect("an example").to_string();
        assert!(example.starts_with("Example"), "{example}");
        assert!(
            example.contains(verb.get_name()),
            "{} is not in its own example: {example}",
            verb.get_name()
        );
    }
}

#[test]
fn bare_scheduler_prints_help_with_every_exit_code() {
    let output = scheduler(&[]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for code in ExitCode::ALL {
        let line = format!("{:>3}  {}", code.code(), code.meaning());
        assert!(text.contains(&line), "no {line:?} in {text}");
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_is_right() {
    let table: &[(&[&str], &str)] = &[
        (&["statsu"], "status"),
        (&["run", "--workers", "coding"], "coding=3,testing=1"),
        (&["run", "--workers", "cooking=1"], "use coding or testing"),
        (&["run", "--workers", "coding=1,coding=2"], "given twice"),
        (&["run", "--workers", "coding=1001"], "0 to 1000"),
        (&["skip", "0"], "1 to 1000000"),
        (&["why", "#1000001"], "1 to 1000000"),
        (&["log", "--from", "0"], "numbered from 1"),
        (
            &["answer", "7"],
            "`<TEXT>` (your answer to the question) is required",
        ),
        (&["status", "-q", "-v"], "cannot be used together"),
        (&["worker"], "--kind"),
    ];
    for (arguments, expected) in table {
        let output = scheduler(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = stderr(&output);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        for program in ["scheduler", "worker"] {
            let output = scheduler(&["completions", shell, "--for", program]);
            assert_eq!(output.status.code(), Some(0), "{shell}");
            let script = stdout(&output);
            assert!(script.contains("CREWLOG_COMPLETE"), "{shell}: {script}");
            assert!(script.contains(program), "{shell}: {script}");
        }
    }
    let mut asked = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    asked
        .env("CREWLOG_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "1");
    let output = asked.args(["--", "scheduler", "repl"]).output();
    assert_eq!(
        stdout(&output.expect("the scheduler binary starts")).trim(),
        "replay"
    );
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    // Closed before the process starts, so that its first byte meets no reader.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args(["completions", "bash"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("the scheduler binary starts");
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_readme_has_every_exit_code() {
    let readme = include_str!("../README.md");
    for code in ExitCode::ALL {
        let row = format!("| {} | {} |", code.code(), code.meaning());
        assert!(readme.contains(&row), "no {row:?}");
    }
}
