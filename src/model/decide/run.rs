//! Commands about the run, its rules and its workers.

use super::backlog::clipped;
use crate::model::command::Rejection;
use crate::model::event::{
    AttemptLost, Event, FeatureParked, HeadMoved, ProcessIdentity, RunFinished, RunOutcome,
    RunPaused, RunResumed, RunStarted, SettingsChanged, WorkerJoined, WorkerLeft,
};
use crate::model::evidence::Failure;
use crate::model::feature::Status;
use crate::model::ids::{AttemptId, CommitId, WorkerId};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::{Feature, State};

pub fn start(
    state: &State,
    branch: &str,
    head: &CommitId,
    settings: &Settings,
    seed: u64,
) -> Result<Vec<Event>, Rejection> {
    settings.validate()?;
    if !state.branch.is_empty() && state.branch != branch {
        return Err(Rejection::Stale(format!(
            "this log tells the story of branch {:?}; to build on {branch:?}, set `branch` back or begin with another project directory",
            state.branch
        )));
    }
    let mut events: Vec<Event> = Vec::new();
    if state.open_run().is_none() {
        events.push(
            RunStarted {
                branch: branch.to_owned(),
                head: head.clone(),
                settings: settings.clone(),
                seed,
            }
            .into(),
        );
    } else {
        if *settings != state.settings {
            let settings = settings.clone();
            events.push(SettingsChanged { settings }.into());
        }
        events.extend(move_head(state, head));
    }
    let spent = |feature: &&Feature| {
        let waiting = matches!(feature.status, Status::Pending | Status::Regressed);
        let failures = feature.failures.max(feature.regressions);
        waiting && failures >= settings.max_attempts
    };
    // The rules may have become stricter, or the log ends between a failure and its parking.
    events.extend(state.features().filter(spent).map(|feature| {
        let failures = feature.failures.max(feature.regressions);
        let feature = feature.id;
        FeatureParked { feature, failures }.into()
    }));
    Ok(events)
}

pub fn finish(state: &State, outcome: RunOutcome, reason: &str) -> Result<Vec<Event>, Rejection> {
    state.open_run().ok_or(Rejection::NoRun)?;
    if !state.attempts().is_empty() {
        return Err(Rejection::Stale("attempts are open".to_owned()));
    }
    let reason = clipped(reason, Failure::REASON_BYTES_MAX);
    Ok(vec![RunFinished { outcome, reason }.into()])
}

pub fn join(state: &State, kind: WorkerKind, process: &ProcessIdentity) -> Vec<Event> {
    let number = state.tally.joined.get(&kind).copied().unwrap_or(0) + 1;
    let name = match kind {
        WorkerKind::Coding => format!("worker-{number}"),
        WorkerKind::Testing => format!("tester-{number}"),
    };
    let process = process.clone();
    let joined = WorkerJoined {
        kind,
        name,
        process,
    };
    vec![joined.into()]
}

pub fn leave(state: &State, worker: WorkerId, reason: &str) -> Result<Vec<Event>, Rejection> {
    let known = state.workers.get(&worker);
    let known = known.ok_or_else(|| Rejection::NoChange(format!("{worker} is gone already")))?;
    let mut events = Vec::new();
    if let Some(attempt) = known.attempt {
        events.extend(lose(state, attempt, reason)?);
    }
    let reason = clipped(reason, Failure::REASON_BYTES_MAX);
    events.push(WorkerLeft { worker, reason }.into());
    Ok(events)
}

pub fn lose(state: &State, attempt: AttemptId, reason: &str) -> Result<Vec<Event>, Rejection> {
    if !state.attempts.contains_key(&attempt) {
        return Err(Rejection::NotOpen(attempt));
    }
    // The proof is in the log already: the merge ends without its worker.
    if state
        .open_merge()
        .is_some_and(|merge| merge.attempt == attempt)
    {
        return Err(Rejection::MergeOpen);
    }
    let reason = clipped(reason, Failure::REASON_BYTES_MAX);
    Ok(vec![AttemptLost { attempt, reason }.into()])
}

pub fn move_head(state: &State, head: &CommitId) -> Vec<Event> {
    if state.head == *head || state.open_merge().is_some() {
        return Vec::new();
    }
    let head = head.clone();
    vec![HeadMoved { head }.into()]
}

pub fn pause(state: &State, reason: &str) -> Result<Vec<Event>, Rejection> {
    if state.paused.is_some() {
        return Err(Rejection::NoChange("the run is paused already".to_owned()));
    }
    let reason = clipped(reason, Failure::REASON_BYTES_MAX);
    Ok(vec![RunPaused { reason }.into()])
}

pub fn resume(state: &State) -> Result<Vec<Event>, Rejection> {
    if state.paused.is_none() && state.limited.is_none() {
        return Err(Rejection::NoChange("the run is not paused".to_owned()));
    }
    Ok(vec![RunResumed {}.into()])
}

pub fn change_settings(state: &State, settings: &Settings) -> Result<Vec<Event>, Rejection> {
    settings.validate()?;
    if *settings == state.settings {
        return Err(Rejection::NoChange("these are the settings".to_owned()));
    }
    let settings = settings.clone();
    Ok(vec![SettingsChanged { settings }.into()])
}
