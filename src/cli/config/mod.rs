//! The project's config: defaults, overridden by the file, overridden by the command line. Every
//! value knows where it came from.

mod agents;
mod evidence;
mod file;
mod human;
mod keys;
mod notify;
pub mod starter;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use file::{File, run_keys, run_setting};
pub use human::{Bytes, Dollars, Memory, Span};

use super::error::Error;
use super::project::Project;
use super::worker_counts::WorkerCounts;
use crate::model::encoding;
use crate::model::profile::{ProfileName, Profiles};
use crate::model::settings::{Settings, WorkerKind};
use crate::worker;
use crate::worker::config::{AgentConfig, Hooks, Places, Prompts};

/// Every key with its explanation, as `scheduler config --all` prints it. Every value in it is the
/// default.
pub const TEMPLATE: &str = include_str!("template.toml");

/// Longest config file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// A line of the file, from 1.
    File(usize),
    /// A command-line option.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "line {line}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key with its section: `run.idle_limit`.
    pub key: String,
    /// The value in TOML.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// The config in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// All values in force.
    file: File,
    /// Where values that are not defaults came from.
    origins: BTreeMap<String, Origin>,
    /// Path of the file, for messages.
    path: PathBuf,
    /// The branch name if the file has none.
    branch: String,
    /// Content of the file.
    text: String,
    /// Directory of a frozen config and its prompt templates.
    frozen: Option<PathBuf>,
}

impl Config {
    /// Loads the project's config; without a file, the defaults.
    pub fn load(project: &Project) -> Result<Self, Error> {
        let branch = keys::branch_from_directory(&project.root);
        match read(&project.config)? {
            Some(text) => Self::parse(&text, &project.config, branch),
            None => Self::parse("", &project.config, branch),
        }
    }

    /// Parses `text`, the content of the file at `path`; `branch` is the branch name if it has none.
    pub fn parse(text: &str, path: &Path, branch: String) -> Result<Self, Error> {
        let origins = keys::origins(text).map_err(|problem| problem.at(path))?;
        let file: File = toml::from_str(text)
            .map_err(|error| keys::Problem::of_value(text, &error, &origins).at(path))?;
        let config = Self {
            file,
            origins,
            path: path.to_owned(),
            branch,
            text: text.to_owned(),
            frozen: None,
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), Error> {
        if let Err(error) = self.settings().validate() {
            let (key, problem) = keys::of_setting(&error);
            return Err(self.wrong(&key, problem, ""));
        }
        if let Err(problem) = keys::check_branch(&self.file.run.branch) {
            return Err(self.wrong("run.branch", problem, ""));
        }
        self.check_notify()?;
        for (key, count) in [
            ("workers.coding", self.file.workers.coding),
            ("workers.testing", self.file.workers.testing),
        ] {
            if count > WorkerCounts::EACH_MAX {
                let problem = format!("{key} = {count}: must be 0 to {}", WorkerCounts::EACH_MAX);
                return Err(self.wrong(key, problem, ""));
            }
        }
        self.agents()?;
        // Only workers need an agent, so that only they report that it is missing.
        let mut worker = self.worker_config(Places::default());
        for agent in worker.agents.values_mut() {
            if agent.program().trim().is_empty() {
                "none yet".clone_into(&mut agent.program);
            }
        }
        self.check_worker(&worker)
    }

    /// The agents by name, and which of them do which jobs.
    fn agents(&self) -> Result<(BTreeMap<ProfileName, AgentConfig>, Profiles), Error> {
        agents::agents(&self.file, |key| self.origins.contains_key(key))
            .map_err(|wrong| self.wrong(&wrong.key, wrong.problem, wrong.next))
    }

    /// The agents that jobs may use.
    pub fn profiles(&self) -> Profiles {
        self.agents().map(|(_, jobs)| jobs).unwrap_or_default()
    }

    /// What a person should change in the file although it works.
    pub fn outdated(&self) -> Option<&'static str> {
        let old = self.origins.keys().any(|key| key.starts_with("agent."));
        old.then_some(
            "the section [agent] is of an earlier version and still works; with [agents.NAME], a second agent can take over when the first one cannot work",
        )
    }

    fn check_worker(&self, worker: &worker::Config) -> Result<(), Error> {
        worker.validate().map_err(|error| {
            let key = keys::of_worker(&error.name);
            self.wrong(key, format!("{key}: {}", error.problem), error.next)
        })
    }

    /// The error for an invalid value of `key`.
    fn wrong(&self, key: &str, problem: String, next: &str) -> Error {
        // A problem of a whole section is reported at its first key.
        let section = format!("{key}.");
        let within = |(name, _): &(&String, &Origin)| *name == key || name.starts_with(&section);
        let line = |(_, origin): (&String, &Origin)| match origin {
            Origin::File(line) => Some(*line),
            Origin::Default | Origin::Flag(_) => None,
        };
        let line = self.origins.iter().filter(within).filter_map(line).min();
        keys::Problem {
            line,
            problem,
            next: next.to_owned(),
        }
        .at(&self.path)
    }

    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).copied().unwrap_or(Origin::Default)
    }

    /// Every value in force, in the order of the file.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = keys::flatten(&self.file);
        for (key, value) in &mut entries {
            if key == "run.branch" {
                *value = format!(
                    "{:?}",
                    self.branch().trim_start_matches(keys::BRANCH_PREFIX)
                );
            }
        }
        let entry = |(key, value): (String, String)| {
            let origin = self.origin(&key);
            Entry { key, value, origin }
        };
        entries.into_iter().map(entry).collect()
    }

    /// The run's settings.
    pub fn settings(&self) -> Settings {
        self.file.run.settings()
    }

    /// The branch of a project in this state. The branch that has the work stays the same, even if the
    /// project's directory is renamed.
    pub fn branch_of(&self, state: &crate::model::state::State) -> String {
        match state.branch.as_str() {
            known if !known.is_empty() && !self.names_branch() => known.to_owned(),
            _ => self.branch(),
        }
    }

    /// The integration branch, without `refs/heads/`. It is always below `crewlog/`, so that it cannot
    /// be one of the user's branches by mistake.
    pub fn branch(&self) -> String {
        let name = match self.file.run.branch.as_str() {
            "" => &self.branch,
            name => name,
        };
        let name = name.strip_prefix(keys::BRANCH_PREFIX).unwrap_or(name);
        format!("{}{name}", keys::BRANCH_PREFIX)
    }

    /// Whether the file sets the branch.
    pub fn names_branch(&self) -> bool {
        !self.file.run.branch.is_empty()
    }

    /// The workers that `scheduler run` starts.
    pub fn worker_counts(&self) -> WorkerCounts {
        WorkerCounts {
            coding: self.file.workers.coding,
            testing: self.file.workers.testing,
        }
    }

    /// Parent directory for attempts; empty for the default in the user's state directory.
    pub fn attempts_dir(&self) -> &str {
        &self.file.run.attempts_dir
    }

    /// Whether the log may be on a network file system.
    pub fn allow_network_filesystem(&self) -> bool {
        self.file.log.allow_network_filesystem
    }

    /// Applies `--workers`, which overrides the file, and raises limits that would keep these workers
    /// idle. Returns a line for the person if a limit was raised.
    pub fn set_worker_counts(&mut self, counts: WorkerCounts) -> Option<String> {
        self.file.workers.coding = counts.coding;
        self.file.workers.testing = counts.testing;
        let run = &mut self.file.run;
        let limits = [
            (
                "run.max_concurrency",
                &mut run.max_concurrency,
                counts.coding,
            ),
            ("run.testing", &mut run.testing, counts.testing),
        ];
        let mut raised = Vec::new();
        let mut keys = vec!["workers.coding", "workers.testing"];
        for (key, limit, asked) in limits {
            if asked > *limit {
                raised.push(format!("{key} is {asked} instead of {limit}"));
                keys.push(key);
                *limit = asked;
            }
        }
        for key in keys {
            self.origins
                .insert(key.to_owned(), Origin::Flag("--workers"));
        }
        let raised = raised.join(" and ");
        (!raised.is_empty()).then(|| format!("--workers: {raised} for this run"))
    }

    /// Applies `--allow-network-filesystem`, which overrides the file.
    pub fn set_allow_network_filesystem(&mut self) {
        self.file.log.allow_network_filesystem = true;
        let flag = Origin::Flag("--allow-network-filesystem");
        self.origins
            .insert("log.allow_network_filesystem".to_owned(), flag);
    }

    /// The config for a worker of this project.
    pub fn worker(&self, project: &Project) -> Result<worker::Config, Error> {
        let mut config = self.worker_config(Places {
            project: project.root.clone(),
            data: project.data.clone(),
            worktrees: project.worktrees.clone(),
            socket: project.socket.clone(),
        });
        self.check_worker(&config)?;
        config.evidence = self.worker_evidence(project);
        Ok(config)
    }

    fn worker_config(&self, places: Places) -> worker::Config {
        let File {
            workers,
            agent,
            hooks,
            checks,
            ports,
            prompts,
            environment,
            cage,
            ..
        } = self.file.clone();
        let file = |path: String, kind: WorkerKind| {
            let frozen = self.frozen_prompts().map(|dir| dir.join(kind.as_str()));
            (!path.is_empty()).then(|| frozen.unwrap_or(PathBuf::from(path)))
        };
        let transcript_limit = match self.origins.contains_key("agent.transcript_limit") {
            true => agent.transcript_limit,
            false => workers.transcript_limit,
        };
        // The config was checked when it was read.
        let (agents, jobs) = self.agents().unwrap_or_default();
        worker::Config {
            places,
            agents,
            jobs,
            hooks: Hooks {
                after_create: hooks.after_create,
                before_run: hooks.before_run,
                after_run: hooks.after_run,
                before_remove: hooks.before_remove,
                limit_ms: hooks.time_limit.0,
            },
            checks,
            ports,
            prompts: Prompts {
                coding: file(prompts.coding, WorkerKind::Coding),
                testing: file(prompts.testing, WorkerKind::Testing),
            },
            isolation: environment.isolation,
            cage: worker::config::CageConfig {
                read: cage.read,
                write: cage.write,
                hide: cage.hide,
                memory_bytes: cage.memory.bytes(),
                processes: cage.processes,
                open_files: cage.open_files,
            },
            env: environment.env,
            pass_env: environment.pass_env,
            orphan_limit_ms: workers.orphan_limit.0,
            evidence: String::new(),
            transcript_limit: transcript_limit.0,
            started_by_scheduler: false,
        }
    }
}

/// Reads the file; `None` if there is none.
fn read(path: &Path) -> Result<Option<String>, Error> {
    use std::io::Read;
    let failed = |why: &dyn fmt::Display| {
        Error::usage(
            "cannot read the config",
            format!("{}: {why}", path.display()),
            "correct the file, or move it away and run `scheduler init` to write a new one",
        )
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mut bytes = Vec::new();
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(&format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = encoding::decode(&bytes).map_err(|error| {
        let name = path.display();
        let next = error.remedy(&name.to_string());
        Error::usage("cannot read the config", format!("{name}: {error}"), next)
    })?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests;
