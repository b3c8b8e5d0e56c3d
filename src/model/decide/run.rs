//! Commands about the run, its settings and its workers.

use std::collections::BTreeSet;

use super::parking;
use crate::model::branch::{BranchMove, NAMED_MAX};
use crate::model::clip::clip;
use crate::model::command::{Rejection, SettingChange};
use crate::model::config::{CHANGES_MAX, ConfigChange};
use crate::model::end_reason::EndReason;
use crate::model::ending;
use crate::model::event::ProfilesSet;
use crate::model::event::{
    AttemptLost, BranchMoved, BudgetReached, ClockJumped, CommandRefused, ConfigRecorded, Event,
    HeadMoved, MergesHeld, ProcessIdentity, RunFinished, RunOutcome, RunPaused, RunResumed,
    RunStarted, SettingsChanged, WorkLost, WorkerJoined, WorkerLeft,
};
use crate::model::evidence::Failure;
use crate::model::feature::Status;
use crate::model::ids::{AttemptId, CommitId, ContentHash, Timestamp, WorkerId};
use crate::model::profile::Profiles;
use crate::model::remaining::{is_stuck, nobody_at_work};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;

/// A host's name has at most 64 bytes on Linux, a boot id 36.
const IDENTITY_BYTES_MAX: usize = 255;

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
            "this log belongs to branch {:?}, not {branch:?}; set `run.branch` back in .crewlog/config.toml, or use another project directory for the new branch",
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
            events.extend(changed(state, settings));
        }
        events.extend(move_head(state, head));
        if *settings == state.settings {
            // The log may end between a failure and its parking.
            events.extend(parking::all(state, settings));
        }
    }
    Ok(events)
}

/// The events that change the settings, and what follows from them at once.
fn changed(state: &State, settings: &Settings) -> Vec<Event> {
    let to = settings.clone();
    let mut events = vec![SettingsChanged { settings: to }.into()];
    let run = state.open_run().filter(|run| !run.budget_reached);
    if let Some(run) = run.filter(|run| settings.exhausted_by(run.spent)) {
        let spent = run.spent;
        events.push(BudgetReached { spent }.into());
    }
    events
}

pub fn finish(
    state: &State,
    now: Timestamp,
    outcome: RunOutcome,
    reason: &str,
) -> Result<Vec<Event>, Rejection> {
    state.open_run().ok_or(Rejection::NoRun)?;
    // Something may have changed between the plan and now, such as new features.
    let due = ending::due(state).map(|(due, _)| due);
    // Only the machine that gives this command knows for how long nobody has been there.
    let deserted = outcome == RunOutcome::WaitingForPerson && nobody_at_work(state, now);
    let stuck = outcome == RunOutcome::WaitingForPerson && is_stuck(state);
    if due != Some(outcome) && !deserted && !stuck {
        return Err(Rejection::Stale(
            "the run is not over, or ends differently".to_owned(),
        ));
    }
    let reason = clip(reason, Failure::REASON_BYTES_MAX).to_owned();
    Ok(vec![RunFinished { outcome, reason }.into()])
}

pub fn join(state: &State, kind: WorkerKind, process: &ProcessIdentity) -> Vec<Event> {
    let number = state.tally.joined.get(&kind).copied().unwrap_or(0) + 1;
    let name = match kind {
        WorkerKind::Coding => format!("worker-{number}"),
        WorkerKind::Testing => format!("tester-{number}"),
    };
    let process = ProcessIdentity {
        host: clip(&process.host, IDENTITY_BYTES_MAX).to_owned(),
        boot_id: clip(&process.boot_id, IDENTITY_BYTES_MAX).to_owned(),
        ..*process
    };
    let joined = WorkerJoined {
        kind,
        name,
        process,
    };
    vec![joined.into()]
}

pub fn leave(state: &State, worker: WorkerId, reason: &EndReason) -> Result<Vec<Event>, Rejection> {
    let known = state.workers.get(&worker);
    let known = known.ok_or_else(|| Rejection::NoChange(format!("{worker} has already left")))?;
    let mut events = Vec::new();
    if let Some(attempt) = known.attempt {
        events.extend(lose(state, attempt, reason)?);
    }
    let reason = reason.clipped();
    events.push(WorkerLeft { worker, reason }.into());
    Ok(events)
}

pub fn lose(
    state: &State,
    attempt: AttemptId,
    reason: &EndReason,
) -> Result<Vec<Event>, Rejection> {
    if !state.attempts.contains_key(&attempt) {
        return Err(Rejection::NotOpen(attempt));
    }
    // The proof is in the log already, so the merge ends without its worker.
    if state
        .open_merge()
        .is_some_and(|merge| merge.attempt == attempt)
    {
        return Err(Rejection::MergeOpen);
    }
    let reason = reason.clipped();
    Ok(vec![AttemptLost { attempt, reason }.into()])
}

pub fn record_config(state: &State, content: ContentHash, changes: &[ConfigChange]) -> Vec<Event> {
    if state.notices.told == Some(content) {
        return Vec::new();
    }
    let changes_total = u32::try_from(changes.len()).unwrap_or(u32::MAX);
    let changes = changes.iter().take(CHANGES_MAX).cloned().collect();
    let recorded = ConfigRecorded {
        content,
        changes,
        changes_total,
    };
    vec![recorded.into()]
}

/// What others did to the branch, and the features whose work was lost.
pub fn explain_move(state: &State, moved: &BranchMove) -> Vec<Event> {
    let told = BranchMoved {
        from: moved.from.clone(),
        to: moved.to.clone(),
        added: moved.added.iter().take(NAMED_MAX).cloned().collect(),
        added_total: moved.added_total,
        lost: moved.lost.iter().take(NAMED_MAX).cloned().collect(),
        lost_total: moved.lost_total,
    };
    let gone: BTreeSet<&CommitId> = moved.gone.iter().collect();
    let lost = state.features().filter_map(|feature| {
        let commit = feature
            .merged
            .as_ref()
            .filter(|it| gone.contains(it) && !planted!(LostWorkPasses))?;
        let (feature, commit) = match feature.status {
            Status::Passing => (feature.id, commit.clone()),
            _ => return None,
        };
        Some(WorkLost { feature, commit }.into())
    });
    // The move counts as explained with its last event: a torn batch is explained again.
    lost.chain([told.into()]).collect()
}

pub fn hold_merges(state: &State, at: Option<&str>) -> Vec<Event> {
    let at = clip(at.unwrap_or_default(), Failure::REASON_BYTES_MAX).to_owned();
    if state.notices.held == at {
        return Vec::new();
    }
    vec![MergesHeld { at }.into()]
}

pub fn refuse(attempt: Option<AttemptId>, wish: &str, reason: &str) -> Vec<Event> {
    let command = clip(wish, CommandRefused::COMMAND_BYTES_MAX).to_owned();
    let reason = clip(reason, Failure::REASON_BYTES_MAX).to_owned();
    let refused = CommandRefused {
        attempt,
        command,
        reason,
    };
    vec![refused.into()]
}

pub fn move_head(state: &State, head: &CommitId) -> Vec<Event> {
    if state.head == *head || state.open_merge().is_some() {
        return Vec::new();
    }
    let head = head.clone();
    vec![HeadMoved { head }.into()]
}

pub fn note_jump(state: &State, by_ms: u64) -> Vec<Event> {
    // Nothing is measured between two runs.
    match state.open_run().is_some() && by_ms > 0 {
        true => vec![ClockJumped { by_ms }.into()],
        false => Vec::new(),
    }
}

pub fn set_profiles(state: &State, profiles: &Profiles) -> Vec<Event> {
    let profiles = profiles.clone();
    match state.profiles == profiles {
        true => Vec::new(),
        false => vec![ProfilesSet { profiles }.into()],
    }
}

pub fn pause(state: &State, reason: &str) -> Vec<Event> {
    if state.paused.is_some() {
        return Vec::new();
    }
    let reason = clip(reason, Failure::REASON_BYTES_MAX).to_owned();
    vec![RunPaused { reason }.into()]
}

pub fn resume(state: &State) -> Vec<Event> {
    if state.paused.is_none() && state.outages().next().is_none() && state.troubled.is_none() {
        return Vec::new();
    }
    vec![RunResumed {}.into()]
}

pub fn change_settings(state: &State, changes: &[SettingChange]) -> Result<Vec<Event>, Rejection> {
    let mut settings = state.settings.clone();
    for change in changes {
        settings.set(&change.name, change.value)?;
    }
    settings.validate()?;
    if settings == state.settings {
        return Ok(Vec::new());
    }
    Ok(changed(state, &settings))
}
