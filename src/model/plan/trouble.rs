//! What starts during a problem of the machine, and when the run ends because of it.

use super::World;
use crate::model::clip::clip;
use crate::model::event::{RankTerms, RunOutcome};
use crate::model::format;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::remaining::{
    coding_remains, final_tests_wait, is_of_machine, is_stuck, may_start,
};
use crate::model::state::State;
use crate::model::trouble::TroubleKind;

/// The message of the problem is a sentence or two; the reason must have room for what to do next.
const WORDS_BYTES_MAX: usize = 1_200;

/// Features that may be tried now, as in `plan::candidates`. While a problem is open, those that
/// have not met it come first: if they get further, it is over for the rest.
pub fn candidates(
    state: &State,
    now: Timestamp,
    count: usize,
) -> (Vec<(FeatureId, RankTerms)>, u32) {
    let Some(trouble) = &state.troubled else {
        return super::candidates(state, now, count);
    };
    let (mut best, total) = super::candidates(state, now, count + trouble.met.len());
    best.sort_by_key(|(id, _)| trouble.met.contains(id));
    best.truncate(count);
    (best, total)
}

/// True when only the open trouble keeps the workers from its work.
pub fn holds(state: &State) -> bool {
    let work = coding_remains(state) || final_tests_wait(state);
    is_of_machine(state) && state.open_run().is_some() && work && may_start(state)
}

/// Milliseconds until the run ends because of a problem of the machine that has lasted for
/// `waited_ms`; `None` if it continues without a limit.
pub fn left_ms(state: &State, waited_ms: u64) -> Option<u64> {
    let limit = state.settings.worker_wait_ms;
    (limit > 0).then(|| limit.saturating_sub(waited_ms))
}

/// The outcome and reason of a run that ends because a problem persists.
pub fn due(state: &State, world: &World) -> Option<(RunOutcome, String)> {
    let waited_ms = world.troubled_ms?;
    if left_ms(state, waited_ms) != Some(0) || !is_stuck(state) {
        return None;
    }
    let trouble = state.troubled.as_ref()?;
    let words = clip(trouble.reason.trim(), WORDS_BYTES_MAX).trim_end_matches('.');
    let (waited, advice) = (format::duration(waited_ms), trouble.kind.advice());
    let what = match trouble.kind {
        TroubleKind::Provider => "no agent has done any work",
        _ => "a problem of the machine has held up every attempt",
    };
    let reason = format!(
        "stopped: {what} for {waited}: {words}. To continue, {advice}, then start `scheduler run` again"
    );
    Some((RunOutcome::WaitingForPerson, reason))
}
