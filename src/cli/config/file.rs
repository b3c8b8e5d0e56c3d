//! The config file's sections. Field names are the keys; `Default` is the value of an empty file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::human::{Bytes, Dollars, Memory, Span};
use crate::model::settings::Settings;
use crate::model::views::NoticeKind;
use crate::worker::config::{
    self as worker, AgentConfig, Checks, Driver, Isolation, PermissionPolicy, Ports,
};

/// The whole config file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Settings of the run.
    pub run: Run,
    /// Workers that `scheduler run` starts.
    pub workers: Workers,
    /// The agents, by name.
    pub agents: BTreeMap<String, AgentConfig>,
    /// Which of them do which jobs.
    pub jobs: Jobs,
    /// The agents of configs of earlier versions.
    pub agent: Agents,
    /// Commands of the project that run before and after an attempt.
    pub hooks: Hooks,
    /// What checks find besides the commit.
    pub checks: Checks,
    /// Ports for the attempts' development servers.
    pub ports: Ports,
    /// Prompt templates of the project.
    pub prompts: Prompts,
    /// Environment of agents, checks and hooks.
    pub environment: Environment,
    /// What programs in the cage can access, and their limits.
    pub cage: Cage,
    /// Whom to tell when nobody watches.
    pub notify: Notify,
    /// Storage of the event log.
    pub log: Log,
}

/// Section `[run]`: settings of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Run {
    pub branch: String,
    pub max_concurrency: u32,
    pub testing: u32,
    pub batch_size: u32,
    pub max_attempts: u32,
    pub retry_backoff: Span,
    pub retry_backoff_max: Span,
    pub idle_limit: Span,
    pub time_limit: Span,
    pub step_limit: u32,
    pub check_limit: Span,
    pub test_with_agent: bool,
    pub budget_usd: Dollars,
    pub budget_tokens: u64,
    pub worker_wait: Span,
    pub attempts_dir: String,
}

impl Default for Run {
    fn default() -> Self {
        let Settings {
            max_concurrency,
            testing,
            batch_size,
            max_attempts,
            retry_backoff_ms,
            retry_backoff_ms_max,
            idle_limit_ms,
            time_limit_ms,
            step_limit,
            check_limit_ms,
            test_with_agent,
            budget_microusd,
            budget_tokens,
            worker_wait_ms,
        } = Settings::default();
        Self {
            branch: String::new(),
            max_concurrency,
            testing,
            batch_size,
            max_attempts,
            retry_backoff: Span(retry_backoff_ms),
            retry_backoff_max: Span(retry_backoff_ms_max),
            idle_limit: Span(idle_limit_ms),
            time_limit: Span(time_limit_ms),
            step_limit,
            check_limit: Span(check_limit_ms),
            test_with_agent,
            budget_usd: Dollars(budget_microusd),
            budget_tokens,
            worker_wait: Span(worker_wait_ms),
            attempts_dir: String::new(),
        }
    }
}

/// The keys of `[run]` that `scheduler set` can change, and the names of their
/// [`Settings`].
const LIVE: [(&str, &str); 14] = [
    ("max_concurrency", "max_concurrency"),
    ("testing", "testing"),
    ("batch_size", "batch_size"),
    ("max_attempts", "max_attempts"),
    ("retry_backoff", "retry_backoff_ms"),
    ("retry_backoff_max", "retry_backoff_ms_max"),
    ("idle_limit", "idle_limit_ms"),
    ("time_limit", "time_limit_ms"),
    ("step_limit", "step_limit"),
    ("check_limit", "check_limit_ms"),
    ("test_with_agent", "test_with_agent"),
    ("budget_usd", "budget_microusd"),
    ("budget_tokens", "budget_tokens"),
    ("worker_wait", "worker_wait_ms"),
];

/// The keys of `[run]` that `scheduler set` can change.
pub fn run_keys() -> [&'static str; LIVE.len()] {
    LIVE.map(|(key, _)| key)
}

/// Reads a value for a key of `[run]` as the config file does: the name of its setting, and the
/// value in that setting's unit. Quotes may be left out.
///
/// # Errors
/// What is wrong with the key or the value.
pub fn run_setting(key: &str, value: &str) -> Result<(String, u64), String> {
    let live = LIVE.iter().find(|(known, _)| *known == key);
    let Some(&(_, name)) = live else {
        let near = crate::model::nearest::nearest(key, run_keys());
        let hint = near.map_or_else(
            || format!("the keys are {}", run_keys().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(format!("`{key}` cannot be changed during a run; {hint}"));
    };
    let quoted = format!("{key} = {}", toml::Value::from(value));
    let run: Run = toml::from_str(&format!("{key} = {value}"))
        .or_else(|_| toml::from_str(&quoted))
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    let settings = run.settings();
    settings.validate().map_err(|error| error.to_string())?;
    let value = settings.get(name).unwrap_or_default();
    Ok((name.to_owned(), value))
}

impl Run {
    /// The settings for the scheduler.
    pub fn settings(&self) -> Settings {
        Settings {
            max_concurrency: self.max_concurrency,
            testing: self.testing,
            batch_size: self.batch_size,
            max_attempts: self.max_attempts,
            retry_backoff_ms: self.retry_backoff.0,
            retry_backoff_ms_max: self.retry_backoff_max.0,
            idle_limit_ms: self.idle_limit.0,
            time_limit_ms: self.time_limit.0,
            step_limit: self.step_limit,
            check_limit_ms: self.check_limit.0,
            test_with_agent: self.test_with_agent,
            budget_microusd: self.budget_usd.0,
            budget_tokens: self.budget_tokens,
            worker_wait_ms: self.worker_wait.0,
        }
    }
}

/// Section `[workers]`: workers that a run starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Workers {
    pub coding: u32,
    pub testing: u32,
    pub orphan_limit: Span,
    pub transcript_limit: Bytes,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            coding: 0,
            testing: 0,
            orphan_limit: Span(worker::Config::default().orphan_limit_ms),
            transcript_limit: Bytes(worker::Config::default().transcript_limit),
        }
    }
}

/// Section `[jobs]`: orders of preference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Jobs {
    pub coding: Vec<String>,
    pub testing: Vec<String>,
}

/// Section `[agent]` of earlier versions: the coding agent, with the testing agent in
/// `[agent.testing]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Agents {
    pub driver: Driver,
    pub program: String,
    pub args: Vec<String>,
    pub model: String,
    pub mode: String,
    pub permission: PermissionPolicy,
    pub pass_env: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub cage_write: Vec<String>,
    pub transcript_limit: Bytes,
    pub testing: Option<AgentConfig>,
}

impl Default for Agents {
    fn default() -> Self {
        let agent = AgentConfig::default();
        Self {
            driver: agent.driver,
            program: agent.program,
            args: agent.args,
            model: agent.model,
            mode: agent.mode,
            permission: agent.permission,
            pass_env: agent.pass_env,
            env: agent.env,
            cage_write: agent.cage_write,
            transcript_limit: Bytes(worker::Config::default().transcript_limit),
            testing: None,
        }
    }
}

impl Agents {
    /// The coding agent alone.
    pub fn coding(&self) -> AgentConfig {
        AgentConfig {
            preset: String::new(),
            driver: self.driver,
            program: self.program.clone(),
            args: self.args.clone(),
            model: self.model.clone(),
            mode: self.mode.clone(),
            permission: self.permission,
            pass_env: self.pass_env.clone(),
            env: self.env.clone(),
            cage_write: self.cage_write.clone(),
        }
    }
}

/// Section `[hooks]`: commands around an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Hooks {
    pub after_create: String,
    pub before_run: String,
    pub after_run: String,
    pub before_remove: String,
    pub time_limit: Span,
}

impl Default for Hooks {
    fn default() -> Self {
        let hooks = worker::Hooks::default();
        Self {
            after_create: hooks.after_create,
            before_run: hooks.before_run,
            after_run: hooks.after_run,
            before_remove: hooks.before_remove,
            time_limit: Span(hooks.limit_ms),
        }
    }
}

/// Section `[prompts]`: paths of prompt templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Prompts {
    pub coding: String,
    pub testing: String,
}

/// Section `[environment]`: environment and isolation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Environment {
    pub isolation: Isolation,
    pub pass_env: Vec<String>,
    pub env: BTreeMap<String, String>,
}

/// Section `[cage]`: paths and limits of the cage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Cage {
    pub read: Vec<String>,
    pub write: Vec<String>,
    pub hide: Vec<String>,
    pub memory: Memory,
    pub processes: u32,
    pub open_files: u64,
}

impl Default for Cage {
    fn default() -> Self {
        Self {
            read: Vec::new(),
            write: Vec::new(),
            hide: Vec::new(),
            // Enough for any build on this machine, but not enough to make it swap.
            memory: Memory::Percent(75),
            // A parallel build needs hundreds, a browser test a thousand.
            processes: 4_096,
            // Many times what a file watcher of a large project needs.
            open_files: 65_536,
        }
    }
}

/// Section `[notify]`: whom to tell when nobody watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Notify {
    pub command: String,
    pub webhook: String,
    pub events: Vec<NoticeKind>,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            command: String::new(),
            webhook: String::new(),
            events: NoticeKind::ALL.to_vec(),
        }
    }
}

/// Section `[log]`: storage of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the keys are documented in the template, where people read them"
)]
pub struct Log {
    pub allow_network_filesystem: bool,
}
