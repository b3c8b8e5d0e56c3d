//! What starts during a problem, and when the run ends because of it.

use super::World;
use crate::model::clip::clip;
use crate::model::event::{RankTerms, RunOutcome};
use crate::model::evidence::FailureKind;
use crate::model::format;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::profile::ProfileName;
use crate::model::remaining::{
    coding_remains, final_tests_wait, is_of_setup, is_stuck, kind_of_rest, may_start,
};
use crate::model::state::State;
use crate::model::trouble::TroubleKind;

/// The message of the problem is a sentence or two; the reason must have room for what to do next.
const WORDS_BYTES_MAX: usize = 1_200;

/// Features that this profile may try now, as in `plan::candidates`. While a problem is open, those
/// that have not met it come first: if they get further, it is over for the rest.
pub fn candidates(
    state: &State,
    now: Timestamp,
    profile: &ProfileName,
    count: usize,
) -> (Vec<(FeatureId, RankTerms)>, u32) {
    let machine = state.troubled.as_ref().map(|trouble| &trouble.met);
    let provider = state.outage(profile).filter(|outage| outage.is_failure());
    let provider = provider.map(|outage| &outage.met);
    let met: Vec<FeatureId> = [machine, provider]
        .into_iter()
        .flatten()
        .flatten()
        .copied()
        .collect();
    let (mut best, total) = super::candidates(state, now, count + met.len());
    best.sort_by_key(|(id, _)| met.contains(id));
    best.truncate(count);
    (best, total)
}

/// True when only such a problem keeps the workers from their work.
pub fn holds(state: &State) -> bool {
    let work = coding_remains(state) || final_tests_wait(state);
    is_of_setup(state) && state.open_run().is_some() && work && may_start(state)
}

/// Milliseconds until the run ends because of a problem that has lasted for `waited_ms`; `None` if
/// it continues without a limit.
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
    let waited = format::duration(waited_ms);
    let (what, words, advice) = match &state.troubled {
        Some(trouble) => (
            "a problem of the machine has held up every attempt",
            sentence(&trouble.reason),
            trouble.kind.advice(),
        ),
        None => {
            let (words, advice) = failing(state)?;
            ("no agent has done any work", words, advice)
        }
    };
    let reason = format!(
        "stopped: {what} for {waited}: {words}. To continue, {advice}, then start `scheduler run` again"
    );
    Some((RunOutcome::WaitingForPerson, reason))
}

/// What each profile fails with, and what to do about the first.
fn failing(state: &State) -> Option<(String, &'static str)> {
    let profiles = state.profiles.of(kind_of_rest(state));
    let outages = profiles
        .iter()
        .filter_map(|it| Some((it, state.outage(it)?)));
    let outages: Vec<_> = outages.collect();
    let advice = outages.iter().find_map(|(_, outage)| match outage.kind {
        FailureKind::Trouble(kind) => Some(kind.advice()),
        _ => None,
    });
    let words = outages.iter().map(|(profile, outage)| {
        let words = sentence(&outage.reason);
        match outages.len() {
            1 => words,
            _ => format!("{profile}: {words}"),
        }
    });
    let words: Vec<String> = words.collect();
    let words = clip(&words.join("; "), WORDS_BYTES_MAX).to_owned();
    Some((words, advice.unwrap_or(TroubleKind::Provider.advice())))
}

fn sentence(reason: &str) -> String {
    clip(reason.trim(), WORDS_BYTES_MAX)
        .trim_end_matches('.')
        .to_owned()
}
