//! Events of the machine's problems.

use crate::model::event::{CrewRecovered, CrewTroubled, Recorded};
use crate::model::ids::FeatureId;
use crate::model::state::{Limited, State, Troubled};
use crate::model::trouble::{MET_MAX, TroubleKind};

pub fn troubled(state: &mut State, recorded: &Recorded, event: &CrewTroubled) {
    let (features, answered) = match state.attempts.get_mut(&event.attempt) {
        Some(open) => {
            open.excused = true;
            (open.remaining.clone(), open.answered)
        }
        None => (Vec::new(), false),
    };
    let provider = event.kind == TroubleKind::Provider;
    if provider && answered {
        // The provider worked for it: perhaps it is the feature's own, if that happens often.
        for &feature in &features {
            count(state, feature);
        }
    }
    let before = state.troubled.take();
    let known = if provider { state.provider_streak } else { 0 };
    let mut trouble = match before {
        // One that was in progress when the problem occurred reports the same thing again.
        Some(before) if !before.is_probe(event.attempt) => before,
        before => Troubled {
            kind: event.kind,
            stage: event.stage,
            reason: event.reason.clone(),
            began: before.as_ref().map_or(recorded.at, |before| before.began),
            until: event.until,
            since: recorded.sequence,
            streak: before
                .as_ref()
                .map_or(0, |before| before.streak)
                .max(known)
                .saturating_add(1),
            met: before.map(|before| before.met).unwrap_or_default(),
        },
    };
    for feature in features {
        if trouble.met.len() < MET_MAX && !trouble.met.contains(&feature) {
            trouble.met.push(feature);
        }
    }
    if provider {
        state.provider_streak = trouble.streak;
    }
    state.troubled = Some(trouble);
}

fn count(state: &mut State, feature: FeatureId) {
    if let Some(slot) = state.left(feature) {
        state.change(slot, |feature| {
            feature.troubled = feature.troubled.saturating_add(1);
        });
    }
}

pub fn recovered(state: &mut State, recorded: &Recorded, event: &CrewRecovered) {
    if let Some(open) = state.attempts.get_mut(&event.attempt) {
        open.answered = true;
    }
    // A refusal that only a person can settle stays, whatever an attempt got to.
    let over = |limited: &mut Limited| limited.is_probe(event.attempt) && limited.ends();
    state.limited.take_if(over);
    let probes = |trouble: &mut Troubled| trouble.is_probe(event.attempt);
    let Some(trouble) = state.troubled.take_if(probes) else {
        return;
    };
    let open = state.attempts.get(&event.attempt);
    let by = open
        .map(|open| open.job.features.clone())
        .unwrap_or_default();
    // One feature alone met it, and another gets further: perhaps it is the feature's own.
    if let [alone] = trouble.met.as_slice()
        && !by.contains(alone)
    {
        put_back(state, recorded, *alone);
    }
}

/// Lets others go first for a while, longer each time.
fn put_back(state: &mut State, recorded: &Recorded, feature: FeatureId) {
    let Some(slot) = state.left(feature) else {
        return;
    };
    let before = state.features.get(slot as usize);
    let before = before.map_or(0, |feature| feature.troubled);
    let not_before = recorded.at.plus_ms(state.settings.backoff_ms(before, 0));
    state.change(slot, |feature| {
        feature.troubled = feature.troubled.saturating_add(1);
        feature.not_before = feature.not_before.max(not_before);
    });
}
