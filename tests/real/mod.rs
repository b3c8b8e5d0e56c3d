//! A real project in a temporary directory: real git, real sled, real processes.
#![allow(dead_code, reason = "each test binary uses its part")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

#[allow(unused_imports, reason = "each test binary uses its part")]
pub use support::{PATIENCE, clean, lines, repository, said, text, wait_until};

/// A project for one test.
pub struct Project {
    pub root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Project {
    /// An empty repository with one commit, and this config.
    pub fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("its path").join("project");
        fs::create_dir_all(root.join(".crewlog")).expect("directories");
        fs::create_dir_all(root.join("../home")).expect("a home");
        fs::create_dir_all(root.join("../tmp")).expect("a directory");
        let project = Self { root, _dir: dir };
        project.write(".crewlog/config.toml", config);
        project.write(".crewlog/.gitignore", "*\n");
        project.write("README", "a project\n");
        support::repository(&project.root, &project.home(), "main");
        project
    }

    pub fn home(&self) -> PathBuf {
        self.root.join("../home")
    }

    /// Where commands of this project put temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("../tmp")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }

    pub fn git(&self, args: &[&str]) -> String {
        support::git(&self.root, &self.home(), args)
    }

    /// The scheduler's executable with these arguments, in the project's directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
        clean(&mut command, &self.home());
        command
            .current_dir(&self.root)
            .env("TMPDIR", self.tmp())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn scheduler(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the scheduler")
    }

    /// Starts it and discards its output.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        // A group of its own, so that signals to the test do not reach it.
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        command.spawn().expect("the scheduler")
    }

    /// Directory of this project's attempts; it does not exist before the first one.
    pub fn attempts(&self) -> PathBuf {
        let base = self.home().join(".local/state/crewlog");
        let entries = fs::read_dir(&base).into_iter().flatten().flatten();
        let own = entries.map(|entry| entry.path().join("attempts")).next();
        own.unwrap_or(base)
    }

    /// The first attempt's file of this name, below any attempt's directory.
    pub fn in_an_attempt(&self, name: &str) -> Option<PathBuf> {
        let entries = fs::read_dir(self.attempts()).ok()?.flatten();
        let below = entries.flat_map(|entry| {
            // A worktree may lie in the attempt's directory, or be it.
            [
                entry.path().join(name),
                entry.path().join("tree").join(name),
            ]
        });
        below.into_iter().find(|path| path.exists())
    }

    /// Processes that belong to this project.
    pub fn processes(&self) -> BTreeMap<u32, String> {
        // Attempts work beside the project's directory.
        processes_of(self.root.parent().expect("a parent"))
    }

    /// Waits until no process of this project is left.
    pub fn wait_for_silence(&self) {
        wait_until("every process is gone", || {
            self.processes().is_empty().then_some(())
        });
    }

    /// The commits on the integration branch, as `(feature trailer, commit)`, oldest first.
    pub fn merged(&self, branch: &str) -> Vec<String> {
        let format = "--format=%(trailers:key=Crewlog-Feature,valueonly,separator=%x2C)";
        let text = self.git(&["log", "--reverse", format, branch]);
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // A failed test must leave no process behind either.
        for pid in self.processes().keys() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Processes that belong to the project at `root`: by their arguments, directory or environment.
pub fn processes_of(root: &Path) -> BTreeMap<u32, String> {
    let needle = root.as_os_str().as_encoded_bytes();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<u32>() else {
            continue;
        };
        let path = entry.path();
        let read = |file: &str| fs::read(path.join(file)).unwrap_or_default();
        let (line, environment) = (read("cmdline"), read("environ"));
        let directory = fs::read_link(path.join("cwd")).unwrap_or_default();
        let zombie = String::from_utf8_lossy(&read("stat")).contains(") Z ");
        let holds = |text: &[u8]| text.windows(needle.len()).any(|part| part == needle);
        if pid != std::process::id()
            && !zombie
            && (holds(&line) || holds(&environment) || directory.starts_with(root))
        {
            found.insert(pid, String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

/// Waits for a process's end.
pub fn wait(child: &mut Child) -> Option<i32> {
    let status = wait_until("a process ends", || child.try_wait().expect("its status"));
    status.code()
}
