//! The crash drill: kills the scheduler, workers and agents of a real project at random for a while,
//! then counts what was lost. It kills only processes that it started.

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

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long to keep killing.
    pub length: Duration,
    /// Average time between two strikes.
    pub every: Duration,
    /// Seed for all random choices.
    pub seed: u64,
    /// Directory to work in; `None` for a temporary one that is removed at the end.
    pub dir: Option<PathBuf>,
}

/// Runs the drill; returns its findings and its directory.
///
/// # Errors
/// If the drill cannot be set up or the scheduler cannot be kept running. Damage from kills is not an
/// error, but in the findings.
pub async fn carry_out(context: &Context, plan: &Plan) -> Result<(Findings, PathBuf), Error> {
    let mut sandbox = sandbox_repo::SandboxRepo::prepare(plan.dir.as_deref(), plan.seed).await?;
    let outcome = run::run(context, plan, &sandbox).await;
    let outcome = outcome.inspect_err(|error| {
        if error.code != ExitCode::Interrupted {
            sandbox.keep();
        }
    })?;
    // Only now the project knows the directory that the run claimed for its attempts.
    let project = Project::at(&sandbox.project.root);
    let findings = verdict::examine(&project, outcome).await;
    let findings = findings.inspect_err(|_| sandbox.keep())?;
    if !findings.clean() {
        sandbox.keep();
    }
    Ok((findings, sandbox.project.root.clone()))
}
