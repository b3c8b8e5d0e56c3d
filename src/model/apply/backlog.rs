//! Events of the backlog and of people.

use crate::model::actor::Actor;
use crate::model::event::{
    DependenciesSet, FeatureAdded, FeatureEdited, FeatureRemoved, FeatureSkipped, InputAnswered,
    InputRequested, RetryRequested,
};
use crate::model::feature::Status;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::state::{Feature, State};

pub fn added(state: &mut State, event: &FeatureAdded) {
    if state.slot(event.feature).is_some() || event.feature.0 > FeatureId::MAX {
        return;
    }
    let mut spec = event.spec.clone();
    spec.depends_on = state.known(event.feature, spec.depends_on);
    state.push(Feature {
        id: event.feature,
        spec,
        ..Feature::default()
    });
}

pub fn edited(state: &mut State, event: &FeatureEdited) {
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    let Some(feature) = state.features.get(slot as usize) else {
        return;
    };
    let moved = feature.spec.category != event.spec.category;
    let same_proof = feature.spec.proven_by_the_same(&event.spec);
    state.indexes.names.remove(&feature.spec.name, slot);
    state.indexes.names.insert(&event.spec.name, slot);
    state.indexes.ranks_stale |= moved;
    state.change(slot, |feature| {
        let depends_on = std::mem::take(&mut feature.spec.depends_on);
        feature.spec = event.spec.clone();
        feature.spec.depends_on = depends_on;
        if !same_proof {
            // It passed with another proof, so it must be tested again.
            feature.verified = 0;
            feature.inconclusive = 0;
        }
    });
}

pub fn dependencies_set(state: &mut State, event: &DependenciesSet) {
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    let depends_on = state.known(event.feature, event.depends_on.clone());
    state.depend(slot, &depends_on);
    state.change(slot, |feature| feature.spec.depends_on = depends_on);
}

pub fn removed(state: &mut State, event: &FeatureRemoved) {
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    for dependent in state.isolate(slot) {
        state.change(dependent, |feature| {
            feature.spec.depends_on.retain(|&id| id != event.feature);
        });
    }
    if let Some(feature) = state.features.get(slot as usize) {
        state.indexes.names.remove(&feature.spec.name, slot);
    }
    state.change(slot, |feature| {
        feature.status = Status::Removed;
        feature.spec.depends_on.clear();
    });
}

impl State {
    /// The slot of a feature that is in the backlog. An event about a removed feature changes
    /// nothing, or the feature would come back.
    pub(super) fn left(&self, id: FeatureId) -> Option<u32> {
        let slot = self.slot(id)?;
        let feature = self.in_slot(slot)?;
        (feature.status != Status::Removed).then_some(slot)
    }

    /// Those of `depends_on` that `feature` can wait for, each once: the spec and the graph must
    /// agree.
    fn known(&self, feature: FeatureId, mut depends_on: Vec<FeatureId>) -> Vec<FeatureId> {
        depends_on.retain(|&id| id != feature && self.left(id).is_some());
        depends_on.sort_unstable();
        depends_on.dedup();
        depends_on
    }
}

pub fn skipped(state: &mut State, actor: &Actor, event: &FeatureSkipped) {
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.status = Status::Skipped;
        feature.words.settle_question();
        feature.words.skipped = actor.signed(&event.reason);
    });
}

pub fn retry_requested(state: &mut State, event: &RetryRequested) {
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.failures = 0;
        feature.regressions = 0;
        feature.inconclusive = 0;
        feature.lost_streak = 0;
        feature.troubled = 0;
        feature.not_before = Timestamp(0);
        feature.words.settle_question();
        if matches!(
            feature.status,
            Status::Parked | Status::Skipped | Status::NeedsInput
        ) {
            feature.status = feature.rest();
        }
    });
}

pub fn input_requested(state: &mut State, event: &InputRequested) {
    state.judged(event.attempt);
    state.close_feature(event.attempt, event.feature);
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.words.question = Some(event.question.clone());
        feature.status = Status::NeedsInput;
    });
}

pub fn input_answered(state: &mut State, event: &InputAnswered) {
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        if let Some(question) = feature.words.question.clone() {
            feature.words.settle_question();
            feature.words.answers.push((question, event.answer.clone()));
        }
        if feature.status == Status::NeedsInput {
            feature.status = feature.rest();
        }
    });
}
