//! Events of the run as a whole.

use crate::model::event::{Recorded, RunFinished, RunStarted, SettingsChanged};
use crate::model::state::{Notices, Run, State};

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
    state.breakers.clear();
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
        worked: Default::default(),
    });
}

pub fn resumed(state: &mut State) {
    state.paused = None;
    state.breakers.clear();
    state.troubled = None;
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
