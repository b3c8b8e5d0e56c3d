//! Projects for a night.

use std::process::Output;

use crate::real::{Project, said};

/// The integration branch.
pub const BRANCH: &str = "crewlog/night";

pub const RUN: [&str; 3] = ["run", "--workers", "coding=1"];

/// Does what it is told.
pub const AGENT: &str = r#"printf 'x\n' > "f$CREWLOG_FEATURE.txt""#;

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
