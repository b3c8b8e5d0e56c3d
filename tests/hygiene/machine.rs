//! A machine that lacks something.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::{
    AGENT, RUN, assert_nothing_left, assert_passes, assert_refused, assert_untouched, project,
    said, users_state,
};
use crate::real::Project;

/// A directory with all programs of the PATH but git.
fn path_without_git(project: &Project) -> PathBuf {
    let dir = project.home().join("bin");
    std::fs::create_dir(&dir).expect("a directory");
    let path = std::env::var_os("PATH").expect("a PATH");
    for from in std::env::split_paths(&path) {
        for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
            if entry.file_name() != "git" {
                let _ = symlink(entry.path(), dir.join(entry.file_name()));
            }
        }
    }
    dir
}

#[test]
fn without_git_it_says_so_and_changes_nothing() {
    let project = project(AGENT, "", 1);
    let before = users_state(&project);
    let path = path_without_git(&project);
    let with = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        crate::real::clean(&mut command, &project.home());
        command.env("PATH", &path).env("TMPDIR", project.tmp());
        let output = command.current_dir(&project.root).args(args).output();
        output.expect("started")
    };
    let words = ["there is no program \"git\"", "Install git 2.30 or newer"];
    assert_refused(&with(env!("CARGO_BIN_EXE_scheduler"), &RUN), 2, &words);
    let worker = with(env!("CARGO_BIN_EXE_worker"), &["--kind", "coding"]);
    assert_refused(&worker, 2, &words);
    // What needs no git goes on.
    let status = with(env!("CARGO_BIN_EXE_scheduler"), &["status"]);
    assert!(status.status.success(), "{}", said(&status));
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    assert_passes(&project);
}

#[test]
fn an_old_git_is_named() {
    let project = project(AGENT, "", 1);
    let before = users_state(&project);
    let dir = project.home().join("old");
    std::fs::create_dir(&dir).expect("a directory");
    let script = "printf '#!/bin/sh\\necho git version 2.17.1\\n' > \"$0\" && chmod 755 \"$0\"";
    let written = Command::new("sh")
        .args(["-c", script])
        .arg(dir.join("git"))
        .status();
    assert!(written.expect("a shell").success());
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}:{path}", dir.display());
    let run = project.command(&RUN).env("PATH", path).output();
    let words = [
        "git version 2.17.1",
        "2.30 or newer is needed",
        "Update git",
    ];
    assert_refused(&run.expect("started"), 2, &words);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
}

/// Runs the scheduler as somebody whom permissions apply to.
fn as_nobody(project: &Project, args: &[&str]) -> Option<std::process::Output> {
    let scheduler = env!("CARGO_BIN_EXE_scheduler");
    if !rustix::process::geteuid().is_root() {
        return Some(project.scheduler(args));
    }
    let mut command = Command::new("setpriv");
    crate::real::clean(&mut command, &project.home());
    command.env("TMPDIR", project.tmp());
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.current_dir(&project.root).arg(scheduler).args(args);
    let output = command.output().ok()?;
    // Another user may not be let at the executable.
    (!matches!(output.status.code(), Some(126 | 127))).then_some(output)
}

/// Gives everything of the project to the user that `as_nobody` runs as.
fn give_away(project: &Project) {
    if rustix::process::geteuid().is_root() {
        let top = project.root.parent().expect("a parent");
        let mut chown = Command::new("chown");
        let given = chown.args(["-R", "65534:65534"]).arg(top).status();
        assert!(given.expect("chown").success());
    }
}

fn set_mode(path: &Path, mode: u32) {
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("permissions");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    // Which directory, the exit code, and what is said.
    let table = [
        (
            ".git/crewlog/main",
            1,
            [".git/crewlog/main", "ermission denied"],
        ),
        (
            ".git/refs/heads",
            2,
            ["refs/heads", "unable to create directory"],
        ),
        (
            "../home/.local/state",
            2,
            [".local/state/crewlog", "ermission denied"],
        ),
    ];
    for (place, code, words) in table {
        let project = project(AGENT, "", 1);
        let dir = project.root.join(place);
        std::fs::create_dir_all(&dir).expect("a directory");
        project.git(&["config", "--global", "--add", "safe.directory", "*"]);
        give_away(&project);
        let before = users_state(&project);
        set_mode(&dir, 0o555);
        let Some(run) = as_nobody(&project, &RUN) else {
            eprintln!(
                "skipped: no other user may run {}",
                env!("CARGO_BIN_EXE_scheduler")
            );
            return;
        };
        set_mode(&dir, 0o755);
        assert_eq!(run.status.code(), Some(code), "{place}: {}", said(&run));
        let text = said(&run);
        assert!(!text.contains("panicked"), "{text}");
        for word in words {
            assert!(text.contains(word), "{place}: {word:?} is missing: {text}");
        }
        assert_untouched(&before, &project);
        let run = as_nobody(&project, &RUN).expect("as before");
        assert_eq!(run.status.code(), Some(0), "{place}: {}", said(&run));
        assert_nothing_left(&project);
    }
}
