//! Errors: what failed, why, and what to do next.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use crewlog::cli::error::Error;
use crewlog::cli::exit::ExitCode;
use crewlog::cli::failures;
use crewlog::cli::output::Output;
use crewlog::model::backlog::{self, BacklogErrors, Format};
use crewlog::model::command::{Problem, Rejection};
use crewlog::model::ids::*;
use crewlog::model::settings::{SettingError, Settings};
use crewlog::queue::encoding::DecodeError;
use crewlog::queue::{self, Head};
use crewlog::{scheduler, workspace};

use crate::kit::{self, Screen, every};
use crate::story::commit;

fn rejections() -> Vec<Rejection> {
    use Rejection::*;
    let feature = FeatureId(9);
    let name = || "manual page".to_owned();
    every!(Rejection {
        UnknownFeature(_) => UnknownFeature(feature),
        FeatureExists { .. } => FeatureExists { feature, name: name() },
        NameTaken { .. } => NameTaken { feature, name: name() },
        BadFeature { .. } => BadFeature { feature, problem: Problem::new("the name is empty", "give it a short, unique title") },
        Cycle(_) => Cycle([4, 9, 4].map(FeatureId).to_vec()),
        UnknownDependency { .. } => UnknownDependency { feature, missing: FeatureId(77) },
        TooManyFeatures(_) => TooManyFeatures(200_001),
        WrongStatus { .. } => WrongStatus { feature, status: "passing".to_owned(), problem: Problem::new("it has not asked anything", "") },
        NoRun => NoRun,
        Setting(_) => Setting(setting()),
        HeadMoved { .. } => HeadMoved { head: commit('e') },
        MergeOpen => MergeOpen,
        NotOpen(_) => NotOpen(AttemptId(12)),
        Stale(_) => Stale("#9 is no longer ready".to_owned()),
        NoChange(_) => NoChange("the run is already paused".to_owned()),
        Agent => Agent,
        Backlog(_) => Backlog(backlog()),
    })
}

/// A backlog file with two mistakes.
fn backlog() -> BacklogErrors {
    let text = "[[feature]]\nnmae = \"parse dates\"\n\n[[feature]]\nname = \"\"\n";
    backlog::parse(text, Format::Toml).expect_err("it has mistakes")
}

fn setting() -> SettingError {
    let settings = Settings {
        batch_size: 99,
        ..Settings::default()
    };
    settings.validate().expect_err("99 is too many")
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(28)
}

fn log_errors() -> Vec<queue::Error> {
    use queue::Error::*;
    let path = || PathBuf::from("/home/ann/.local/state/crewlog/project-1a2b3c4d/log");
    let (sequence, why) = (Sequence(2_034), || "its checksum is wrong".to_owned());
    every!(queue::Error {
        Conflict { .. } => Conflict { head: Head::default(), expected: sequence },
        Fenced { .. } => Fenced { current: Epoch(8), given: Epoch(7) },
        NotNext { .. } => NotNext { sequence, why: why() },
        Encode(_) => Encode(too_long()),
        Oversized { .. } => Oversized { what: "event 2034", bytes: 5_000, bytes_max: 4_096 },
        Poisoned { .. } => Poisoned { why: why() },
        Io { .. } => Io { what: "write", path: path(), source: refused() },
        Engine { .. } => Engine { what: "open the log", why: why() },
        Damaged { .. } => Damaged { path: path(), why: format!("event {sequence}: {}", why()) },
        Lost { .. } => Lost { path: path(), snapshot: PathBuf::from("/home/ann/snapshots/2034"), sequence },
        Vanished { .. } => Vanished { path: path(), what: "another file is there" },
        Held { .. } => Held { path: path(), pid: Some(4_242), since: Some(Timestamp(1_795_359_845_000)) },
        NetworkFilesystem { .. } => NetworkFilesystem { path: path(), mount: PathBuf::from("/home"), kind: "nfs".to_owned() },
        Format { .. } => Format { path: path(), found: 9, supported: 1 },
        Decode { .. } => Decode { sequence, source: DecodeError::Codec(7) },
        ContentMissing(_) => ContentMissing(ContentHash([0xab; 32])),
        ContentAltered(_) => ContentAltered(ContentHash([0xab; 32])),
        Import(_) => Import("event 7 is in the log already, and differs".to_owned()),
    })
}

/// An event that is larger than any may be.
fn too_long() -> queue::encoding::EncodeError {
    let reason = "x".repeat(queue::encoding::BODY_BYTES_MAX);
    let event = crewlog::model::event::RunPaused { reason };
    queue::encoding::encode_body(&event.into(), &mut Vec::new()).expect_err("it is too long")
}

fn git_errors() -> Vec<workspace::Error> {
    use workspace::Error::*;
    let program = || PathBuf::from("git");
    let dir = || PathBuf::from("/home/ann/project");
    let doing = "rebase the attempt's work";
    let command = || "rebase --onto main".to_owned();
    let branch = || "main".to_owned();
    let detail = || "the words of git".to_owned();
    let needed = || "2.31".to_owned();
    every!(workspace::Error {
        GitMissing { .. } => GitMissing { program: program(), needed: needed() },
        GitTooOld { .. } => GitTooOld { program: program(), found: "git version 2.17.1".to_owned(), needed: needed() },
        Start { .. } => Start { doing, program: program(), dir: dir(), source: refused() },
        NoDirectory { .. } => NoDirectory { doing, dir: dir() },
        NotARepository { .. } => NotARepository { dir: dir() },
        DubiousOwnership { .. } => DubiousOwnership { dir: dir(), detail: detail() },
        NoCommit { .. } => NoCommit { dir: dir() },
        BranchName { .. } => BranchName { name: "a b".to_owned() },
        BranchCheckedOut { .. } => BranchCheckedOut { branch: branch(), at: "/home/ann/project".to_owned() },
        BranchBusy { .. } => BranchBusy { lock: PathBuf::from("/home/ann/project/.git/crewlog.lock") },
        BranchBlocked { .. } => BranchBlocked { branch: "main/crew".to_owned(), by: branch() },
        BranchMissing { .. } => BranchMissing { branch: branch() },
        NotOnHead { .. } => NotOnHead { commit: "1a2b3c4d".to_owned(), onto: "5e6f7a8b".to_owned() },
        TimeLimit { .. } => TimeLimit { doing, command: command(), seconds: 60.0, detail: String::new() },
        Cancelled { .. } => Cancelled { doing, command: command(), detail: String::new() },
        Killed { .. } => Killed { doing, command: command(), signal: 9 },
        OutputLimit { .. } => OutputLimit { doing, command: command(), bytes: 65_536 },
        Failed { .. } => Failed { doing, command: command(), status: "exit code 128".to_owned(), detail: detail() },
        Unexpected { .. } => Unexpected { doing, command: command(), output: "x".to_owned() },
        Locked { .. } => Locked { doing, detail: detail() },
        NestedRepository { .. } => NestedRepository { paths: vec!["vendor/a".to_owned()] },
        Submodule { .. } => Submodule { path: "vendor/b".to_owned(), why: detail() },
        WorktreeGone { .. } => WorktreeGone { doing, path: dir() },
        NotOurs { .. } => NotOurs { path: dir() },
        Io { .. } => Io { doing, path: dir(), source: refused() },
    })
}

fn scheduler_errors() -> Vec<scheduler::Error> {
    use scheduler::Error::*;
    let of_git = git_errors().remove(0);
    let rejection = rejections().remove(0);
    every!(scheduler::Error {
        Log(_) => Log(log_errors().remove(0)),
        Workspace(_) => Workspace(of_git),
        Rejected(_) => Rejected(rejection.clone()),
        Listen { .. } => Listen { path: PathBuf::from("/run/user/1000/crewlog.sock"), source: refused() },
        CommitterGone => CommitterGone,
        State(_) => State(bincode::Error::from(bincode::ErrorKind::SizeLimit)),
    })
}

fn screens(errors: impl IntoIterator<Item = (String, Error)>, out: &Output) -> Vec<Screen> {
    let screens = errors.into_iter().map(|(name, error)| {
        let title = format!("{name}, exit {}", error.code.code());
        (title, error.text(out.width))
    });
    screens.collect()
}

/// The name of an error's variant.
fn name(of: &str, error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    let end = text.find(|letter: char| !letter.is_alphanumeric());
    format!("{of}: {}", &text[..end.unwrap_or(text.len())])
}

fn all() -> Vec<(String, Error)> {
    let mut all = Vec::new();
    for error in rejections() {
        all.push((name("refused", &error), failures::refused(&error)));
    }
    for error in log_errors() {
        all.push((name("log", &error), failures::of_log(&error)));
    }
    for error in git_errors() {
        let name = name("git", &error);
        all.push((
            name,
            failures::of_scheduler(scheduler::Error::Workspace(error)),
        ));
    }
    for error in scheduler_errors() {
        all.push((name("scheduler", &error), failures::of_scheduler(error)));
    }
    all
}

#[test]
fn errors() {
    kit::check("errors", |out| screens(all(), out));
}

/// The other codes are those of runs, which are not errors.
#[test]
fn every_exit_code_of_an_error_has_a_screen() {
    let codes: BTreeSet<ExitCode> = all().iter().map(|(_, error)| error.code).collect();
    let of_runs = [
        ExitCode::Passing,
        ExitCode::SomeFailed,
        ExitCode::BudgetSpent,
        ExitCode::Interrupted,
    ];
    let expected: BTreeSet<ExitCode> = ExitCode::ALL
        .into_iter()
        .filter(|code| !of_runs.contains(code))
        .collect();
    assert_eq!(codes, expected);
}

#[test]
fn every_error_says_why() {
    for (name, error) in all() {
        assert!(!error.why.is_empty(), "{name}: {error}");
        assert!(!error.text(None).contains(";;"), "{name}: {error}");
    }
}
