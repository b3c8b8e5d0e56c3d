//! Where a project's state lies, and what becomes of it when directories are moved, copied, deleted,
//! or were laid out by an older build. Real git, real processes.

mod found;
mod golden;
mod moved;
mod older;
#[path = "../real/mod.rs"]
mod real;
mod vanished;

use std::path::Path;
use std::process::Child;

pub(crate) use real::said;
use real::{Project, wait_until};

pub(crate) const RUN: [&str; 5] = [
    "run",
    "--workers",
    "coding=1,testing=1",
    "--progress",
    "none",
];

pub(crate) const AGENT: &str = r#"echo done > "f$CREWLOG_FEATURE.txt""#;

/// Works until the file `go` is in the home directory.
pub(crate) const GATED: &str = r#"echo x > started.txt; while ! test -f "$HOME/go"; do sleep 0.05; done; echo done > "f$CREWLOG_FEATURE.txt""#;

pub(crate) fn config(agent: &str, more: &str) -> String {
    format!(
        "[run]\nretry_backoff = \"10ms\"\nretry_backoff_max = \"20ms\"\n{more}\
         [agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''{agent}''']\n"
    )
}

/// A project with two features to do.
pub(crate) fn project(agent: &str) -> Project {
    let project = Project::new(&config(agent, ""));
    let feature = |id| {
        format!("[[feature]]\nid = {id}\nname = \"f{id}\"\nchecks = [\"test -s f{id}.txt\"]\n")
    };
    let backlog: String = (1..3).map(feature).collect();
    project.write(".crewlog/features.toml", &backlog);
    good(&project, &["import", ".crewlog/features.toml"]);
    project
}

pub(crate) fn good(project: &Project, args: &[&str]) -> String {
    let output = project.scheduler(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A scheduler that listens, its standard error in the file `said` beside the project.
pub(crate) fn start(project: &Project, args: &[&str]) -> Child {
    let log = std::fs::File::create(project.root.join("../said")).expect("a file");
    let mut command = project.command(args);
    command.stdout(std::process::Stdio::null()).stderr(log);
    let child = command.spawn().expect("the scheduler");
    let socket = data(project).join("socket");
    wait_until("it listens", || {
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    child
}

pub(crate) fn data(project: &Project) -> std::path::PathBuf {
    project.root.join(".git/crewlog/main")
}

/// All events, one JSON text for each.
pub(crate) fn events(project: &Project) -> Vec<String> {
    let text = good(project, &["export", "--format", "json"]);
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
