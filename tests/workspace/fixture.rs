//! A repository of a user's own, and a git that knows nothing of the machine's configuration.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crewlog::model::ids::{AttemptId, CommitId, FeatureId};
use crewlog::workspace::{CommitMessage, Committed, Git, Repository, Worktree};
use tempfile::TempDir;

/// The integration branch of every test.
pub const BRANCH: &str = "crewlog/main";

/// Runs an async test body on a runtime with one thread.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

/// A temporary directory with a user's repository in `repo`, three files committed.
pub struct Fixture {
    pub temp: TempDir,
    pub repo: PathBuf,
    pub worktrees: PathBuf,
    /// A script that calls git with a home directory of its own, and counts the calls.
    pub git: PathBuf,
}

impl Fixture {
    pub fn new() -> Self {
        let fixture = Self::empty(&["init", "-q", "-b", "main"]);
        fixture.write("README", "one\ntwo\nthree\nfour\nfive\nsix\nseven\n");
        fixture.write("src/a.txt", "alpha\nbeta\ngamma\n");
        fixture.write("src/b.txt", "b\n");
        fixture.write(".gitignore", "*.o\n/build/\n");
        fixture.git(&["add", "-A"]);
        fixture.git(&["commit", "-q", "-m", "start"]);
        fixture
    }

    /// Without any commit.
    pub fn empty(init: &[&str]) -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let top = temp.path().canonicalize().expect("its path");
        let home = top.join("home");
        fs::create_dir_all(home.join("tmp")).expect("a home");
        let name = "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n";
        fs::write(home.join(".gitconfig"), name).expect("a configuration");
        let git = top.join("git");
        // The shell writes it: a file that this process has open for writing when another test
        // forks could not be executed.
        let script = format!(
            "#!/bin/sh\necho \"$*\" >>'{0}/calls'\nHOME='{0}/home' XDG_CONFIG_HOME=/nonexistent \
             GIT_CONFIG_NOSYSTEM=1 exec git \"$@\"\n",
            top.display()
        );
        write_script(&git, &script);
        let fixture = Self {
            repo: top.join("repo"),
            worktrees: top.join("worktrees"),
            git,
            temp,
        };
        fs::create_dir_all(&fixture.repo).expect("a directory");
        fixture.git(init);
        fixture
    }

    pub fn top(&self) -> PathBuf {
        self.temp.path().canonicalize().expect("its path")
    }

    pub fn write(&self, path: &str, text: &str) {
        write(&self.repo, path, text);
    }

    /// Runs git in the user's repository.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_in(&self.repo, args)
    }

    pub fn git_in(&self, dir: &Path, args: &[&str]) -> String {
        let output = self.try_git_in(dir, args);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {complaint}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn try_git_in(&self, dir: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(&self.git);
        for (name, _) in std::env::vars_os() {
            if name.as_bytes().starts_with(b"GIT_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(dir)
            .env("GIT_EDITOR", "true");
        command.output().expect("git runs")
    }

    pub fn id(&self, revision: &str) -> CommitId {
        let text = self.git(&["rev-parse", "--verify", revision]);
        text.trim().parse().expect("an object id")
    }

    pub fn has_ref(&self, name: &str) -> bool {
        let output = self.try_git_in(&self.repo, &["rev-parse", "--verify", "-q", name]);
        output.status.success()
    }

    pub async fn repository(&self) -> Repository {
        let git = Git::at(&self.git);
        let found = Repository::discover_with(&self.repo, git).await;
        found.expect("the repository")
    }

    /// The repository with its integration branch, and the branch's head.
    pub async fn begun(&self) -> (Repository, CommitId) {
        let repository = self.repository().await;
        let head = repository.ensure_branch(BRANCH).await.expect("the branch");
        (repository, head)
    }

    pub async fn worktree(&self, repository: &Repository, attempt: u64) -> Worktree {
        let head = repository.head(BRANCH).await.expect("the head");
        let made = repository.create_worktree(&self.worktrees, AttemptId(attempt), &head);
        made.await.expect("a worktree")
    }

    /// How often git has been called, and with what, since this was last asked.
    pub fn calls(&self) -> Vec<String> {
        let path = self.top().join("calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(&path);
        calls.lines().map(str::to_owned).collect()
    }

    /// All that the user would notice: files, index, HEAD, branch, other refs than ours.
    pub fn users_state(&self) -> Vec<(String, Vec<u8>)> {
        let git_dir = self.repo.join(".git");
        let read = |name: &str| fs::read(git_dir.join(name)).unwrap_or_default();
        let mut state = vec![
            ("index".to_owned(), read("index")),
            ("HEAD".to_owned(), read("HEAD")),
            ("logs/HEAD".to_owned(), read("logs/HEAD")),
            ("config".to_owned(), read("config")),
            ("refs/heads/main".to_owned(), read("refs/heads/main")),
        ];
        let mut dirs = vec![self.repo.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("readable").flatten() {
                let path = entry.path();
                if path.file_name().is_some_and(|name| name == ".git") {
                    continue;
                } else if path.is_dir() {
                    dirs.push(path);
                } else {
                    let name = path.display().to_string();
                    state.push((name, fs::read(&path).expect("readable")));
                }
            }
        }
        state.sort();
        // Asked last: it may refresh the index.
        let status = self.git(&["--no-optional-locks", "status", "--porcelain", "-z"]);
        state.push(("status".to_owned(), status.into_bytes()));
        state
    }
}

pub fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(&path, text).expect("written");
}

pub fn read(dir: &Path, path: &str) -> String {
    fs::read_to_string(dir.join(path)).unwrap_or_else(|error| format!("<{error}>"))
}

pub fn write_script(path: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"]);
    shell.arg(path).arg(text);
    assert!(shell.status().expect("a shell").success());
}

pub fn message(attempt: u64) -> CommitMessage {
    CommitMessage::new("Do it")
        .feature(FeatureId(5))
        .attempt(AttemptId(attempt))
}

/// Commits what lies in the worktree; there must be something.
pub async fn commit(worktree: &mut Worktree) -> Committed {
    let message = message(worktree.attempt().0);
    let committed = worktree.commit(&message, None).await;
    committed.expect("a commit").expect("a difference")
}
