//! Chooses what to test next.

use super::{Entropy, World, idle};
use crate::model::command::Command;
use crate::model::event::TestTerms;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::load::Load;
use crate::model::remaining::{coding_remains, unverified};
use crate::model::settings::WorkerKind;
use crate::model::state::State;

/// Passing features that are considered for one draw. A sample, so that a draw costs the same in a
/// backlog of a hundred and of a hundred thousand.
const SAMPLE: usize = 16;

pub fn testing(
    state: &State,
    now: Timestamp,
    world: &World,
    entropy: &mut dyn Entropy,
) -> Option<Command> {
    if state.open_attempts(WorkerKind::Testing) >= state.settings.testing {
        return None;
    }
    let last = !coding_remains(state);
    let agent = world.agent(state, now, WorkerKind::Testing);
    let needs = |ids: &[FeatureId]| state.starts_agent(WorkerKind::Testing, ids);
    let fits = |id: FeatureId| agent.is_some() || !needs(&[id]);
    let profile = |ids: &[FeatureId]| agent.clone().filter(|_| needs(ids));
    let tester = idle(state, now, world, WorkerKind::Testing);
    // When nothing is left to code, any worker verifies: a run of coding workers alone ends
    // verified as well, and nobody waits for a testing worker that nobody started.
    let coder = || idle(state, now, world, WorkerKind::Coding);
    let worker = match last {
        true => tester.or_else(coder)?,
        false => tester?,
    };
    let batch = state.settings.batch_size as usize;
    if last {
        let mut load = Load::default();
        let features: Vec<FeatureId> = unverified(state)
            .filter(|feature| feature.attempts.is_empty() && fits(feature.id))
            .take(batch)
            .take_while(|feature| load.add(&feature.spec))
            .map(|feature| feature.id)
            .collect();
        let terms = terms(state, now, *features.first()?);
        return Some(Command::AssignTest {
            worker,
            profile: profile(&features),
            features,
            last,
            draw: 0,
            terms,
            runners_up: Vec::new(),
        });
    }
    let mut sample = sample(state, now, entropy);
    sample.retain(|&(id, _)| fits(id));
    let total: u64 = sample.iter().map(|(_, terms)| terms.weight).sum();
    let draw = entropy.next() % total.max(1);
    let (first, terms) = drawn(&sample, draw)?;
    Some(Command::AssignTest {
        worker,
        profile: profile(&[first]),
        features: vec![first],
        last,
        draw,
        terms,
        runners_up: sample.into_iter().filter(|(id, _)| *id != first).collect(),
    })
}

fn sample(state: &State, now: Timestamp, entropy: &mut dyn Entropy) -> Vec<(FeatureId, TestTerms)> {
    let passing = &state.indexes.passing;
    let slots: Vec<u32> = if passing.len() <= SAMPLE {
        passing.clone()
    } else {
        let draw = |_| entropy.next() % passing.len() as u64;
        let places = (0..SAMPLE).map(draw).collect::<Vec<_>>();
        let slots = places.iter().filter_map(|&at| passing.get(at as usize));
        slots.copied().collect()
    };
    let mut ids: Vec<FeatureId> = slots
        .iter()
        .filter_map(|&slot| state.in_slot(slot))
        .filter(|feature| feature.verified < state.head_generation)
        .filter(|feature| !feature.untestable())
        .map(|feature| feature.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        // Everything in the draw is verified at the head, so the unverified ones follow.
        ids.extend(unverified(state).map(|feature| feature.id).take(1));
    }
    let with_terms = |id| (id, terms(state, now, id));
    ids.into_iter().map(with_terms).collect()
}

fn drawn(sample: &[(FeatureId, TestTerms)], draw: u64) -> Option<(FeatureId, TestTerms)> {
    let mut below = 0;
    sample.iter().copied().find(|(_, terms)| {
        below += terms.weight;
        draw < below
    })
}

/// The weight of a passing feature: mostly the merges that touched its files since it was last
/// verified, then the features that depend on it, then the time.
fn terms(state: &State, now: Timestamp, id: FeatureId) -> TestTerms {
    let Some((slot, feature)) = state.slot(id).zip(state.feature(id)) else {
        return TestTerms::default();
    };
    let touched_since = state.files.touched_since(&feature.files, feature.verified);
    let dependents = state.indexes.unblocks(slot);
    let untested_ms = now.since_ms(feature.verified_at);
    let minutes = untested_ms / 60_000;
    let weight = 1
        + 20 * u64::from(touched_since.min(25))
        + 2 * u64::from(dependents.min(50))
        + minutes.min(240);
    TestTerms {
        touched_since,
        dependents,
        untested_ms,
        weight,
    }
}
