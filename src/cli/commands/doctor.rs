//! `scheduler doctor`: checks what a run needs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent::cage::lists;
use crate::agent::cage::probe::Support;
use crate::agent::process::TreeCommand;
use crate::cli::Context;
use crate::cli::config::Config;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages::doctor::{self, ConfigFacts, Disk, Facts, ProjectFacts, Report};
use crate::cli::project::Project;
use crate::worker;

/// Check what a run needs on this machine: the cage, git, disks and agents, and what the config
/// exposes to agents.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler doctor --format json | jq '.findings[] | select(.state != \"ok\")'\n\nExits with 0 if a run can start here, and with 2 if it cannot."
)]
pub struct Args {}

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    let project = Project::find(context.global.project.as_deref());
    let report = Report::of(&Facts {
        support: Support::probe(Path::new(TreeCommand::OWN_EXECUTABLE)),
        cgroup_controllers: std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").ok(),
        git: git(),
        project: project.map(|project| of_project(&project)),
        known_agents: known_agents(),
    });
    if context.out.is_json() {
        context.out.json(&report)?;
    } else {
        let page = doctor::page(&report, &context.out);
        context.out.bytes(page.as_bytes())?;
    }
    Ok(match report.can_run {
        true => ExitCode::Passing,
        false => ExitCode::Usage,
    })
}

fn git() -> Result<String, Error> {
    let output = Command::new("git").arg("--version").output();
    let output = output.map_err(|error| {
        Error::usage("git", format!("cannot start git: {error}"), "install git")
    })?;
    if !output.status.success() {
        let why = format!("`git --version` failed: {}", output.status);
        return Err(Error::usage("git", why, "reinstall git"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn of_project(project: &Project) -> ProjectFacts {
    let root = project.root.clone();
    let config = match Config::load(project) {
        Ok(config) => config,
        Err(error) => {
            return ProjectFacts {
                root,
                config: Err(error),
                disks: Vec::new(),
            };
        }
    };
    let attempts = match Project::attempts_base(config.attempts_dir()) {
        Ok(base) if project.worktrees.starts_with(&base) => disk(&project.worktrees),
        // The project has not claimed one yet, or the config now names another one.
        Ok(base) => disk(&base),
        Err(error) => Err(error),
    };
    ProjectFacts {
        root,
        config: of_config(project, &config),
        disks: vec![("data", disk(&project.data)), ("attempts", attempts)],
    }
}

fn of_config(project: &Project, config: &Config) -> Result<ConfigFacts, Error> {
    let worker = config.worker(project)?;
    let agents = worker.used_agents();
    let agents =
        agents.map(|(_, agent)| (agent.program().to_owned(), find(project, agent.program())));
    Ok(ConfigFacts {
        path: project.config.clone(),
        isolation: worker.isolation,
        exposed: worker::cage::gives_away(&worker),
        ignored: worker::cage::ignored(&worker),
        agents: agents.collect(),
    })
}

/// Where an agent's program is: a path in the project, or a name in PATH.
fn find(project: &Project, name: &str) -> Option<PathBuf> {
    match name.contains('/') {
        true => Some(project.root.join(name)).filter(|path| is_executable(path)),
        false => in_path(name),
    }
}

fn known_agents() -> Vec<String> {
    let names = lists::PROFILES.iter().flat_map(|one| one.programs);
    let found = names.filter(|name| in_path(name).is_some());
    found.map(|name| (*name).to_owned()).collect()
}

/// Where a program is in PATH.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut all = std::env::split_paths(&path).map(|directory| directory.join(name));
    all.find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Free space of the disk that holds, or will hold, a directory. Fails if it cannot be written to.
fn disk(path: &Path) -> Result<Disk, Error> {
    // The root directory always exists.
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("/"));
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK).map_err(|error| {
        let why = format!("cannot write to {}: {error}", there.display());
        let next = "make the directory writable, or choose another one";
        Error::usage("disk", why, next)
    })?;
    let free = rustix::fs::statvfs(there).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    Ok(Disk {
        path: path.to_owned(),
        free_bytes: free.unwrap_or(u64::MAX),
    })
}
