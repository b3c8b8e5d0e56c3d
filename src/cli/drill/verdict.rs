//! What the killing has done, by looking at what is left: the log, the branch, the processes.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::run::Outcome;
use super::sandbox_repo::of_git;
use super::sandbox_repo::{BRANCH, USERS};
use super::targets::Kind;
use crate::cli::config::Config;
use crate::cli::error::Error;
use crate::cli::project::Project;
use crate::cli::{failures, store};
use crate::model::feature::Status;
use crate::model::ids::FeatureId;
use crate::queue::{self, EventLog, SledLog};
use crate::scheduler::load;
use crate::workspace::Repository;

/// The result of a drill.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// By which it can be drilled again; the machine's timing is not in it.
    pub seed: u64,
    /// Kills by kind.
    pub kills: BTreeMap<Kind, u32>,
    /// Strikes that hit several at once.
    pub at_once: u32,
    /// Strikes while something was recovering from an earlier one.
    pub in_recovery: u32,
    /// Schedulers that were started after the first.
    pub restarts: u32,
    /// Attempts that were started.
    pub attempts: u32,
    /// Features whose import was acknowledged, and how many of them are merged.
    pub features: (u32, u32),
    /// Imports that were repeated because their answer did not come.
    pub repeated: u32,
    /// Events that had been acknowledged before the end.
    pub acknowledged: usize,
    /// Acknowledged events, imports and merges that are missing or altered.
    pub lost: usize,
    /// Merges beyond the first of a feature.
    pub merged_twice: usize,
    /// Processes, worktrees and files that outlived the run.
    pub orphans: usize,
    /// What must not have happened, in words: an explanation of every number above that should
    /// be 0, and other faults.
    pub faults: Vec<String>,
    /// Recoveries by what had been killed, each sorted.
    pub recoveries: BTreeMap<Kind, Vec<Duration>>,
    /// How long it was killed.
    pub killing: Duration,
    /// The user ended the killing early.
    pub interrupted: bool,
}

impl Findings {
    /// Nothing was found.
    pub fn clean(&self) -> bool {
        self.lost == 0 && self.merged_twice == 0 && self.orphans == 0 && self.faults.is_empty()
    }

    /// All kills.
    pub fn kills(&self) -> u32 {
        self.kills.values().sum()
    }
}

/// Looks at everything.
///
/// # Errors
/// It cannot be looked at.
pub async fn examine(project: &Project, outcome: Outcome) -> Result<Findings, Error> {
    let mut findings = Findings {
        seed: outcome.seed,
        kills: outcome.kills.clone(),
        at_once: outcome.at_once,
        in_recovery: outcome.in_recovery,
        restarts: outcome.restarts,
        attempts: outcome.observer.attempts,
        features: (outcome.features, 0),
        repeated: outcome.repeated,
        acknowledged: outcome.observer.envelopes.len(),
        faults: outcome.faults.clone(),
        killing: outcome.killing,
        interrupted: outcome.interrupted,
        ..Findings::default()
    };
    for (kind, took) in outcome.observer.recoveries() {
        findings.recoveries.entry(*kind).or_default().push(*took);
    }
    findings.recoveries.values_mut().for_each(|all| all.sort());
    if outcome.observer.unrecovered() > 0 {
        let count = outcome.observer.unrecovered();
        findings
            .faults
            .push(format!("{count} kills were never recovered from"));
    }
    orphans(project, &outcome, &mut findings);
    let config = Config::load(project)?;
    let log = store::hold(project, &config).await?;
    events(&log, &outcome, &mut findings);
    let merged = features(project, &log, &mut findings)?;
    git(project, &outcome, &merged, &mut findings).await?;
    Ok(findings)
}

fn orphans(project: &Project, outcome: &Outcome, findings: &mut Findings) {
    let mut note = |what: String| {
        findings.orphans += 1;
        findings.faults.push(what);
    };
    for target in &outcome.orphans {
        note(format!(
            "process {} outlived the run: {target:?}",
            target.pid
        ));
    }
    let registered = project.root.join(".git/worktrees");
    for dir in [&project.worktrees, &registered, &project.spool] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            note(format!("{} was left behind", entry.path().display()));
        }
    }
    if project.socket.exists() {
        note(format!("{} was left behind", project.socket.display()));
    }
}

/// Everything that the follower was told is in the log as it was told.
fn events(log: &SledLog, outcome: &Outcome, findings: &mut Findings) {
    if let Err(fault) = queue::verify(log) {
        findings.lost += 1;
        findings.faults.push(format!("the log is damaged: {fault}"));
    }
    let mut lost = outcome.observer.changed.clone();
    for (sequence, bytes) in &outcome.observer.envelopes {
        let chunk = log.read(*sequence, 1);
        let same = chunk.is_ok_and(|chunk| {
            let first = chunk.envelopes().next();
            first.is_some_and(|it| it.is_ok_and(|envelope| envelope.bytes == &bytes[..]))
        });
        if !same {
            lost.insert(*sequence);
        }
    }
    findings.lost += lost.len();
    let told = lost.iter().take(3);
    let told =
        told.map(|sequence| format!("event {sequence} was acknowledged and is gone or another"));
    findings.faults.extend(told);
}

/// Every feature whose import was acknowledged is there and passes. The names under which all
/// passing features are to be found in the branch.
fn features(
    project: &Project,
    log: &SledLog,
    findings: &mut Findings,
) -> Result<Vec<String>, Error> {
    let state = load::load(log, &project.snapshots).map_err(failures::of_scheduler)?;
    let (wanted, _) = findings.features;
    for id in (1..=wanted).map(FeatureId) {
        match state.feature(id).map(|feature| feature.status) {
            Some(Status::Passing) => findings.features.1 += 1,
            Some(status) => findings
                .faults
                .push(format!("the run ended with {id} {status:?}")),
            None => {
                findings.lost += 1;
                findings
                    .faults
                    .push(format!("{id} was imported and is not there"));
            }
        }
    }
    let passing = state
        .features()
        .filter(|feature| feature.status == Status::Passing);
    Ok(passing.map(|feature| feature.id.to_string()).collect())
}

/// The branch has one commit for every passing feature, all of it is readable, and what is the
/// user's is as it was.
async fn git(
    project: &Project,
    outcome: &Outcome,
    passing: &[String],
    findings: &mut Findings,
) -> Result<(), Error> {
    let repository = Repository::discover(&project.root).await.map_err(of_git)?;
    let branch = format!("crewlog/{BRANCH}");
    let merged = repository.merged_features(&branch).await.map_err(of_git)?;
    for feature in passing.iter().filter(|name| !merged.contains_key(*name)) {
        findings.lost += 1;
        let what = format!("{feature} passes, and no commit of it is on the branch");
        findings.faults.push(what);
    }
    for (feature, count) in merged.iter().filter(|(_, count)| **count > 1) {
        findings.merged_twice += *count as usize - 1;
        findings
            .faults
            .push(format!("{feature} was merged {count} times"));
    }
    if let Err(error) = repository.is_whole(&branch).await {
        findings.lost += 1;
        findings.faults.push(error.to_string());
    }
    if repository.users_head().await.map_err(of_git)? != outcome.users_head {
        findings
            .faults
            .push(format!("the user's branch {USERS} moved"));
    }
    for change in repository.users_changes().await.map_err(of_git)? {
        findings
            .faults
            .push(format!("the user's files changed: {change}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
