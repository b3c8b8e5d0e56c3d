//! A worker's configuration: plain data from the config file and the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agent::Transcript;
use crate::agent::cage::Network;
use crate::model::profile::{ProfileName, Profiles};

/// What a worker needs to know before it meets a scheduler. The run's settings (limits, retries,
/// budgets) are not here: they come with every job.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Directories. They are not in the file, but follow from its place.
    #[serde(skip)]
    pub places: Places,
    /// The agents, by the names of their profiles.
    pub agents: BTreeMap<ProfileName, AgentConfig>,
    /// Which of them do which jobs.
    pub jobs: Profiles,
    /// The project's own commands around an attempt.
    pub hooks: Hooks,
    /// What the checks find besides the commit.
    pub checks: Checks,
    /// The ports that this worker's dev servers may use.
    pub ports: Ports,
    /// The project's own prompts.
    pub prompts: Prompts,
    /// How agents, checks and hooks are isolated from the rest of the machine.
    pub isolation: Isolation,
    /// What their cage allows beyond its own lists, and its limits.
    pub cage: CageConfig,
    /// Variables set for agents, checks and hooks. A value here wins over the worker's own
    /// environment, but never over the `CREWLOG_*` variables.
    pub env: BTreeMap<String, String>,
    /// Variables passed from the worker's own environment to agents, checks and hooks, beyond `PATH
    /// HOME LANG LC_* TERM USER LOGNAME SHELL`.
    pub pass_env: Vec<String>,
    /// Milliseconds without a scheduler after which a worker stops, once no session runs. Its
    /// result stays in the spool.
    pub orphan_limit_ms: u64,
    /// The part of the config that concerns workers, as text; the scheduler compares it with the
    /// run's.
    #[serde(skip)]
    pub evidence: String,
    /// Limit of a session's transcript, in bytes before compression.
    pub transcript_limit: u64,
    /// A scheduler started it. Without a scheduler and a job it ends, because the next scheduler
    /// starts its own workers.
    pub started_by_scheduler: bool,
}

/// Directories, all absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The user's git repository.
    pub project: PathBuf,
    /// The project's data directory: spool and transcripts. Created if absent.
    pub data: PathBuf,
    /// Parent of worktrees and the attempts' own directories; if inside the repository, git must
    /// ignore it.
    pub worktrees: PathBuf,
    /// The scheduler's unix socket. May be longer than the 107 bytes of a socket address.
    pub socket: PathBuf,
}

/// How an agent is driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// The Agent Client Protocol over the agent's standard input and output.
    #[default]
    Acp,
    /// Claude Code, by its own stream.
    Claude,
    /// Codex, by its own stream.
    Codex,
    /// Any program, with the prompt on its standard input and in a file.
    Command,
}

/// The answer to an agent that asks whether it may use a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermissionPolicy {
    /// Allow it once. The worktree is the agent's own, and the checks decide.
    #[default]
    Allow,
    /// Deny every request.
    Deny,
}

/// One agent program and how to start it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// Name of the preset that gives what is not set here; empty for none. See
    /// [`presets`](super::presets).
    pub preset: String,
    /// The protocol between worker and agent.
    pub driver: Driver,
    /// The program: a name that is looked up in `PATH`, or a path (relative to the project). Empty
    /// for the usual name of [`Driver::Claude`] and [`Driver::Codex`].
    pub program: String,
    /// Its arguments. The `command` driver replaces `{prompt_file}`, `{job_file}`,
    /// `{verdict_file}`, `{worktree}`, `{feature}` and `{attempt}` in them.
    pub args: Vec<String>,
    /// Variables for this agent only.
    pub env: BTreeMap<String, String>,
    /// Variables passed from the worker's environment only to this agent: its credentials, which
    /// checks and hooks do not need.
    pub pass_env: Vec<String>,
    /// The model, in the agent's own words; empty leaves it to the agent.
    pub model: String,
    /// The ACP session mode to set after the session was created, Claude Code's permission mode, or
    /// Codex's sandbox; empty is what works without a person.
    pub mode: String,
    /// The answer to the agent's requests for permission.
    pub permission: PermissionPolicy,
    /// Paths that only this agent may write, such as the place of its login; absolute or below
    /// `~/`. The known paths of common agents are writable without this.
    pub cage_write: Vec<String>,
}

impl AgentConfig {
    /// The program, or the driver's own if none is set.
    pub fn program(&self) -> &str {
        match self.driver {
            Driver::Claude if self.program.trim().is_empty() => "claude",
            Driver::Codex if self.program.trim().is_empty() => "codex",
            _ => &self.program,
        }
    }
}

/// Shell commands in the worktree around an attempt. An empty one is not run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// After the worktree was created. Its failure is the attempt's (`hook_failed`).
    pub after_create: String,
    /// Before the session. Its failure is the attempt's.
    pub before_run: String,
    /// After the session, however it ended, unless the attempt was cancelled. Its failure is the
    /// attempt's.
    pub after_run: String,
    /// Before the worktree is removed. Its failure is logged and ignored.
    pub before_remove: String,
    /// Time limit of a hook, in milliseconds.
    pub limit_ms: u64,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            after_create: String::new(),
            before_run: String::new(),
            after_run: String::new(),
            before_remove: String::new(),
            // Installing a project's dependencies is the slowest use of hooks.
            limit_ms: 600_000,
        }
    }
}

/// The surroundings of a coding attempt's checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// Ignored files that stay for the checks: patterns as in `.gitignore`. All others are removed,
    /// and [`Hooks::after_create`] runs again, so that the checks see a fresh worktree of the
    /// commit. `*` keeps everything.
    pub keep_ignored: Vec<String>,
    /// The network of the checks. Only in a cage.
    pub network: Network,
}

impl Checks {
    /// True if nothing is removed, and nothing is set up again.
    pub fn keeps_all(&self) -> bool {
        self.keep_ignored.iter().any(|pattern| pattern == "*")
    }

    fn is_sound(&self) -> bool {
        let odd = |pattern: &str| {
            pattern.trim().is_empty()
                || pattern.starts_with(['!', '#'])
                || pattern.contains(['\n', '\0'])
        };
        !self.keep_ignored.iter().any(|pattern| odd(pattern))
    }
}

/// Ranges of ports, one for each worker on this machine, of any project: slot N begins at `base + N
/// * count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// The first port of the first worker.
    pub base: u16,
    /// Ports per worker; 1 to [`Ports::COUNT_MAX`].
    pub count: u16,
}

impl Ports {
    /// A worker holds a descriptor for every ten ports, and a process may open 1,024 by default.
    pub const COUNT_MAX: u16 = 1_000;
}

impl Default for Ports {
    fn default() -> Self {
        // Below Linux's ephemeral ports (32768 and up), above the ports that dev servers choose
        // themselves; room for more than 1,000 workers.
        Self {
            base: 21_000,
            count: 10,
        }
    }
}

/// Files that replace the built-in prompt templates; relative to the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prompts {
    /// Template instead of `prompts/coding.md`.
    pub coding: Option<PathBuf>,
    /// Template instead of `prompts/testing.md`.
    pub testing: Option<PathBuf>,
}

/// Whether agents, checks and hooks are caged, and how their process trees are held together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A cage if the kernel supports one; a PID namespace if the machine allows one.
    #[default]
    Auto,
    /// Start no worker without a cage.
    Cage,
    /// No cage: programs may do everything that the user may.
    None,
    /// As `Auto`, but the attempt fails without a PID namespace.
    Namespace,
    /// As `Auto`, but without namespaces: the worker adopts and ends what the session leaves
    /// behind.
    Subreaper,
}

/// What the cage allows beyond its own lists, and a tree's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CageConfig {
    /// Hidden paths that become readable; absolute or below `~/`.
    pub read: Vec<String>,
    /// Paths that become writable.
    pub write: Vec<String>,
    /// Paths that look empty.
    pub hide: Vec<String>,
    /// Memory of a tree's processes together, in bytes; 0 is no limit.
    pub memory_bytes: u64,
    /// Processes and threads of a tree; 0 is no limit.
    pub processes: u32,
    /// Files that one process may have open; 0 is no limit.
    pub open_files: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            places: Places::default(),
            agents: [(ProfileName::unnamed(), AgentConfig::default())].into(),
            jobs: Profiles::default(),
            hooks: Hooks::default(),
            checks: Checks::default(),
            ports: Ports::default(),
            prompts: Prompts::default(),
            isolation: Isolation::default(),
            cage: CageConfig::default(),
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            orphan_limit_ms: 3_600_000,
            evidence: String::new(),
            transcript_limit: Transcript::BYTES_MAX,
            started_by_scheduler: false,
        }
    }
}

/// Longer values are refused, because nobody would read them.
const TRANSCRIPT_BYTES_MAX: u64 = 4 << 30;

/// What to do if no agent is set.
const SET_PROGRAM: &str = "name your agent, for example [agents.claude] with preset = \"claude\"; `scheduler doctor` lists the agents it finds here";

/// A value of the worker's config that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}{}{next}", if next.is_empty() { "" } else { "; " })]
pub struct ConfigError {
    /// The key, as written in the file.
    pub name: String,
    /// What is wrong, with the value or the range.
    pub problem: String,
    /// What to do; empty if `problem` says it.
    pub next: &'static str,
}

/// Paths of the cage do not depend on where a program runs.
fn absolute(name: &str, paths: &[String]) -> Result<(), ConfigError> {
    let sound = |path: &String| path.starts_with('/') || path == "~" || path.starts_with("~/");
    match paths.iter().find(|path| !sound(path)) {
        None => Ok(()),
        Some(path) => Err(ConfigError {
            name: name.to_owned(),
            problem: format!("{path:?} is a relative path; start it with / or ~/"),
            next: "",
        }),
    }
}

impl Config {
    /// The agents that jobs may use, by name; each once.
    pub fn used_agents(&self) -> impl Iterator<Item = (&ProfileName, &AgentConfig)> {
        let known = |name| Some((name, self.agents.get(name)?));
        self.jobs.all().filter_map(known)
    }

    fn validate_agents(&self) -> Result<(), ConfigError> {
        for (name, agent) in self.used_agents() {
            if agent.program().trim().is_empty() {
                return Err(ConfigError {
                    name: name.key("program"),
                    problem: "not set".to_owned(),
                    next: SET_PROGRAM,
                });
            }
            absolute(&name.key("cage_write"), &agent.cage_write)?;
        }
        Ok(())
    }

    /// Checks every value against its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |name: &str, problem: &str| {
            Err(ConfigError {
                name: name.to_owned(),
                problem: problem.to_owned(),
                next: "",
            })
        };
        self.validate_agents()?;
        let cage = [
            ("cage.read", &self.cage.read),
            ("cage.write", &self.cage.write),
            ("cage.hide", &self.cage.hide),
        ];
        for (name, paths) in cage {
            absolute(name, paths)?;
        }
        if !self.checks.is_sound() {
            return wrong(
                "checks.keep_ignored",
                "a pattern must be one line that is not empty and does not start with `!` or `#`",
            );
        }
        if !(1..=Ports::COUNT_MAX).contains(&self.ports.count) || self.ports.base < 1024 {
            return wrong(
                "ports",
                "`base` must be at least 1024, and `count` from 1 to 1000",
            );
        }
        if u32::from(self.ports.base) + u32::from(self.ports.count) > 65_536 {
            return wrong(
                "ports",
                "the first range would end above port 65535; lower `base` or `count`",
            );
        }
        if !(100..=86_400_000).contains(&self.hooks.limit_ms) {
            return wrong("hooks.limit_ms", "must be 100 to 86400000");
        }
        if !(Transcript::BYTES_MIN..=TRANSCRIPT_BYTES_MAX).contains(&self.transcript_limit) {
            return wrong("transcript_limit", "must be 64KiB to 4GiB");
        }
        if !(100..=7 * 86_400_000).contains(&self.orphan_limit_ms) {
            return wrong("orphan_limit_ms", "must be 100 to 604800000");
        }
        Ok(())
    }
}
