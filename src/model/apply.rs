//! The fold: how each event changes the state. It cannot fail and never acts; an event about
//! something unknown changes nothing, because a log that was cut short by hand must still fold.

mod attempts;
mod backlog;
mod outcomes;
mod run;
mod trouble;

use super::event::{Event, Recorded};
use super::ids::{CommandId, Sequence, Timestamp};
use super::state::State;

/// Folds one event into the state.
pub fn apply(state: &mut State, recorded: &Recorded) {
    state.sequence = recorded.sequence;
    // A clock that is set back must not make waits longer than decided.
    state.at = state.at.max(recorded.at);
    state.remembered.note(recorded.cause, recorded.sequence);
    state.promote();
    match &recorded.event {
        Event::FeatureAdded(event) => backlog::added(state, event),
        Event::FeatureEdited(event) => backlog::edited(state, event),
        Event::FeatureRemoved(event) => backlog::removed(state, event),
        Event::FeatureSkipped(event) => backlog::skipped(state, &recorded.actor, event),
        Event::DependenciesSet(event) => backlog::dependencies_set(state, event),
        Event::RetryRequested(event) => backlog::retry_requested(state, event),
        Event::InputRequested(event) => backlog::input_requested(state, event),
        Event::InputAnswered(event) => backlog::input_answered(state, event),
        Event::FeatureAssigned(event) => attempts::assigned(state, recorded.sequence, event),
        Event::TestAssigned(event) => attempts::test_assigned(state, recorded.sequence, event),
        Event::AttemptStarted(event) => attempts::started(state, recorded, event),
        Event::JobCancelled(event) => attempts::cancelled(state, event),
        Event::AttemptReleased(event) => attempts::released(state, recorded, event),
        Event::AttemptLost(event) => attempts::lost(state, event),
        Event::LateResultIgnored(_) => {
            state.tally.late += 1;
            state.remembered.note_late(recorded.cause);
        }
        Event::UsageRecorded(event) => attempts::usage_recorded(state, event),
        Event::WorkerJoined(event) => attempts::worker_joined(state, recorded.sequence, event),
        Event::WorkerLeft(event) => attempts::worker_left(state, event),
        Event::MergeStarted(event) => outcomes::merge_started(state, event),
        Event::MergeAborted(event) => outcomes::merge_aborted(state, event),
        Event::HeadMoved(event) => outcomes::head_moved(state, event),
        Event::FeaturePassed(event) => outcomes::passed(state, recorded, event),
        Event::FeatureFailed(event) => outcomes::failed(state, event),
        Event::RegressionFound(event) => outcomes::regression_found(state, event),
        Event::TestPassed(event) => outcomes::test_passed(state, recorded, event),
        Event::TestInconclusive(event) => outcomes::test_inconclusive(state, event),
        Event::FeatureParked(event) => outcomes::parked(state, event),
        Event::RunStarted(event) => run::started(state, recorded, event),
        Event::RunPaused(event) => state.paused = Some(recorded.actor.signed(&event.reason)),
        Event::RunResumed(_) => run::resumed(state),
        Event::ProviderLimited(event) => trouble::limited(state, recorded, event),
        Event::BudgetReached(_) => run::budget_reached(state),
        Event::SettingsChanged(event) => run::settings_changed(state, event),
        Event::RunFinished(event) => run::finished(state, event),
        Event::CrewTroubled(event) => trouble::troubled(state, recorded, event),
        Event::CrewRecovered(event) => trouble::recovered(state, recorded, event),
        Event::ProfileRecovered(event) => trouble::profile_recovered(state, recorded, event),
        Event::ProfilesSet(event) => state.profiles = event.profiles.clone(),
        Event::ClockJumped(event) => {
            state.jumped_ms = state.jumped_ms.saturating_add(event.by_ms);
        }
        Event::ConfigRecorded(event) => {
            state.notices.told = Some(event.content);
            state.notices.config = (event.changes_total, event.changes.clone());
        }
        Event::BranchMoved(event) => {
            state.head_explained(&event.to);
            state.notices.branch_moved(recorded, event);
        }
        Event::WorkLost(event) => outcomes::work_lost(state, event),
        Event::MergesHeld(event) => state.notices.held.clone_from(&event.at),
        Event::CommandRefused(event) => state.notices.refused(recorded, event),
        Event::AttemptNoted(_) => {}
    }
}

/// Folds an event of which only the envelope can be read: its text is lost, and nobody knows what
/// it changed. It pauses the run, so that a person looks and resumes before anything builds on the
/// rest.
pub fn pass_over(
    state: &mut State,
    sequence: Sequence,
    at: Timestamp,
    cause: CommandId,
    name: &str,
) {
    state.sequence = sequence;
    state.at = state.at.max(at);
    // A repeated command is executed again.
    state.remembered.note(cause, sequence);
    state.promote();
    state.paused = Some(format!(
        "the text of event {sequence} ({name}) is lost, so it is not known what it changed: check the features with `scheduler status`, and import again what is missing"
    ));
}
