//! `scheduler doctor`.

use std::path::PathBuf;

use crewlog::agent::cage::probe::Support;
use crewlog::cli::error::Error;
use crewlog::cli::pages::doctor::{ConfigFacts, Disk, Facts, ProjectFacts, Report, page};
use crewlog::worker::config::Isolation;

use crate::kit;

const ROOT: &str = "/home/ann/project";

fn disk(path: &str, mib: u64) -> Result<Disk, Error> {
    let (path, free_bytes) = (PathBuf::from(path), mib << 20);
    Ok(Disk { path, free_bytes })
}

fn config() -> ConfigFacts {
    ConfigFacts {
        path: PathBuf::from(ROOT).join(".crewlog/config.toml"),
        isolation: Isolation::Auto,
        exposed: Vec::new(),
        ignored: Vec::new(),
        agents: vec![(
            "claude-agent-acp".to_owned(),
            Some(PathBuf::from("/home/ann/.local/bin/claude-agent-acp")),
        )],
    }
}

/// A machine on which nothing is wrong.
fn good() -> Facts {
    let data = "/home/ann/project/.git/crewlog/main";
    let attempts = "/home/ann/.local/state/crewlog/attempts/project-1a2b3c4d";
    Facts {
        support: Support {
            landlock: 6,
            no_namespace: None,
            kernel: "6.12.48".to_owned(),
        },
        cgroup_controllers: Some("cpuset cpu io memory pids\n".to_owned()),
        git: Ok("git version 2.47.3".to_owned()),
        project: Ok(ProjectFacts {
            root: PathBuf::from(ROOT),
            config: Ok(config()),
            disks: vec![
                ("data", disk(data, 81_920)),
                ("attempts", disk(attempts, 81_920)),
            ],
        }),
        known_agents: vec!["claude-agent-acp".to_owned(), "codex-acp".to_owned()],
    }
}

/// A run can start, but everything that may be worse is.
fn weak() -> Facts {
    let exposed = "cage.read: agents can read ~/.ssh, which is hidden by default: private keys; hosts that trust them";
    let ignored = "cage.write: ~/.cache/none does not exist, and nothing can be written there; create it first";
    let config = ConfigFacts {
        exposed: vec![exposed.to_owned()],
        ignored: vec![ignored.to_owned()],
        ..config()
    };
    Facts {
        support: Support {
            landlock: 4,
            no_namespace: Some("unshare: Operation not permitted".to_owned()),
            kernel: "6.8.0-41-generic".to_owned(),
        },
        cgroup_controllers: None,
        project: Ok(ProjectFacts {
            root: PathBuf::from(ROOT),
            config: Ok(config),
            disks: vec![("data", disk(ROOT, 512))],
        }),
        known_agents: Vec::new(),
        ..good()
    }
}

/// Whatever a run needs is missing.
fn broken() -> Facts {
    let why = "cannot write to /mnt/attempts: Permission denied (os error 13)";
    let next = "make the directory writable, or choose another one";
    let config = ConfigFacts {
        isolation: Isolation::Cage,
        agents: vec![("claude".to_owned(), None)],
        ..config()
    };
    Facts {
        support: Support {
            landlock: 0,
            no_namespace: None,
            kernel: "5.10.0-31-amd64".to_owned(),
        },
        git: Err(Error::usage(
            "git",
            "cannot start git: No such file or directory (os error 2)",
            "install git",
        )),
        project: Ok(ProjectFacts {
            root: PathBuf::from(ROOT),
            config: Ok(config),
            disks: vec![("attempts", Err(Error::usage("disk", why, next)))],
        }),
        ..good()
    }
}

fn invalid() -> Facts {
    let why = ".crewlog/config.toml:12: unknown key `idle_limt`";
    let error = Error::usage("cannot read the config", why, "did you mean `idle_limit`?");
    let project = ProjectFacts {
        root: PathBuf::from(ROOT),
        config: Err(error),
        disks: Vec::new(),
    };
    Facts {
        project: Ok(project),
        ..good()
    }
}

fn elsewhere() -> Facts {
    Facts {
        project: Err(Error::usage(
            "no Crewlog project found",
            "neither /home/ann nor any directory above it has .crewlog/",
            "run `scheduler init` in your repository, or give the project's directory with -C DIR",
        )),
        ..good()
    }
}

#[test]
fn doctor() {
    let all = [
        ("everything is there", good()),
        ("less protection", weak()),
        ("a run cannot start", broken()),
        ("an invalid config", invalid()),
        ("outside of a project", elsewhere()),
    ];
    kit::check("doctor", |out| {
        let screens = all.iter().map(|(title, facts)| {
            let report = Report::of(facts);
            let code = if report.can_run { 0 } else { 2 };
            let title = format!("doctor, {title}, exit {code}");
            (title, page(&report, out))
        });
        screens.collect()
    });
}
