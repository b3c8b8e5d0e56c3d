//! What is left to do, and whether it may start. The plan asks before it gives a command, and the
//! decision asks again.

use super::ids::Timestamp;
use super::settings::WorkerKind;
use super::state::{Feature, State};

/// Whether anything may start at all.
pub fn starts(state: &State, now: Timestamp) -> bool {
    may_start(state, now) && (!state.is_held_by_trouble(now) || planted!(TroubleIgnored))
}

/// The same, except for the machine's problems.
pub fn may_start(state: &State, now: Timestamp) -> bool {
    let limited = state.limited.as_ref();
    let limited = limited.is_some_and(|limited| limited.until > now);
    let paused = state.paused.is_some() && !planted!(PauseIgnored);
    let spent = state.budget_spent() && !planted!(BudgetIgnored);
    !paused && !limited && !spent
}

/// Whether there is work that a worker of this kind could start now or soon.
pub fn waits_for(state: &State, now: Timestamp, kind: WorkerKind) -> bool {
    let work = match kind {
        WorkerKind::Coding => state.ready_count() > 0 || state.delayed().next().is_some(),
        WorkerKind::Testing => final_tests_wait(state),
    };
    work && state.open_run().is_some() && starts(state, now)
}

/// Whether nothing is in progress, and the remaining work needs a worker.
pub fn nobody_at_work(state: &State, now: Timestamp) -> bool {
    let kinds = [WorkerKind::Coding, WorkerKind::Testing];
    let open = !state.attempts().is_empty() || state.open_merge().is_some();
    !open && kinds.iter().any(|&kind| waits_for(state, now, kind))
}

/// Passing features that are not verified at the head and can be, those longest unverified first.
pub fn unverified(state: &State) -> impl Iterator<Item = &Feature> {
    let older = state.indexes.proven.range(..(state.head_generation, 0));
    let features = older.filter_map(|&(_, slot)| state.in_slot(slot));
    features.filter(|feature| !feature.untestable())
}

/// Number of passing features that are not verified at the branch's head.
pub fn unverified_count(state: &State) -> u32 {
    u32::try_from(unverified(state).count()).unwrap_or(u32::MAX)
}

/// The sentence about them if no tests are wanted; `None` if there is nothing to say.
pub fn unverified_words(state: &State) -> Option<String> {
    let count = unverified_count(state);
    (state.settings.testing == 0 && count > 0).then(|| {
        let features = if count == 1 { "feature" } else { "features" };
        format!("{count} {features} not verified at the final commit (testing = 0)")
    })
}

/// True if the only thing left is to verify passing features at the final commit.
pub fn final_tests_wait(state: &State) -> bool {
    state.settings.testing > 0 && !coding_remains(state) && unverified(state).next().is_some()
}

/// True while features are being worked on or will be without a person's help.
pub fn coding_remains(state: &State) -> bool {
    state.open_attempts(WorkerKind::Coding) > 0
        || state.ready_count() > 0
        || state.delayed().next().is_some()
}

/// True if a problem is open, work is left, and nothing is in progress.
pub fn is_stuck(state: &State) -> bool {
    let idle = state.attempts().is_empty() && state.open_merge().is_none();
    state.troubled.is_some() && idle && (coding_remains(state) || final_tests_wait(state))
}
