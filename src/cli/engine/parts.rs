//! The parts of the world that the scheduler gets from the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::process;
use crate::cli::error::Error;
use crate::cli::project::{self, Project};
use crate::cli::runtime;
use crate::cli::worker_counts::WorkerCounts;
use crate::model::event::ProcessIdentity;
use crate::model::ids::AttemptId;
use crate::model::report::AttemptReport;
use crate::model::settings::WorkerKind;
use crate::scheduler::ports::{GitBranch, Integration, Spool};
use crate::scheduler::processes::CleanUpAttempt;
use crate::worker::{spool, tree_token};
use crate::workspace::Repository;

/// Access to the integration branch.
pub(super) fn integration(repository: &Repository, branch: &str) -> Arc<dyn Integration> {
    Arc::new(GitBranch {
        repository: repository.clone(),
        branch: branch.to_owned(),
    })
}

/// The workers' spool files, in this data directory.
pub(super) struct SpoolFiles(pub PathBuf);

impl Spool for SpoolFiles {
    fn read(&self, attempt: AttemptId) -> Option<AttemptReport> {
        spool::read(&self.0, attempt)
    }
}

pub(super) fn is_own(project: &Project) -> Arc<dyn Fn(&ProcessIdentity) -> bool + Send + Sync> {
    let project = project.clone();
    Arc::new(move |process| project::is_own(&project, process.pid))
}

pub(super) fn reap(root: PathBuf) -> CleanUpAttempt {
    Arc::new(move |attempt| {
        let token = tree_token(&root, attempt);
        Box::pin(async move {
            let swept = tokio::task::spawn_blocking(move || process::sweep(&token)).await;
            match swept {
                Ok(killed) if !killed.is_empty() => {
                    tracing::info!(%attempt, ?killed, "ended processes that a dead worker left running");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "cannot search for leftover processes"),
            }
        })
    })
}

pub(super) fn by_kind(counts: WorkerCounts) -> BTreeMap<WorkerKind, u32> {
    BTreeMap::from([
        (WorkerKind::Coding, counts.coding),
        (WorkerKind::Testing, counts.testing),
    ])
}

/// The scheduler starts its workers from its own executable, with the hidden command `worker`.
pub(super) fn worker_command(project: &Project, told: &Path) -> Result<Vec<OsString>, Error> {
    let own = runtime::own_executable()?;
    let root = project.root.clone().into_os_string();
    let mut command = vec![own.into(), "worker".into(), "-C".into(), root];
    command.extend(["--recorded-config".into(), told.as_os_str().to_owned()]);
    Ok(command)
}
