//! `scheduler init` from outside, in directories of the test's own.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::{git, text};

fn scheduler(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the scheduler binary starts")
}

fn repository() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    git(directory.path(), directory.path(), &["init", "-q"]);
    directory
}

#[test]
fn writes_what_a_project_needs_and_says_what_comes_next() {
    let repository = repository();
    let below = repository.path().join("deep/er");
    fs::create_dir_all(&below).expect("a directory");
    let output = scheduler(&below, &["init"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(said.contains("wrote .crewlog/config.toml"), "{said}");
    assert!(said.contains("next: "), "{said}");
    for name in [".crewlog/config.toml", "features.toml"] {
        assert!(repository.path().join(name).is_file(), "{name}");
    }
}

#[test]
fn the_sample_is_a_good_backlog() {
    let repository = repository();
    scheduler(repository.path(), &["init", "-q"]);
    let output = scheduler(repository.path(), &["import", "features.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let status = scheduler(repository.path(), &["status", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(
        said["counts"],
        serde_json::json!({ "ready": 1, "blocked": 2 })
    );
}

#[test]
fn says_that_work_needs_a_commit_to_begin_from() {
    let repository = repository();
    let output = scheduler(repository.path(), &["init"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("before the first run: "), "{said}");
    assert!(
        said.contains("no commit yet") && said.contains("git commit --allow-empty"),
        "{said}"
    );
    let identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
    let commit = ["commit", "-q", "--allow-empty", "-m", "first"];
    let (at, args) = (repository.path(), [&identity[..], &commit].concat());
    git(at, at, &args);
    let output = scheduler(repository.path(), &["init"]);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn overwrites_nothing() {
    let repository = repository();
    fs::write(repository.path().join("features.toml"), "mine").expect("written");
    let output = scheduler(repository.path(), &["init", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said["kept"], serde_json::json!(["features.toml"]));
    let kept = fs::read_to_string(repository.path().join("features.toml")).expect("read");
    assert_eq!(kept, "mine");
    let again = scheduler(repository.path(), &["init", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(said["wrote"], serde_json::json!([]));
}

#[test]
fn refuses_where_there_is_no_repository() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = scheduler(directory.path(), &["init"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("error: ") && said.contains("why: ") && said.contains("next: run `git init`"),
        "{said}"
    );
    let entries = fs::read_dir(directory.path()).expect("read").count();
    assert_eq!(entries, 0, "it left something behind");
    let output = scheduler(directory.path(), &["init", "-C", "nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

/// A repository, and a PATH with git and these programs only.
fn with_programs(programs: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let repository = repository();
    let bin = repository.path().join("bin");
    fs::create_dir(&bin).expect("a directory");
    for program in programs {
        let file = bin.join(program);
        fs::write(&file, "#!/bin/sh\n").expect("a program");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    for dir in std::env::split_paths(&std::env::var_os("PATH").expect("a path")) {
        let real = dir.join("git");
        if real.is_file() {
            std::os::unix::fs::symlink(real, bin.join("git")).expect("a link");
            break;
        }
    }
    (repository, bin)
}

fn init_in(repository: &Path, path: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .arg("init")
        .args(arguments)
        .current_dir(repository)
        .env("PATH", path)
        .output()
        .expect("the scheduler binary starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The jobs' agents, as `config` prints them, and what the file sets.
fn config_of(repository: &Path) -> String {
    let output = scheduler(repository, &["config"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_agent_that_is_there_is_in_the_config() {
    let (repository, bin) = with_programs(&["opencode", "codex"]);
    let said = init_in(repository.path(), &bin, &[]);
    assert!(said.contains("the config, with the agent codex"), "{said}");
    let config = config_of(repository.path());
    assert!(
        config.contains("agents.codex.preset = \"codex\""),
        "{config}"
    );
    assert!(
        config.contains("# jobs: coding: codex; testing: codex"),
        "{config}"
    );
    let written = fs::read_to_string(repository.path().join(".crewlog/config.toml"));
    let written = written.expect("a config");
    assert!(
        written.contains("Also on this machine: opencode"),
        "{written}"
    );
    assert!(written.lines().count() < 20, "it is short");
}

#[test]
fn an_agent_that_is_named_is_in_the_config_wherever_it_is() {
    let (repository, bin) = with_programs(&["codex"]);
    let said = init_in(repository.path(), &bin, &["--agent", "tools/my-agent"]);
    assert!(said.contains("with the agent tools/my-agent"), "{said}");
    let config = config_of(repository.path());
    let expected = "agents.my-agent.program = \"tools/my-agent\"";
    assert!(config.contains(expected), "{config}");
}

#[test]
fn without_an_agent_the_next_step_is_to_name_one() {
    let (repository, bin) = with_programs(&[]);
    let said = init_in(repository.path(), &bin, &[]);
    assert!(said.contains("without an agent: none is in PATH"), "{said}");
    assert!(said.contains("next: name your agent"), "{said}");
    let everything = scheduler(repository.path(), &["config", "--all"]);
    assert!(text(&everything.stdout).contains("[agents.claude]"));
    let run = scheduler(repository.path(), &["run", "--workers", "coding=1"]);
    let why = text(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{why}");
    assert!(why.contains("name your agent"), "{why}");
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let (repository, bin) = with_programs(&["codex"]);
    init_in(repository.path(), &bin, &[]);
    let file = repository.path().join(".crewlog/config.toml");
    let mut config = fs::read_to_string(&file).expect("a config");
    config.push_str(
        "env = { MY_KEY = \"s3cret\" }\n[notify]\nwebhook = \"https://x.example/t0ken\"\n",
    );
    fs::write(&file, config).expect("written");
    for format in ["text", "json"] {
        let output = scheduler(repository.path(), &["config", "--format", format]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(
            said.contains("agents.codex.env") && said.contains("notify.webhook"),
            "{said}"
        );
        assert!(
            !said.contains("s3cret") && !said.contains("t0ken"),
            "{said}"
        );
    }
}
