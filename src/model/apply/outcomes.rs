//! Events with the results of attempts.

use crate::model::event::{
    FeatureFailed, FeatureParked, FeaturePassed, HeadMoved, MergeAborted, MergeStarted, Recorded,
    RegressionFound, TestInconclusive, TestPassed, WorkLost,
};
use crate::model::evidence::{Failure, FailureKind};
use crate::model::feature::Status;
use crate::model::ids::Timestamp;
use crate::model::report::Verdict;
use crate::model::settings::WorkerKind;
use crate::model::state::{Broken, FAILURES_REMEMBERED, Feature, Merge, OpenMerge, State};

pub fn merge_started(state: &mut State, event: &MergeStarted) {
    state.judged(event.attempt);
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
    state.head_taken(&head);
    state.head = head;
    state.head_generation += 1;
    // The files that other people's commits touch are not known.
    state.files.touch_everything(state.head_generation);
}

pub fn passed(state: &mut State, recorded: &Recorded, event: &FeaturePassed) {
    let commit = state
        .merge
        .as_ref()
        .filter(|merge| merge.attempt == event.attempt);
    let commit = commit.map(|merge| merge.commit.clone());
    let files = merged(state, event);
    let Some(slot) = state.left(event.feature) else {
        state.close_feature(event.attempt, event.feature);
        return;
    };
    learn(state, recorded, event, slot);
    let verified = state.head_generation;
    state.close_feature(event.attempt, event.feature);
    state.change(slot, |feature| {
        feature.status = Status::Passing;
        feature.regressed = false;
        feature.failures = 0;
        feature.inconclusive = 0;
        feature.lost_streak = 0;
        feature.troubled = 0;
        feature.not_before = Timestamp(0);
        feature.passed = Some(recorded.sequence);
        if commit.is_some() {
            feature.merged = commit;
        }
        feature.basis = Some(event.evidence.basis);
        feature.verified = verified;
        feature.verified_at = recorded.at;
        feature.words.settle_question();
        feature.words.forget_failures();
        feature.owns(&files);
    });
    state.conclude(event.attempt, Verdict::Passed);
}

/// The first feature of a merge moves the head; the others passed with the same commit. Returns the
/// numbers of the files that the merge touched; `None` if nothing was merged.
fn merged(state: &mut State, event: &FeaturePassed) -> Vec<u32> {
    let Some(merge) = &state.merge else {
        return Vec::new();
    };
    if merge.attempt != event.attempt {
        return Vec::new();
    }
    if state.head != merge.commit {
        state.head.clone_from(&merge.commit);
        state.head_generation += 1;
        state.tally.merged += 1;
        state.merges.push(Merge {
            index: state.head_generation,
            feature: event.feature,
            commit: merge.commit.clone(),
        });
    }
    if merge.touched_total as usize > merge.touched.len() {
        state.files.touch_everything(state.head_generation);
    }
    state.files.touch(&merge.touched, state.head_generation)
}

/// A job of several features took its time for all of them.
fn learn(state: &mut State, recorded: &Recorded, event: &FeaturePassed, slot: u32) {
    let (Some(open), Some(feature)) = (
        state.attempts.get(&event.attempt),
        state.features.get(slot as usize),
    ) else {
        return;
    };
    let ran_ms = state.ran_ms(open.started, open.jumped_ms, recorded.at);
    // No attempt takes so long: the clock was set while no scheduler was watching.
    let ran_ms = ran_ms.min(state.settings.time_limit_ms.saturating_mul(2));
    let ms = ran_ms / (open.job.features.len().max(1) as u64);
    let changed = state.estimates.learn(&feature.spec.category, ms);
    state.indexes.ranks_stale |= changed;
}

impl Feature {
    /// Records files of a merge as this feature's own; those of earlier merges, too, because a
    /// repair touches only some of them.
    fn owns(&mut self, files: &[u32]) {
        self.files.extend_from_slice(files);
        self.files.sort_unstable();
        self.files.dedup();
        // The newest files have the greatest numbers.
        let extra = self.files.len().saturating_sub(MergeStarted::TOUCHED_MAX);
        self.files.drain(..extra);
        self.files.shrink_to_fit();
    }
}

fn remember(feature: &mut Feature, failure: &Failure) {
    if feature.words.recent_failures.len() >= FAILURES_REMEMBERED {
        feature.words.recent_failures.remove(0);
    }
    let kind = failure.kind.as_str();
    let text = format!("{kind}: {}", failure.reason);
    feature.words.recent_failures.push(text);
}

fn tally(state: &mut State, kind: FailureKind) {
    *state.tally.failures.entry(kind).or_default() += 1;
}

pub fn failed(state: &mut State, event: &FeatureFailed) {
    state.judged(event.attempt);
    tally(state, event.failure.kind);
    state.close_feature(event.attempt, event.feature);
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        if !planted!(RetryNotCounted) {
            feature.failures = feature.failures.saturating_add(1);
        }
        feature.lost_streak = 0;
        // What became its own failure by happening again and again is still its own the next time.
        if event.failure.kind != FailureKind::AgentCrashed {
            feature.troubled = 0;
        }
        feature.not_before = event.not_before;
        remember(feature, &event.failure);
    });
}

pub fn regression_found(state: &mut State, event: &RegressionFound) {
    state.tally.regressions += 1;
    state.close_feature(event.attempt, event.feature);
    state.conclude(event.attempt, Verdict::Passed);
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    state.change(slot, |feature| {
        feature.status = Status::Regressed;
        feature.regressed = true;
        feature.regressions = feature.regressions.saturating_add(1);
        feature.failures = 0;
        feature.lost_streak = 0;
        feature.troubled = 0;
        feature.not_before = Timestamp(0);
        remember(feature, &event.failure);
        let checks = event.failure.checks.iter().rev();
        feature.words.broken = Some(Broken {
            reason: event.failure.reason.clone(),
            check: checks.into_iter().find(|run| !run.end.passed()).cloned(),
            suspects: event.suspects.clone(),
        });
    });
}

pub fn work_lost(state: &mut State, event: &WorkLost) {
    let Some(slot) = state.left(event.feature) else {
        return;
    };
    let reason = format!(
        "its merge {} is no longer on the branch: somebody rewound or rewrote it",
        event.commit.short()
    );
    state.change(slot, |feature| {
        feature.status = Status::Regressed;
        feature.regressed = true;
        feature.merged = None;
        feature.not_before = Timestamp(0);
        // Not a failure: neither tries nor regressions are counted.
        feature.words.broken = Some(Broken {
            reason,
            check: None,
            suspects: Vec::new(),
        });
    });
}

pub fn test_passed(state: &mut State, recorded: &Recorded, event: &TestPassed) {
    state.tally.tests_passed += 1;
    let attempt = state.attempts.get(&event.attempt);
    let tested = attempt.map(|open| open.job.base_index);
    if state.starts_agent(WorkerKind::Testing, &[event.feature]) {
        state.judged(event.attempt);
    }
    state.close_feature(event.attempt, event.feature);
    state.conclude(event.attempt, Verdict::Passed);
    let (Some(slot), Some(tested)) = (state.left(event.feature), tested) else {
        return;
    };
    state.change(slot, |feature| {
        feature.verified = feature.verified.max(tested);
        feature.verified_at = recorded.at;
        feature.inconclusive = 0;
        feature.lost_streak = 0;
        feature.troubled = 0;
    });
}

pub fn test_inconclusive(state: &mut State, event: &TestInconclusive) {
    tally(state, event.failure.kind);
    state.close_feature(event.attempt, event.feature);
    if let Some(slot) = state.left(event.feature) {
        state.change(slot, |feature| {
            feature.inconclusive = feature.inconclusive.saturating_add(1);
            feature.lost_streak = 0;
            feature.troubled = 0;
        });
    }
}

pub fn parked(state: &mut State, event: &FeatureParked) {
    if let Some(slot) = state.left(event.feature) {
        state.change(slot, |feature| feature.status = Status::Parked);
    }
}
