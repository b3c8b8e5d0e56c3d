//! What `doctor` concludes from the facts about this machine, and how it prints them.

use std::path::PathBuf;

use serde::Serialize;

use super::Page;
use crate::agent::cage::probe::Support;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::text::{Style, clean};
use crate::worker::config::Isolation;

/// Warn below this much free space: one build can fill it.
const DISK_LEAST_BYTES: u64 = 1 << 30;
/// Columns before a finding's text.
const TEXT_COLUMN: usize = 22;

/// What was found out about this machine.
pub struct Facts {
    /// What the kernel offers for a cage.
    pub support: Support,
    /// Names of the controllers of cgroup v2; `None` without cgroup v2.
    pub cgroup_controllers: Option<String>,
    /// The answer of `git --version`.
    pub git: Result<String, Error>,
    /// The project around the current directory.
    pub project: Result<ProjectFacts, Error>,
    /// Programs in PATH that Crewlog knows as agents.
    pub known_agents: Vec<String>,
}

/// What was found out about the project.
pub struct ProjectFacts {
    /// The repository's directory.
    pub root: PathBuf,
    /// The config, if it is valid.
    pub config: Result<ConfigFacts, Error>,
    /// Directories that a run writes to, with a name for each.
    pub disks: Vec<(&'static str, Result<Disk, Error>)>,
}

/// What the config says about agents and their cage.
pub struct ConfigFacts {
    /// Path of the config file.
    pub path: PathBuf,
    /// The isolation that it asks for.
    pub isolation: Isolation,
    /// What its cage exposes to agents, a sentence each.
    pub exposed: Vec<String>,
    /// Keys of its cage that have no effect here, a sentence each.
    pub ignored: Vec<String>,
    /// Its agents' programs, and where each was found.
    pub agents: Vec<(String, Option<PathBuf>)>,
}

/// A writable directory.
pub struct Disk {
    /// Path of the directory. It may not exist yet.
    pub path: PathBuf,
    /// Free bytes on its disk.
    pub free_bytes: u64,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing to do.
    Ok,
    /// A run can start, but is less protected or may end early.
    Warning,
    /// A run cannot start.
    Failure,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was checked, in one word.
    pub name: &'static str,
    /// How serious it is.
    pub state: State,
    /// What was found.
    pub what: String,
    /// What to do, one line for each remedy; empty if nothing.
    pub next: String,
}

/// Every finding, in the order in which it is printed.
#[derive(Default, Serialize)]
pub struct Report {
    /// False if at least one finding is a failure.
    pub can_run: bool,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Judges the facts.
    pub fn of(facts: &Facts) -> Self {
        let mut report = Self::default();
        report.kernel(facts);
        match &facts.git {
            Ok(version) => report.add("git", State::Ok, version, ""),
            Err(error) => report.failure("git", error),
        }
        match &facts.project {
            Ok(project) => report.project(project, &facts.support),
            Err(error) => {
                let what = format!("{}: {}", error.what, error.why);
                report.add("project", State::Failure, what, &error.next);
                report.cage(&facts.support, Isolation::Auto);
            }
        }
        let known = match facts.known_agents.is_empty() {
            true => "no agent that Crewlog knows is in PATH".to_owned(),
            false => format!("in PATH: {}", facts.known_agents.join(", ")),
        };
        report.add("agents", State::Ok, known, "");
        report.can_run = report.count(State::Failure) == 0;
        report
    }

    fn add(&mut self, name: &'static str, state: State, what: impl Into<String>, next: &str) {
        self.findings.push(Finding {
            name,
            state,
            what: what.into(),
            next: next.to_owned(),
        });
    }

    fn failure(&mut self, name: &'static str, error: &Error) {
        self.add(name, State::Failure, error.why.clone(), &error.next);
    }

    fn count(&self, state: State) -> usize {
        let found = self.findings.iter().filter(|one| one.state == state);
        found.count()
    }

    fn kernel(&mut self, facts: &Facts) {
        let support = &facts.support;
        self.add("kernel", State::Ok, format!("Linux {}", support.kernel), "");
        let (state, landlock) = match support.landlock {
            0 => (State::Warning, "not available".to_owned()),
            abi if support.cages() => (State::Ok, format!("ABI {abi}")),
            abi => (State::Warning, format!("ABI {abi} is too old")),
        };
        self.add("landlock", state, landlock, "");
        match &support.no_namespace {
            None => self.add("namespaces", State::Ok, "mount and pid namespaces", ""),
            Some(why) => self.add("namespaces", State::Warning, format!("none: {why}"), ""),
        }
        let cgroups = match &facts.cgroup_controllers {
            Some(names) => format!("cgroup v2 has {}", names.trim()),
            None => "there is no cgroup v2".to_owned(),
        };
        let limits = format!("enforced by the cage's own init, without cgroups ({cgroups})");
        self.add("limits", State::Ok, limits, "");
    }

    /// Reports which protection the cage gives here.
    fn cage(&mut self, support: &Support, isolation: Isolation) {
        if isolation == Isolation::None {
            let what = "none, because environment.isolation is \"none\"; agents can do everything that you can";
            let next = "remove that line to use the cage";
            return self.add("cage", State::Warning, what, next);
        }
        let lacks = support.lacks().join("\n");
        let namespaces = support.no_namespace.is_none() && isolation != Isolation::Subreaper;
        let (state, what) = match (support.cages(), isolation) {
            (false, Isolation::Cage) => (
                State::Failure,
                "environment.isolation is \"cage\", but this machine cannot provide it",
            ),
            (false, _) => (
                State::Warning,
                "none; agents can do everything that you can",
            ),
            (true, _) if namespaces => (
                State::Ok,
                "mount namespaces and Landlock; caches are copies",
            ),
            (true, _) => (
                State::Warning,
                "Landlock only: /tmp and the parents of hidden directories cannot be listed, sockets in the file system can be reached, and caches are shared with you",
            ),
        };
        self.add("cage", state, what, &lacks);
    }

    fn project(&mut self, project: &ProjectFacts, support: &Support) {
        self.add("project", State::Ok, project.root.display().to_string(), "");
        match &project.config {
            Ok(config) => self.config(config, support),
            Err(error) => {
                self.failure("config", error);
                self.cage(support, Isolation::Auto);
            }
        }
        for (name, disk) in &project.disks {
            match disk {
                Ok(disk) => self.disk(name, disk),
                Err(error) => self.failure(name, error),
            }
        }
    }

    fn config(&mut self, config: &ConfigFacts, support: &Support) {
        self.add("config", State::Ok, config.path.display().to_string(), "");
        self.cage(support, config.isolation);
        for what in &config.exposed {
            self.add("exposed", State::Warning, what, "");
        }
        for what in &config.ignored {
            self.add("ignored", State::Warning, what, "");
        }
        for (name, found) in &config.agents {
            match found {
                Some(path) => {
                    let what = format!("{name}: {}", path.display());
                    self.add("agent", State::Ok, what, "");
                }
                None => self.add(
                    "agent",
                    State::Failure,
                    format!("{name} is not in PATH or not executable"),
                    "install it, or name an agent listed below in .crewlog/config.toml",
                ),
            }
        }
    }

    fn disk(&mut self, name: &'static str, disk: &Disk) {
        let (mib, gib) = (disk.free_bytes >> 20, disk.free_bytes >> 30);
        let free = if gib < 10 {
            format!("{mib} MiB")
        } else {
            format!("{gib} GiB")
        };
        let what = format!("{}: {free} free", disk.path.display());
        match disk.free_bytes < DISK_LEAST_BYTES {
            true => self.add(name, State::Warning, what, "free some disk space"),
            false => self.add(name, State::Ok, what, ""),
        }
    }
}

/// The report as text.
pub fn page(report: &Report, out: &Output) -> String {
    let mut page = Page::new(out);
    for finding in &report.findings {
        let (style, mark) = match finding.state {
            State::Ok => (Style::Good, "ok     "),
            State::Warning => (Style::Warning, "warning"),
            State::Failure => (Style::Bad, "FAILED "),
        };
        let name = format!("  {:<12} ", finding.name);
        page.wrapped(
            TEXT_COLUMN,
            &[
                (style, mark),
                (Style::Strong, &name),
                (Style::Plain, &clean(&finding.what)),
            ],
        );
        for next in finding.next.lines() {
            let arrow = format!("{:>TEXT_COLUMN$}-> ", "");
            let next = clean(next);
            let pieces = [(Style::Plain, arrow.as_str()), (Style::Plain, &next)];
            page.wrapped(TEXT_COLUMN + 3, &pieces);
        }
    }
    let warnings = report.count(State::Warning);
    let end = match (report.can_run, warnings) {
        (false, _) => "a run cannot start here; fix what FAILED".to_owned(),
        (true, 0) => "a run can start here".to_owned(),
        (true, 1) => "a run can start here, with 1 warning".to_owned(),
        (true, _) => format!("a run can start here, with {warnings} warnings"),
    };
    page.gap();
    page.wrapped(0, &[(Style::Strong, &end)]);
    page.end()
}
