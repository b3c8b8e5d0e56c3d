//! Projects for a night.

use std::path::PathBuf;
use std::process::Output;

use rustix::process::{Pid, Signal, kill_process};

use crate::real::{Project, said, wait_until};

/// The integration branch.
pub const BRANCH: &str = "crewlog/night";

pub const RUN: [&str; 3] = ["run", "--workers", "coding=1"];

/// Does what it is told.
pub const AGENT: &str = r#"printf 'x\n' > "f$CREWLOG_FEATURE.txt""#;

/// Waits for the file `$GO`, and does what it is told.
const WAITS: &str = r#"
echo x > started.txt
while ! test -f "$GO"; do sleep 0.05; done
test -s "$GO" || printf 'x\n' > "f$CREWLOG_FEATURE.txt"
"#;

/// A project with one feature whose agent waits for the file that is also returned. If something is
/// written to that file, the agent does nothing.
pub fn waiting() -> (Project, PathBuf) {
    let made = project(WAITS, "", 1);
    let go = made.home().join("go");
    let more = format!(
        "env = {{ GO = {go:?} }}\n[cage]\nread = [{:?}]\n",
        made.home()
    );
    made.write(".crewlog/config.toml", &config(WAITS, &more));
    (made, go)
}

/// Waits until the agent works.
pub fn await_agent(project: &Project) {
    wait_until("the agent is working", || {
        project.in_an_attempt("started.txt")
    });
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("a living process");
}

/// All that the log has, one JSON text for each event.
pub fn events(project: &Project) -> String {
    succeeds(&project.scheduler(&["export", "--format", "json"]))
}

pub fn config(agent: &str, more: &str) -> String {
    format!(
        "[run]\nbranch = \"night\"\nmax_attempts = 1\nretry_backoff = \"10ms\"\n\
         retry_backoff_max = \"20ms\"\nidle_limit = \"60s\"\n\
         [agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''{agent}''']\n{more}"
    )
}

/// A project with so many features to do.
pub fn project(agent: &str, more: &str, features: u32) -> Project {
    let project = Project::new(&config(agent, more));
    let one = |id: u32| {
        format!(
            "[[feature]]\nid = {id}\nname = \"feature {id}\"\nchecks = [\"test -s f{id}.txt\"]\n\n"
        )
    };
    let backlog: String = (1..=features).map(one).collect();
    project.write(".crewlog/features.toml", &backlog);
    succeeds(&project.scheduler(&["import", ".crewlog/features.toml"]));
    project
}

pub fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    crate::real::text(&output.stdout)
}

pub fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("JSON: {}", said(output)))
}
