//! git decides what a repository is, for every command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::real::clean;
use crate::said;

struct Place {
    top: PathBuf,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path().canonicalize().expect("its path");
        fs::create_dir(top.join("home")).expect("a directory");
        Self { top, _dir: dir }
    }

    fn run(&self, program: &str, at: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        clean(&mut command, &self.top.join("home"));
        let dir = self.top.join(at);
        command
            .current_dir(&dir)
            .args(args)
            .output()
            .expect(program)
    }

    fn git(&self, at: &str, args: &[&str]) {
        let user = ["-c", "user.name=u", "-c", "user.email=u@example.invalid"];
        let allow = ["-c", "protocol.file.allow=always"];
        let output = self.run("git", at, &[&user, &allow[..], args].concat());
        assert!(output.status.success(), "{args:?}: {}", said(&output));
    }

    fn scheduler(&self, at: &str, args: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_scheduler"), at, args)
    }

    /// Sets a project up at `at` and uses it; its data is where it is expected.
    fn use_it(&self, at: &str, data: &str) {
        for args in [&["init"][..], &["import", "features.toml"], &["status"]] {
            let output = self.scheduler(at, args);
            let code = output.status.code();
            assert_eq!(code, Some(0), "{at} {args:?}: {}", said(&output));
        }
        let log = self.top.join(data).join("log");
        assert!(log.is_dir(), "{} is not there", log.display());
        let left = self.top.join(at).join(".crewlog/data");
        assert!(!left.exists(), "{}", left.display());
    }
}

#[test]
fn every_kind_of_repository_has_a_place_for_the_log() {
    let place = Place::new();
    place.git(".", &["init", "-q", "-b", "main", "plain"]);
    place.git("plain", &["commit", "-q", "--allow-empty", "-m", "first"]);
    place.use_it("plain", "plain/.git/crewlog/main");
    place.git("plain", &["worktree", "add", "-q", "../linked"]);
    place.use_it("linked", "plain/.git/crewlog/worktree-linked");
    place.git(".", &["clone", "-q", "--bare", "plain", "bare.git"]);
    place.use_it("bare.git", "bare.git/crewlog/main");
    let add = ["worktree", "add", "-q", "../of-bare", "main"];
    place.git("bare.git", &add);
    place.use_it("of-bare", "bare.git/crewlog/worktree-of-bare");
    let apart = [
        "clone",
        "-q",
        "--separate-git-dir=apart.git",
        "plain",
        "apart",
    ];
    place.git(".", &apart);
    place.use_it("apart", "apart.git/crewlog/main");
    let origin = place.top.join("plain");
    let origin = origin.to_str().expect("a text");
    place.git("apart", &["submodule", "-q", "add", origin, "sub"]);
    place.use_it("apart/sub", "apart.git/modules/sub/crewlog/main");
}

#[test]
fn an_empty_directory_named_git_is_no_repository() {
    let place = Place::new();
    fs::create_dir_all(place.top.join("home/code/.git")).expect("a directory");
    let refused = place.scheduler("home/code", &["init"]);
    let told = said(&refused);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("is not in a git repository"), "{told}");
    assert!(!place.top.join("home/code/.crewlog").exists());
    // Above it there is one.
    place.git("home", &["init", "-q"]);
    place.git("home", &["commit", "-q", "--allow-empty", "-m", "first"]);
    let made = place.scheduler("home/code", &["init"]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    place.use_it("home", "home/.git/crewlog/main");
    assert!(!place.top.join("home/code/.crewlog").exists());
}

#[test]
fn directories_of_one_working_tree_are_projects_of_their_own() {
    let place = Place::new();
    place.git(".", &["init", "-q", "all"]);
    place.git("all", &["commit", "-q", "--allow-empty", "-m", "first"]);
    place.use_it("all", "all/.git/crewlog/main");
    let names = |dir: &Path| fs::read_dir(dir).expect("readable").count();
    for (at, count) in [("all/a", 2), ("all/b/c", 3)] {
        fs::create_dir_all(place.top.join(at).join(".crewlog")).expect("a directory");
        let read = place.scheduler(at, &["export"]);
        assert_eq!(read.stdout, b"", "{}", said(&read));
        let backlog = place.top.join("all/features.toml");
        let backlog = backlog.to_str().expect("a text");
        let imported = place.scheduler(at, &["import", backlog]);
        assert!(imported.status.success(), "{}", said(&imported));
        assert_eq!(names(&place.top.join("all/.git/crewlog")), count);
    }
}

#[test]
fn a_log_is_read_without_a_git_that_answers() {
    let place = Place::new();
    place.git(".", &["init", "-q", "plain"]);
    place.git("plain", &["commit", "-q", "--allow-empty", "-m", "first"]);
    place.use_it("plain", "plain/.git/crewlog/main");
    let expected = place.scheduler("plain", &["export"]).stdout;
    assert!(!expected.is_empty());
    let config = place.top.join("plain/.git/config");
    let text = fs::read_to_string(&config).expect("readable");
    fs::write(&config, format!("{text}[garbage\n")).expect("written");
    let read = place.scheduler("plain", &["export"]);
    assert_eq!(read.stdout, expected, "{}", said(&read));
    fs::write(&config, text).expect("written");
    let mut without = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    clean(&mut without, &place.top.join("home"));
    without.env("PATH", "/nonexistent").arg("export");
    without.current_dir(place.top.join("plain"));
    let read = without.output().expect("the scheduler");
    assert_eq!(read.stdout, expected, "{}", said(&read));
}
