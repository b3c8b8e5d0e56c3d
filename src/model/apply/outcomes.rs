//! Facts about what attempts came to.

use crate::model::event::{
    FeatureFailed, FeatureParked, FeaturePassed, HeadMoved, MergeAborted, MergeStarted, Recorded,
    RegressionFound, TestInconclusive, TestPassed,
};
use crate::model::evidence::{Failure, FailureKind};
use crate::model::feature::Status;
use crate::model::ids::Timestamp;
use crate::model::report::Verdict;
use crate::model::state::{FAILURES_REMEMBERED, Feature, Merge, OpenMerge, State};

pub fn merge_started(state: &mut State, event: &MergeStarted) {
    state.merge = Some(OpenMerge {
        attempt: event.attempt,
        onto: event.onto.clone(),
        commit: event.commit.clone(),
        touched: event.touched.clone(),
        touched_total: event.touched_total,
        evidence: event.evidence.clone(),
    });
}

pub fn merge_aborted(state: &mut State, event: &MergeAborted) {
    state.merge = None;
    moved(state, event.head.clone());
}

pub fn head_moved(state: &mut State, event: &HeadMoved) {
    moved(state, event.head.clone());
}

fn moved(state: &mut State, head: crate::model::ids::CommitId) {
    if state.head == head {
        return;
    }
    state.head = head;
    state.head_index += 1;
    // Nobody said which files somebody else's commits touch.
    state.files.touch_everything(state.head_index);
}

pub fn passed(state: &mut State, recorded: &Recorded, event: &FeaturePassed) {
    let merge = state.merge.clone();
    let merge = merge.filter(|merge| merge.attempt == event.attempt);
    let mut files = Vec::new();
    if let Some(merge) = &merge {
        // The first feature of a merge moves the head; the others passed by the same commit.
        if state.head != merge.commit {
            state.head = merge.commit.clone();
            state.head_index += 1;
            state.tally.merged += 1;
            state.merges.push(Merge {
                index: state.head_index,
                feature: event.feature,
                commit: merge.commit.clone(),
            });
        }
        files = state.files.touch(&merge.touched, state.head_index);
        if merge.touched_total as usize > merge.touched.len() {
            state.files.touch_everything(state.head_index);
        }
    }
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    let started = state.attempts.get(&event.attempt).map(|open| open.started);
    let verified = state.head_index;
    state.close_feature(event.attempt, event.feature);
    state.change(slot, |feature| {
        feature.status = Status::Passing;
        feature.regressed = false;
        feature.failures = 0;
        feature.inconclusive = 0;
        feature.not_before = Timestamp(0);
        feature.passed = Some(recorded.sequence);
        feature.basis = Some(event.evidence.basis);
        feature.verified = verified;
        feature.verified_at = recorded.at;
        feature.question = None;
        feature.recent_failures.clear();
        if merge.is_some() {
            feature.files = files;
        }
    });
    state.limited = None;
    state.conclude(event.attempt, Verdict::Passed);
    let category = state
        .in_slot(slot)
        .map(|feature| feature.spec.category.clone());
    if let (Some(category), Some(started)) = (category, started) {
        let changed = state
            .estimates
            .learn(&category, recorded.at.since_ms(started));
        state.indexes.ranks_stale |= changed;
    }
}

fn remember(feature: &mut Feature, failure: &Failure) {
    if feature.recent_failures.len() >= FAILURES_REMEMBERED {
        feature.recent_failures.remove(0);
    }
    let kind = failure.kind.word();
    let text = format!("{kind}: {}", failure.reason);
    feature.recent_failures.push(text);
}

fn tally(state: &mut State, kind: FailureKind) {
    *state.tally.failures.entry(kind).or_default() += 1;
}

pub fn failed(state: &mut State, event: &FeatureFailed) {
    tally(state, event.failure.kind);
    state.close_feature(event.attempt, event.feature);
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.failures += 1;
        feature.not_before = event.not_before;
        remember(feature, &event.failure);
    });
}

pub fn regression_found(state: &mut State, event: &RegressionFound) {
    state.tally.regressions += 1;
    state.close_feature(event.attempt, event.feature);
    state.conclude(event.attempt, Verdict::Passed);
    let Some(slot) = state.slot(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.status = Status::Regressed;
        feature.regressed = true;
        feature.regressions += 1;
        feature.failures = 0;
        remember(feature, &event.failure);
    });
}

pub fn test_passed(state: &mut State, recorded: &Recorded, event: &TestPassed) {
    state.tally.tests_passed += 1;
    let attempt = state.attempts.get(&event.attempt);
    let tested = attempt.map(|open| open.job.base_index);
    state.close_feature(event.attempt, event.feature);
    state.conclude(event.attempt, Verdict::Passed);
    let (Some(slot), Some(tested)) = (state.slot(event.feature), tested) else {
        return;
    };
    state.change(slot, |feature| {
        feature.verified = feature.verified.max(tested);
        feature.verified_at = recorded.at;
        feature.inconclusive = 0;
    });
}

pub fn test_inconclusive(state: &mut State, event: &TestInconclusive) {
    tally(state, event.failure.kind);
    state.close_feature(event.attempt, event.feature);
    if let Some(slot) = state.slot(event.feature) {
        state.change(slot, |feature| feature.inconclusive += 1);
    }
}

pub fn parked(state: &mut State, event: &FeatureParked) {
    if let Some(slot) = state.slot(event.feature) {
        state.change(slot, |feature| feature.status = Status::Parked);
    }
}
