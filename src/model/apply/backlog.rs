//! Facts about the backlog and from people.

use crate::model::event::{
    DependenciesSet, FeatureAdded, FeatureEdited, FeatureRemoved, FeatureSkipped, InputAnswered,
    InputRequested, RetryRequested,
};
use crate::model::feature::Status;
use crate::model::ids::Timestamp;
use crate::model::state::{Feature, State};

pub fn added(state: &mut State, event: &FeatureAdded) {
    if state.slot(event.feature).is_some() {
        return;
    }
    state.push(Feature {
        id: event.feature,
        spec: event.spec.clone(),
        ..Feature::default()
    });
}

pub fn edited(state: &mut State, event: &FeatureEdited) {
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    let Some(before) = state.in_slot(slot).map(|feature| feature.spec.clone()) else {
        return;
    };
    state.indexes.by_name.remove(&before.name);
    let name = event.spec.name.clone();
    state.indexes.by_name.insert(name, slot);
    state.indexes.ranks_stale |= before.category != event.spec.category;
    let proof_changed = before.checks != event.spec.checks;
    state.change(slot, |feature| {
        feature.spec = event.spec.clone();
        feature.spec.depends_on = before.depends_on;
        if proof_changed {
            // What it passed was another proof: it is to be tested again.
            feature.verified = 0;
            feature.inconclusive = 0;
        }
    });
}

pub fn dependencies_set(state: &mut State, event: &DependenciesSet) {
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.spec.depends_on = event.depends_on.clone()
    });
    state.depend(slot, &event.depends_on);
}

pub fn removed(state: &mut State, event: &FeatureRemoved) {
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    let dependents: Vec<u32> = state.graph().dependents(slot).to_vec();
    for dependent in dependents {
        let mut depends_on = Vec::new();
        state.change(dependent, |feature| {
            feature.spec.depends_on.retain(|&id| id != event.feature);
            depends_on.clone_from(&feature.spec.depends_on);
        });
        state.depend(dependent, &depends_on);
    }
    if let Some(feature) = state.in_slot(slot) {
        let name = feature.spec.name.clone();
        if state.indexes.by_name.get(&name) == Some(&slot) {
            state.indexes.by_name.remove(&name);
        }
    }
    state.change(slot, |feature| {
        feature.status = Status::Removed;
        feature.spec.depends_on.clear();
    });
    state.depend(slot, &[]);
}

pub fn skipped(state: &mut State, event: &FeatureSkipped) {
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.status = Status::Skipped;
        feature.skipped.clone_from(&event.reason);
    });
}

pub fn retry_requested(state: &mut State, event: &RetryRequested) {
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.failures = 0;
        feature.regressions = 0;
        feature.inconclusive = 0;
        feature.not_before = Timestamp(0);
        feature.question = None;
        if matches!(
            feature.status,
            Status::Parked | Status::Skipped | Status::NeedsInput
        ) {
            feature.status = feature.rest();
        }
    });
}

pub fn input_requested(state: &mut State, event: &InputRequested) {
    state.close_feature(event.attempt, event.feature);
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.question = Some(event.question.clone());
        feature.status = Status::NeedsInput;
    });
}

pub fn input_answered(state: &mut State, event: &InputAnswered) {
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        if let Some(question) = feature.question.take() {
            feature.answers.push((question, event.answer.clone()));
        }
        if feature.status == Status::NeedsInput {
            feature.status = feature.rest();
        }
    });
}
