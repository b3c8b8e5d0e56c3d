//! What starts while the machine is in trouble, and when the run ends because of it.

use super::World;
use crate::model::clip::clip;
use crate::model::event::{RankTerms, RunOutcome};
use crate::model::format;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::remaining::{coding_remains, final_tests_wait, is_stuck, may_start};
use crate::model::state::State;

/// What went wrong is a sentence or two; what to do next must find its place in the reason.
const WORDS_BYTES_MAX: usize = 1_200;

/// Features that may be tried now, as `plan::candidates` has them. While a trouble is open, the
/// ones that have not met it come first: if they get further, it is over for the rest.
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
pub fn holds(state: &State, now: Timestamp) -> bool {
    let work = coding_remains(state) || final_tests_wait(state);
    state.troubled.is_some() && state.open_run().is_some() && work && may_start(state, now)
}

/// Milliseconds until the run ends because of a problem of the machine that has lasted for
/// `waited_ms`; `None` if it continues without a limit.
pub fn left_ms(state: &State, waited_ms: u64) -> Option<u64> {
    let limit = state.settings.worker_wait_ms;
    (limit > 0).then(|| limit.saturating_sub(waited_ms))
}

/// How the run is to end because of a trouble that does not, and why.
pub fn due(state: &State, world: &World) -> Option<(RunOutcome, String)> {
    let waited_ms = world.troubled_ms?;
    if left_ms(state, waited_ms) != Some(0) || !is_stuck(state) {
        return None;
    }
    let trouble = state.troubled.as_ref()?;
    let words = clip(trouble.reason.trim(), WORDS_BYTES_MAX);
    let (waited, advice) = (format::duration(waited_ms), trouble.kind.advice());
    let reason = format!(
        "stopped: a problem of the machine has held up every attempt for {waited}: {words}. To continue, {advice}, then start `scheduler run` again"
    );
    Some((RunOutcome::WaitingForPerson, reason))
}
