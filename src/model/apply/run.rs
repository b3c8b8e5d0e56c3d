//! Events of the run as a whole.

use crate::model::event::{ProviderLimited, Recorded, RunFinished, RunStarted, SettingsChanged};
use crate::model::state::{Limited, Notices, Run, State};

pub fn started(state: &mut State, recorded: &Recorded, event: &RunStarted) {
    state.branch.clone_from(&event.branch);
    if state.head != event.head {
        let first = state.head.is_none();
        state.head_taken(&event.head);
        state.head = event.head.clone();
        state.head_generation += 1;
        if !first {
            state.files.touch_everything(state.head_generation);
        }
    }
    state.settings = event.settings.clone();
    state.limited = None;
    state.provider_streak = 0;
    state.notices = Notices {
        told: state.notices.told,
        ..Notices::default()
    };
    state.troubled = None;
    state.unstarted = None;
    state.run = Some(Run {
        started: recorded.sequence,
        started_at: recorded.at,
        jumped_ms: state.jumped_ms,
        seed: event.seed,
        finished: None,
        spent: Default::default(),
        budget_reached: false,
    });
}

pub fn resumed(state: &mut State) {
    state.paused = None;
    state.limited = None;
    state.provider_streak = 0;
    state.troubled = None;
}

pub fn limited(state: &mut State, recorded: &Recorded, event: &ProviderLimited) {
    if let Some(open) = state.attempts.get_mut(&event.attempt) {
        open.excused = true;
    }
    let before = state.limited.take();
    let streak = before.as_ref().map_or(0, |before| before.streak);
    let streak = streak.max(state.provider_streak);
    let fresh = Limited {
        until: event.until,
        since: recorded.sequence,
        kind: event.kind,
        reason: event.reason.clone(),
        streak: streak.saturating_add(1),
    };
    // An attempt from before the refusal met the same one; the longer wait holds.
    state.limited = Some(match before {
        Some(before) if event.attempt.0 < before.since.0 && before.until >= event.until => before,
        Some(before) if event.attempt.0 < before.since.0 => Limited { streak, ..fresh },
        _ => fresh,
    });
    state.provider_streak = state.limited.as_ref().map_or(0, |limited| limited.streak);
}

pub fn settings_changed(state: &mut State, event: &SettingsChanged) {
    state.settings = event.settings.clone();
    if let Some(run) = &mut state.run {
        // A budget that was raised can be reached again.
        run.budget_reached &= event.settings.exhausted_by(run.spent);
    }
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
