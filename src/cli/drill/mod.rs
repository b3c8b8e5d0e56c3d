//! The crash drill: a real project whose scheduler, workers and agents are killed at random for
//! a while, and then everything is counted. What is killed is the drill's own, and nothing else.

mod load;
mod observer;
mod report;
mod run;
mod sandbox_repo;
mod schedule;
mod targets;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

pub use report::{json, text};
pub use verdict::Findings;

use super::Context;
use super::error::Error;
use super::exit::ExitCode;
use super::project::Project;

/// What the user asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long to kill.
    pub length: Duration,
    /// The time between two strikes, on average.
    pub every: Duration,
    /// The seed of all that is drawn.
    pub seed: u64,
    /// Where to work; a fresh directory that vanishes when `None`.
    pub dir: Option<PathBuf>,
}

/// Carries the drill out, and says where, too.
///
/// # Errors
/// It cannot be set up, or the scheduler cannot be kept running. What the kills have done is in
/// the findings.
pub async fn carry_out(context: &Context, plan: &Plan) -> Result<(Findings, PathBuf), Error> {
    let mut sandbox = sandbox_repo::SandboxRepo::prepare(plan.dir.as_deref(), plan.seed).await?;
    let outcome = run::run(context, plan, &sandbox).await;
    let outcome = outcome.inspect_err(|error| {
        if error.code != ExitCode::Interrupted {
            sandbox.keep();
        }
    })?;
    // The run has found a place for its attempts meanwhile.
    let project = Project::at(&sandbox.project.root);
    let findings = verdict::examine(&project, outcome).await;
    let findings = findings.inspect_err(|_| sandbox.keep())?;
    if !findings.clean() {
        sandbox.keep();
    }
    Ok((findings, sandbox.project.root.clone()))
}
