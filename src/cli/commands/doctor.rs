//! `scheduler doctor`: checks what a run needs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::agent::cage::lists;
use crate::agent::cage::probe::Support;
use crate::agent::process::TreeCommand;
use crate::cli::Context;
use crate::cli::config::Config;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;
use crate::worker;
use crate::worker::config::Isolation;

/// Warn below this much free space: one build can fill it.
const DISK_LEAST_BYTES: u64 = 1 << 30;

/// Check what a run needs on this machine: the cage, git, disks and agents, and what the config
/// exposes to agents.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler doctor --format json | jq '.findings[] | select(.state != \"ok\")'\n\nExits with 0 if a run can start here, and with 2 if it cannot."
)]
pub struct Args {}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// A run can start, but is less protected or may end early.
    Warning,
    /// A run cannot start.
    Failure,
}

#[derive(Clone, Debug, Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    what: String,
    /// What to do; empty if nothing.
    next: String,
}

#[derive(Default, Serialize)]
struct Report {
    can_run: bool,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, name: &'static str, state: State, what: impl Into<String>, next: &str) {
        self.findings.push(Finding {
            name,
            state,
            what: what.into(),
            next: next.to_owned(),
        });
    }
}

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    let mut report = Report::default();
    let support = Support::probe(Path::new(TreeCommand::OWN_EXECUTABLE));
    kernel(&mut report, &support);
    git(&mut report);
    let project = Project::find(context.global.project.as_deref());
    match &project {
        Ok(project) => of_project(&mut report, project, &support),
        Err(error) => {
            report.add(
                "project",
                State::Failure,
                format!("{}: {}", error.what, error.why),
                &error.next,
            );
            cage(&mut report, &support, Isolation::Auto);
        }
    }
    agents(&mut report);
    report.can_run = report
        .findings
        .iter()
        .all(|one| one.state != State::Failure);
    if context.out.is_json() {
        context.out.json(&report)?;
    } else {
        print(context, &report)?;
    }
    Ok(match report.can_run {
        true => ExitCode::Passing,
        false => ExitCode::Usage,
    })
}

fn print(context: &Context, report: &Report) -> Result<(), Error> {
    for finding in &report.findings {
        let mark = match finding.state {
            State::Ok => "ok     ",
            State::Warning => "warning",
            State::Failure => "FAILED ",
        };
        context
            .out
            .line(format!("{mark}  {:<12} {}", finding.name, finding.what))?;
        if !finding.next.is_empty() {
            context.out.line(format!("{:>24}{}", "-> ", finding.next))?;
        }
    }
    context.out.line(match report.can_run {
        true => "a run can start here",
        false => "a run cannot start here",
    })
}

fn kernel(report: &mut Report, support: &Support) {
    report.add("kernel", State::Ok, format!("Linux {}", support.kernel), "");
    match support.landlock {
        0 => report.add("landlock", State::Warning, "not available", ""),
        abi if support.cages() => report.add("landlock", State::Ok, format!("ABI {abi}"), ""),
        abi => report.add(
            "landlock",
            State::Warning,
            format!("ABI {abi} is too old"),
            "",
        ),
    }
    match &support.no_namespace {
        None => report.add("namespaces", State::Ok, "mount and pid namespaces", ""),
        Some(why) => report.add("namespaces", State::Warning, format!("none: {why}"), ""),
    }
    let cgroup = match std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        Ok(controllers) => format!(
            "cgroup v2 with {}; the cage's own init enforces the limits",
            controllers.trim()
        ),
        Err(_) => "no cgroup v2; the cage's own init enforces the limits".to_owned(),
    };
    report.add("limits", State::Ok, cgroup, "");
}

/// Reports which protection the cage gives here.
fn cage(report: &mut Report, support: &Support, isolation: Isolation) {
    let namespaces = support.no_namespace.is_none() && isolation != Isolation::Subreaper;
    if isolation == Isolation::None {
        let what = "none, because environment.isolation is \"none\"; agents can do everything that you can";
        return report.add(
            "cage",
            State::Warning,
            what,
            "remove that line to use the cage",
        );
    }
    let lacks = support.lacks().join("; ");
    if !support.cages() {
        let (state, what) = match isolation {
            Isolation::Cage => (
                State::Failure,
                "environment.isolation is \"cage\", but this machine cannot provide it",
            ),
            _ => (
                State::Warning,
                "none; agents can do everything that you can",
            ),
        };
        return report.add("cage", state, what, &lacks);
    }
    match namespaces {
        true => report.add("cage", State::Ok, "mount namespaces and Landlock; caches are copies", &lacks),
        false => report.add(
            "cage",
            State::Warning,
            "Landlock only: /tmp and the parents of hidden directories cannot be listed, sockets in the file system can be reached, and caches are shared with you",
            &lacks,
        ),
    }
}

fn git(report: &mut Report) {
    let output = Command::new("git").arg("--version").output();
    match output {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            report.add("git", State::Ok, version, "");
        }
        Ok(output) => {
            let why = format!("`git --version` failed: {}", output.status);
            report.add("git", State::Failure, why, "reinstall git");
        }
        Err(error) => {
            report.add(
                "git",
                State::Failure,
                format!("cannot start git: {error}"),
                "install git",
            );
        }
    }
}

fn of_project(report: &mut Report, project: &Project, support: &Support) {
    report.add("project", State::Ok, project.root.display().to_string(), "");
    let config = match Config::load(project) {
        Ok(config) => config,
        Err(error) => {
            report.add("config", State::Failure, error.why, &error.next);
            return cage(report, support, Isolation::Auto);
        }
    };
    match config.worker(project) {
        Ok(worker) => {
            report.add(
                "config",
                State::Ok,
                project.config.display().to_string(),
                "",
            );
            cage(report, support, worker.isolation);
            for what in worker::cage::gives_away(&worker) {
                report.add("exposed", State::Warning, what, "");
            }
            for what in worker::cage::ignored(&worker) {
                report.add("ignored", State::Warning, what, "");
            }
            let agents = [Some(&worker.agent), worker.testing_agent.as_ref()];
            for agent in agents.into_iter().flatten() {
                program(report, project, &agent.program);
            }
        }
        Err(error) => report.add("config", State::Failure, error.why, &error.next),
    }
    disk(report, "data", &project.data);
    match Project::attempts_base(config.attempts_dir()) {
        Ok(base) if project.worktrees.starts_with(&base) => {
            disk(report, "attempts", &project.worktrees);
        }
        // The project has not claimed one yet, or the config now names another one.
        Ok(base) => disk(report, "attempts", &base),
        Err(error) => report.add("attempts", State::Failure, error.why, &error.next),
    }
}

fn program(report: &mut Report, project: &Project, name: &str) {
    let found = match name.contains('/') {
        true => Some(project.root.join(name)).filter(|path| is_executable(path)),
        false => in_path(name),
    };
    match found {
        Some(path) => report.add(
            "agent",
            State::Ok,
            format!("{name}: {}", path.display()),
            "",
        ),
        None => report.add(
            "agent",
            State::Failure,
            format!("{name} is not in PATH or not executable"),
            "install it, or set agent.program in .crewlog/config.toml to an agent listed below",
        ),
    }
}

/// Reports which known agents are in PATH and could be configured.
fn agents(report: &mut Report) {
    let names = lists::PROFILES.iter().flat_map(|one| one.programs);
    let found: Vec<&str> = names
        .filter(|name| in_path(name).is_some())
        .copied()
        .collect();
    match found.is_empty() {
        true => report.add(
            "agents",
            State::Ok,
            "none of the agents known to Crewlog is in PATH",
            "",
        ),
        false => report.add(
            "agents",
            State::Ok,
            format!("in PATH: {}", found.join(", ")),
            "",
        ),
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut all = std::env::split_paths(&path).map(|directory| directory.join(name));
    all.find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Reports whether a directory is writable and how much space its disk has.
fn disk(report: &mut Report, name: &'static str, path: &Path) {
    let Some(there) = path.ancestors().find(|path| path.exists()) else {
        return;
    };
    if let Err(error) = rustix::fs::access(there, rustix::fs::Access::WRITE_OK) {
        let what = format!("cannot write to {}: {error}", there.display());
        return report.add(
            name,
            State::Failure,
            what,
            "make the directory writable, or choose another one",
        );
    }
    let room = rustix::fs::statvfs(there).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let room = room.unwrap_or(u64::MAX);
    let what = format!("{}: {} MiB free", path.display(), room >> 20);
    match room < DISK_LEAST_BYTES {
        true => report.add(name, State::Warning, what, "free some disk space"),
        false => report.add(name, State::Ok, what, ""),
    }
}
