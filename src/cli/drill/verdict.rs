//! Determines the damage after a drill from the log, the branch and the processes.

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
    /// Seed to repeat the drill; the machine's timing still differs.
    pub seed: u64,
    /// Number of kills by kind.
    pub kills: BTreeMap<Kind, u32>,
    /// Number of strikes that hit several processes.
    pub at_once: u32,
    /// Number of strikes during a recovery from an earlier one.
    pub in_recovery: u32,
    /// Number of schedulers started after the first.
    pub restarts: u32,
    /// Number of attempts that started.
    pub attempts: u32,
    /// Number of features whose import was acknowledged, and how many of them are merged.
    pub features: (u32, u32),
    /// Number of imports that were repeated because no answer came.
    pub repeated: u32,
    /// Number of events that were acknowledged.
    pub acknowledged: usize,
    /// Number of acknowledged events, imports and merges that are missing or altered.
    pub lost: usize,
    /// Number of second and further merges of a feature.
    pub merged_twice: usize,
    /// Number of processes, worktrees and files left after the run.
    pub orphans: usize,
    /// Faults in words: one for every number above that should be 0, and others.
    pub faults: Vec<String>,
    /// Durations of recoveries by what was killed, sorted.
    pub recoveries: BTreeMap<Kind, Vec<Duration>>,
    /// How long the drill killed.
    pub killing: Duration,
    /// True if the user ended the drill early.
    pub interrupted: bool,
}

impl Findings {
    /// True if the drill found no faults.
    pub fn clean(&self) -> bool {
        self.lost == 0 && self.merged_twice == 0 && self.orphans == 0 && self.faults.is_empty()
    }

    /// Total number of kills.
    pub fn kills(&self) -> u32 {
        self.kills.values().sum()
    }
}

/// Examines the log, the branch and the processes.
///
/// # Errors
/// If the log or the repository cannot be read.
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
            .push(format!("{count} kills without a complete recovery"));
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
            "process {} is still running after the run: {target:?}",
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

/// Checks that the log has every event that the follower received, byte for byte.
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
    let told = told
        .map(|sequence| format!("event {sequence} was acknowledged, but is missing or different"));
    findings.faults.extend(told);
}

/// Checks that every feature whose import was acknowledged exists and passes. Returns the names of
/// the passing features, which the branch must contain.
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
                    .push(format!("{id} was imported, but is missing"));
            }
        }
    }
    let passing = state
        .features()
        .filter(|feature| feature.status == Status::Passing);
    Ok(passing.map(|feature| feature.id.to_string()).collect())
}

/// Checks that the branch has one commit per passing feature, that it can be read, and that the
/// user's branch and files are unchanged.
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
        let what = format!("{feature} passes, but the branch has no commit of it");
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
