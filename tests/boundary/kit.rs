//! A person's machine in small: a home directory with secrets, a checkout, two attempts; and a
//! program that tries to get at them, run by the very tree and cage that a worker makes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crewlog::agent::cage::build::{Request, build};
use crewlog::agent::cage::{Cage, Limits, Network};
use crewlog::agent::process::{Finished, Isolation, Streams, TreeCommand, run_to_end};
use crewlog::model::evidence::CheckEnd;
use tokio_util::sync::CancellationToken;

/// Nobody reads this by accident.
pub const SECRET: &str = "the-secret-7f3a";

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Without a cage, held by subreapers: what any process of the person may do.
    Free,
    /// In a cage with namespaces.
    Namespaces,
    /// In a cage of Landlock alone.
    LandlockAlone,
}

pub const CAGES: [How; 2] = [How::Namespaces, How::LandlockAlone];

pub struct Ground {
    dir: tempfile::TempDir,
    /// Below the machine's `/tmp`, whatever `TMPDIR` says.
    pub others: tempfile::TempDir,
    pub limits: Limits,
    pub network: Network,
    pub write: Vec<String>,
    pub command: Vec<OsString>,
}

impl Ground {
    pub fn new() -> Self {
        let ground = Self {
            dir: tempfile::tempdir_in(place()).expect("a directory"),
            others: tempfile::tempdir_in("/tmp").expect("a directory"),
            limits: Limits {
                memory_bytes: 2 << 30,
                processes: 500,
                open_files: 4_096,
            },
            network: Network::Inherit,
            write: Vec::new(),
            command: Vec::new(),
        };
        let home = ground.home();
        for secret in [
            ".ssh/id_ed25519",
            ".aws/credentials",
            ".gnupg/private-keys-v1.d/key",
            ".netrc",
            ".git-credentials",
            ".config/gh/hosts.yml",
            ".docker/config.json",
            ".kube/config",
            ".cargo/credentials.toml",
            ".bash_history",
            ".codex/auth.json",
            ".claude/.credentials.json",
            "project/.crewlog/config.toml",
            "project/.git/crewlog/main/log/db",
            "project/src/private.rs",
            "attempts/a2/tree/work.rs",
            "attempts/a1/private/notes",
        ] {
            write(&home.join(secret), SECRET);
        }
        write(
            &home.join(".npmrc"),
            &format!("//registry/:_authToken={SECRET}\n"),
        );
        for plain in [
            ".bashrc",
            ".profile",
            ".local/bin/tool",
            ".cargo/bin/tool",
            ".cargo/registry/src/dep/build.rs",
            ".cache/pre-commit/hook",
            "project/.git/config",
            "project/.git/HEAD",
            "project/.git/refs/heads/main",
            "project/.git/objects/info/packs",
            "project/.git/hooks/pre-commit.sample",
        ] {
            write(&home.join(plain), "as it was\n");
        }
        for directory in ["a1/tree", "a1/tmp", "a1/job", "a1/scratch"] {
            fs::create_dir_all(ground.attempts().join(directory)).expect("made");
        }
        ground
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("a path").join("home")
    }

    pub fn attempts(&self) -> PathBuf {
        self.home().join("attempts")
    }

    pub fn tree(&self) -> PathBuf {
        self.attempts().join("a1/tree")
    }

    /// All names in the home directory but for the attempts'. What lies below an existing cache
    /// does not count: without an overlay it is shared.
    pub fn in_home(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.home()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(self.home()).expect("below");
                found.insert(name.display().to_string());
                let apart = ["attempts", ".cargo", ".cache"].map(Path::new);
                if path.is_dir() && !path.is_symlink() && !apart.contains(&name) {
                    open.push(path);
                }
            }
        }
        found
    }

    pub fn read(&self, below_home: &str) -> String {
        fs::read_to_string(self.home().join(below_home)).unwrap_or_default()
    }

    pub fn env(&self) -> BTreeMap<OsString, OsString> {
        let mut env = BTreeMap::new();
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        env.insert("PATH".into(), path);
        env.insert("HOME".into(), self.home().into());
        env.insert("OTHERS".into(), self.others.path().into());
        env.insert("SECRET".into(), SECRET.into());
        env.insert("TMPDIR".into(), self.attempts().join("a1/tmp").into());
        // The machine's own pyenv, where python is one of its shims.
        let machine = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
        env.extend(machine.map(|path| ("PYENV_ROOT".into(), path.into())));
        env.insert("SSH_AUTH_SOCK".into(), "/run/agent".into());
        env
    }

    /// A cage as each program gets one: what it writes into caches is its own.
    pub fn cage(&self) -> Cage {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let attempt = |name: &str| self.attempts().join("a1").join(name);
        build(&Request {
            env: self.env(),
            command: self.command.clone(),
            hidden: vec![self.home().join("project"), self.attempts()],
            readable: vec![self.home().join("project/.git/objects")],
            writable: vec![attempt("tree"), attempt("job"), attempt("tmp")],
            write: self.write.iter().map(String::as_str).collect(),
            tmp: attempt("tmp"),
            scratch: attempt("scratch").join(number),
            private: vec![attempt("scratch")],
            network: self.network,
            limits: self.limits,
            ..Request::default()
        })
    }

    /// Runs a shell script as an agent of attempt 1.
    pub fn run(&self, how: How, script: &str) -> Finished {
        let command = TreeCommand {
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            cwd: self.tree(),
            env: self.env(),
            token: format!(
                "boundary-{}-{}",
                std::process::id(),
                self.dir.path().display()
            ),
            own_executable: PathBuf::from(env!("CARGO_BIN_EXE_scheduler")),
            isolation: match how {
                How::Free | How::LandlockAlone => Isolation::Subreaper,
                How::Namespaces => Isolation::Namespace,
            },
            streams: Streams::Merged,
            cage: (how != How::Free).then(|| self.cage()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let limit = Duration::from_secs(60);
        let never = CancellationToken::new();
        let finished = runtime.block_on(run_to_end(command, limit, 1 << 20, &never));
        let finished = finished.expect("it starts");
        assert!(
            finished.end != CheckEnd::TimedOut,
            "{script}: {}",
            finished.output
        );
        assert_eq!(finished.left, 0, "{script}");
        finished
    }
}

/// A directory that is not below `/tmp`, which the cage replaces as a whole.
pub fn place() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    match (target.starts_with("/tmp"), std::env::var_os("HOME")) {
        (true, Some(home)) => home.into(),
        _ => target,
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
}

/// Whether a tool is there; where it is not, says loudly what is not tested.
pub fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("NOT TESTED: {tool} is not installed here");
    }
    found
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
