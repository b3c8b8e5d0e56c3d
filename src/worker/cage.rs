//! Builds the cage of an attempt: what its agent, checks and hooks may see, write and use.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::agent::cage::build::{Request, build};
use crate::agent::cage::{Access, Cage, Limits, Network, probe};

use super::config::{AgentConfig, Config, Isolation};
use super::driver::program;
use super::executor::{AttemptEnv, Executor};

/// The kind of program in the cage.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caged<'c> {
    /// An agent, which also gets its profile.
    Agent(&'c AgentConfig),
    /// A check, which may have no network.
    Check,
    /// A hook of the project.
    Hook,
}

/// Whether this machine and this config have cages.
pub(super) fn is_caged(config: &Config) -> bool {
    config.isolation != Isolation::None && probe::landlock_version() >= probe::LANDLOCK_LEAST
}

impl Executor {
    /// A new cage. Each program gets its own, so that what an agent writes into a cache is not what
    /// its checks find there. `None` if the machine or the config has no cage.
    pub(super) fn cage(
        &self,
        attempt_env: &AttemptEnv,
        env: &BTreeMap<OsString, OsString>,
        who: Caged<'_>,
    ) -> Option<Cage> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if !is_caged(&self.config) {
            return None;
        }
        let (places, keys) = (&self.config.places, &self.config.cage);
        let mut write: Vec<&str> = keys.write.iter().map(String::as_str).collect();
        let mut command = Vec::new();
        if let Caged::Agent(agent) = who {
            write.extend(agent.cage_write.iter().map(String::as_str));
            command.push(program(agent, places).into());
            command.extend(agent.args.iter().map(OsString::from));
        }
        let mut hidden = vec![
            places.project.clone(),
            self.repository.common_dir().to_owned(),
            places.data.clone(),
            places.socket.clone(),
            places.worktrees.clone(),
        ];
        // The project may be below the top of its repository.
        let above = self.repository.prefix().components().count();
        hidden.extend(places.project.ancestors().nth(above).map(ToOwned::to_owned));
        // The next attempt reads the output of the check that failed.
        let outputs = attempt_env.offer.features.iter().filter_map(|feature| {
            let check = feature.regression.as_ref()?.check.as_ref()?;
            self.outputs.path(&check.output)
        });
        let mut readable = attempt_env.shared.clone();
        readable.extend(outputs);
        let scratch = attempt_env.dir.scratch();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Some(build(&Request {
            env: env.clone(),
            command,
            hidden,
            readable,
            writable: vec![
                attempt_env.tree().to_owned(),
                attempt_env.dir.path().to_owned(),
                attempt_env.dir.tmp(),
            ],
            private: vec![scratch.clone()],
            read: keys.read.iter().map(String::as_str).collect(),
            write,
            hide: keys.hide.iter().map(String::as_str).collect(),
            tmp: attempt_env.dir.tmp(),
            scratch: scratch.join(number.to_string()),
            network: match who {
                Caged::Check => self.config.checks.network,
                Caged::Agent(_) | Caged::Hook => Network::Inherit,
            },
            limits: Limits {
                memory_bytes: keys.memory_bytes,
                processes: keys.processes,
                open_files: keys.open_files,
            },
        }))
    }
}

/// What a person should know about the cage before a run, a sentence each.
pub fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let without = "agents, checks and hooks can do everything that you can";
    match config.isolation {
        Isolation::None => notes.push(format!("environment.isolation = \"none\": {without}")),
        Isolation::Namespace | Isolation::Subreaper => notes.push(
            "environment.isolation = \"namespace\" and \"subreaper\" only choose how processes are contained; \
             they are caged all the same. Use \"auto\", \"cage\" or \"none\""
                .to_owned(),
        ),
        Isolation::Auto | Isolation::Cage => {}
    }
    if config.isolation != Isolation::None && !is_caged(config) {
        notes.push(format!(
            "no cage: the kernel's Landlock has ABI {}, and {} is needed; {without}. See `scheduler doctor`",
            probe::landlock_version(),
            probe::LANDLOCK_LEAST
        ));
    }
    notes.extend(gives_away(config));
    notes.extend(ignored(config));
    notes
}

/// The config's writable paths that do not exist, a sentence each: nothing can be created there,
/// because their parents are read-only.
pub fn ignored(config: &Config) -> Vec<String> {
    let env = std::env::vars_os().collect();
    let home = crate::agent::cage::build::home(&env);
    let agents = config.used_agents();
    let own =
        agents.flat_map(|(_, agent)| agent.cage_write.iter().map(|path| ("cage_write", path)));
    let write = config.cage.write.iter().map(|path| ("cage.write", path));
    let missing = write.chain(own).filter_map(|(key, path)| {
        let real = crate::agent::cage::build::expand(path, home.as_deref())?;
        let missing = !real.exists();
        missing.then(|| {
            format!(
                "{key}: {path} does not exist, and nothing can be written there; create it first"
            )
        })
    });
    missing.collect()
}

/// What the config's additions expose, a sentence each.
pub fn gives_away(config: &Config) -> Vec<String> {
    let env = std::env::vars_os().collect();
    let home = crate::agent::cage::build::home(&env);
    let project = &config.places.project;
    let keys = &config.cage;
    let agents = config.used_agents();
    let own =
        agents.flat_map(|(_, agent)| agent.cage_write.iter().map(|path| ("cage_write", path)));
    let read = keys.read.iter().map(|path| ("cage.read", path));
    let write = keys.write.iter().map(|path| ("cage.write", path));
    let all = read.chain(write).chain(own);
    let told = all.filter_map(|(key, path)| {
        let access = match key {
            "cage.read" => Access::Read,
            _ => Access::Write,
        };
        let what = crate::agent::cage::build::gives_away(path, access, home.as_deref(), project)?;
        Some(format!("{key}: {what}"))
    });
    told.collect()
}
