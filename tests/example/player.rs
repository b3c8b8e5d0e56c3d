//! A small interpreter of the scripts: only what changes the worktree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backlog {
    pub feature: Vec<Feature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    pub id: u32,
    pub category: String,
    pub name: String,
    pub description: String,
    pub steps: Vec<String>,
    pub checks: Vec<String>,
    #[serde(default)]
    pub depends_on: Vec<u32>,
    #[serde(default)]
    pub priority: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub attempt: Vec<Turn>,
    pub regressed: Vec<Turn>,
    pub test: Vec<Turn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    pub steps: Vec<Step>,
}

/// One step has one of these keys, and the text or file that belongs to it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    pub say: Option<String>,
    pub think: Option<String>,
    pub patch: Option<String>,
    pub write: Option<String>,
    pub from: Option<String>,
    pub text: Option<String>,
    pub run: Option<String>,
    pub pause_ms: Option<u64>,
    pub hang_detached: Option<bool>,
    pub crash_writing: Option<String>,
    pub verdict: Option<String>,
    pub judge: Option<String>,
    pub usage: Option<BTreeMap<String, u64>>,
}

pub struct Example {
    pub features: BTreeMap<u32, Feature>,
    pub scripts: BTreeMap<u32, Script>,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shoebox")
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Example {
    pub fn load() -> Self {
        let backlog: Backlog = toml::from_str(&read(&root().join("features.toml"))).unwrap();
        let features: BTreeMap<_, _> = backlog.feature.into_iter().map(|f| (f.id, f)).collect();
        let script = |id: &u32| {
            let text = read(&root().join(format!("script/{id}.toml")));
            (
                *id,
                toml::from_str(&text).unwrap_or_else(|e| panic!("script {id}: {e}")),
            )
        };
        Self {
            scripts: features.keys().map(script).collect(),
            features,
        }
    }

    pub fn first(&self, id: u32) -> &Turn {
        &self.scripts[&id].attempt[0]
    }

    pub fn last(&self, id: u32) -> &Turn {
        self.scripts[&id].attempt.last().unwrap()
    }

    /// Everything that must pass before the feature.
    pub fn ancestors(&self, id: u32) -> BTreeSet<u32> {
        let direct = &self.features[&id].depends_on;
        direct
            .iter()
            .flat_map(|d| self.ancestors(*d).into_iter().chain([*d]))
            .collect()
    }

    /// Features in the longest chain that ends with this one.
    pub fn chain(&self, id: u32) -> usize {
        let direct = &self.features[&id].depends_on;
        1 + direct.iter().map(|d| self.chain(*d)).max().unwrap_or(0)
    }
}

/// A git repository made from `project/`, and what a worker would do with it.
pub struct Repository {
    pub dir: TempDir,
}

impl Repository {
    pub fn new() -> Self {
        let this = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["work", "tmp"] {
            fs::create_dir(this.dir.path().join(name)).unwrap();
        }
        let project = root().join("project");
        for file in files(&project) {
            let target = this.work().join(file.strip_prefix(&project).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(&file, target).unwrap();
        }
        this.git("init -q -b main");
        this.commit("start");
        this.git("tag start");
        this
    }

    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.work()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path().join("tmp"));
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "test");
            command.env(format!("GIT_{who}_EMAIL"), "test@example.org");
        }
        command
    }

    pub fn try_git(&self, arguments: &str) -> Output {
        self.command("git")
            .args(arguments.split(' '))
            .output()
            .unwrap()
    }

    pub fn git(&self, arguments: &str) -> String {
        let output = self.try_git(arguments);
        assert!(
            output.status.success(),
            "git {arguments}: {}",
            said(&output)
        );
        said(&output).trim().to_owned()
    }

    /// Takes the tree of a commit, as a fresh worktree does.
    pub fn start_from(&self, commit: &str) {
        self.git("clean -q -f -d");
        self.git(&format!("checkout -q -f --detach {commit}"));
    }

    /// Commits everything, as a worker does; returns the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git("add -A");
        self.git(&format!("commit -q --allow-empty -m {message}"));
        self.git("rev-parse HEAD")
    }

    pub fn shell(&self, command: &str) -> Result<(), String> {
        let output = self.command("sh").args(["-c", command]).output().unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("{command}: {}", said(&output)))
        }
    }

    /// Does what the scripted agent does to the worktree. Panics where an edit cannot be made.
    pub fn play(&self, turn: &Turn) {
        for step in &turn.steps {
            if let Some(patch) = &step.patch {
                let file = root().join("script").join(patch);
                let output = self.command("git").arg("apply").arg(file).output().unwrap();
                assert!(output.status.success(), "{patch}: {}", said(&output));
            } else if let Some(path) = step.write.as_ref().or(step.crash_writing.as_ref()) {
                let from = step
                    .from
                    .as_ref()
                    .map(|from| read(&root().join("script").join(from)));
                let text = from
                    .or_else(|| step.text.clone())
                    .expect("a write has from or text");
                let whole = step.crash_writing.is_none();
                let length = if whole { text.len() } else { text.len() / 2 };
                let path = self.work().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &text.as_bytes()[..length]).unwrap();
            } else if let Some(run) = &step.run {
                // Tests only look, and the checks will look again. What fails here is for them to
                // find, as in a session.
                if !run.starts_with("sh tests/") {
                    let _ = self.shell(run);
                }
            }
            if step.crash_writing.is_some() || step.hang_detached.is_some() {
                return;
            }
        }
    }

    pub fn check(&self, feature: &Feature) -> Result<(), String> {
        feature
            .checks
            .iter()
            .try_for_each(|check| self.shell(check))
    }

    pub fn judge(&self, script: &Script) -> Result<(), String> {
        let steps = script.test.iter().flat_map(|turn| &turn.steps);
        steps
            .filter_map(|step| step.judge.as_ref())
            .try_for_each(|judge| self.shell(judge))
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found.retain(|path| !path.components().any(|part| part.as_os_str() == ".git"));
    found
}
