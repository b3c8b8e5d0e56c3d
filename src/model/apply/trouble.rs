//! Events of the machine's problems, and of profiles that cannot be used.

use crate::model::event::{
    CrewRecovered, CrewTroubled, ProfileRecovered, ProviderLimited, Recorded,
};
use crate::model::ids::{AttemptId, FeatureId};
use crate::model::state::{Outage, State, Troubled};
use crate::model::trouble::MET_MAX;

pub fn troubled(state: &mut State, recorded: &Recorded, event: &CrewTroubled) {
    let features = excuse(state, event.attempt);
    let before = state.troubled.take();
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
                .saturating_add(1),
            met: before.map(|before| before.met).unwrap_or_default(),
        },
    };
    meet(&mut trouble.met, features);
    state.troubled = Some(trouble);
}

/// No feature is to blame for how this attempt ends. Its features without an outcome.
fn excuse(state: &mut State, attempt: AttemptId) -> Vec<FeatureId> {
    let Some(open) = state.attempts.get_mut(&attempt) else {
        return Vec::new();
    };
    open.excused = true;
    open.remaining.clone()
}

fn meet(met: &mut Vec<FeatureId>, features: Vec<FeatureId>) {
    for feature in features {
        if met.len() < MET_MAX && !met.contains(&feature) {
            met.push(feature);
        }
    }
}

pub fn limited(state: &mut State, recorded: &Recorded, event: &ProviderLimited) {
    let features = excuse(state, event.attempt);
    let open = state.attempts.get(&event.attempt);
    let answered = open.is_some_and(|open| open.answered);
    let breaker = state.breakers.entry(event.profile.clone()).or_default();
    let before = breaker.outage.take();
    let mut outage = match before {
        // One that was in progress at the refusal met the same one; the longer wait holds.
        Some(before) if !before.is_probe(event.attempt) && before.until >= event.until => before,
        Some(before) if !before.is_probe(event.attempt) => Outage {
            until: event.until,
            kind: event.kind,
            reason: event.reason.clone(),
            ..before
        },
        before => {
            breaker.streak = breaker.streak.saturating_add(1);
            Outage {
                until: event.until,
                since: recorded.sequence,
                began: before.as_ref().map_or(recorded.at, |before| before.began),
                kind: event.kind,
                reason: event.reason.clone(),
                met: before.map(|before| before.met).unwrap_or_default(),
            }
        }
    };
    let fails = outage.is_failure();
    meet(&mut outage.met, features.clone());
    breaker.outage = Some(outage);
    if answered && fails {
        // The provider worked for it: perhaps it is the feature's own, if that happens often.
        for feature in features {
            count(state, feature);
        }
    }
}

fn count(state: &mut State, feature: FeatureId) {
    if let Some(slot) = state.left(feature) {
        state.change(slot, |feature| {
            feature.troubled = feature.troubled.saturating_add(1);
        });
    }
}

pub fn recovered(state: &mut State, recorded: &Recorded, event: &CrewRecovered) {
    let probes = |trouble: &mut Troubled| trouble.is_probe(event.attempt);
    if let Some(trouble) = state.troubled.take_if(probes) {
        put_back_alone(state, recorded, event.attempt, &trouble.met);
    }
}

pub fn profile_recovered(state: &mut State, recorded: &Recorded, event: &ProfileRecovered) {
    if let Some(open) = state.attempts.get_mut(&event.attempt) {
        open.answered = true;
    }
    if let Some(run) = &mut state.run {
        run.worked.insert(event.profile.clone());
    }
    // A refusal that only a person can settle stays, whatever an attempt got to.
    let over = |outage: &mut Outage| outage.is_probe(event.attempt) && outage.ends();
    let breaker = state.breakers.get_mut(&event.profile);
    let outage = breaker.and_then(|breaker| breaker.outage.take_if(over));
    if let Some(outage) = outage.filter(Outage::is_failure) {
        put_back_alone(state, recorded, event.attempt, &outage.met);
    }
}

/// One feature alone met a problem, and another gets further: perhaps it is the feature's own. Lets
/// others go first for a while, longer each time.
fn put_back_alone(state: &mut State, recorded: &Recorded, attempt: AttemptId, met: &[FeatureId]) {
    let open = state.attempts.get(&attempt);
    let by = open.map(|open| open.job.features.clone());
    let [alone] = met else {
        return;
    };
    if by.unwrap_or_default().contains(alone) {
        return;
    }
    let Some(slot) = state.left(*alone) else {
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
