//! Facts about the run as a whole.

use crate::model::event::{ProviderLimited, Recorded, RunFinished, RunStarted};
use crate::model::state::{Limited, Run, State};

pub fn started(state: &mut State, recorded: &Recorded, event: &RunStarted) {
    state.branch.clone_from(&event.branch);
    if state.head != event.head {
        let first = state.head.is_none();
        state.head = event.head.clone();
        state.head_index += 1;
        if !first {
            state.files.touch_everything(state.head_index);
        }
    }
    state.settings = event.settings.clone();
    state.limited = None;
    state.unstarted = None;
    state.run = Some(Run {
        started: recorded.sequence,
        started_at: recorded.at,
        seed: event.seed,
        finished: None,
        spent: Default::default(),
        budget_reached: false,
    });
}

pub fn resumed(state: &mut State) {
    state.paused = None;
    state.limited = None;
}

pub fn limited(state: &mut State, event: &ProviderLimited) {
    let streak = state.limited.as_ref().map_or(0, |limited| limited.streak);
    state.limited = Some(Limited {
        until: event.until,
        kind: event.kind,
        reason: event.reason.clone(),
        streak: streak.saturating_add(1),
    });
}

pub fn budget_reached(state: &mut State) {
    if let Some(run) = &mut state.run {
        run.budget_reached = true;
    }
}

pub fn finished(state: &mut State, event: &RunFinished) {
    if let Some(run) = &mut state.run {
        run.finished = Some((event.outcome, event.reason.clone()));
    }
}
