//! Events of workers and their attempts.

use crate::model::event::{
    AttemptLost, AttemptReleased, AttemptStarted, FeatureAssigned, JobCancelled, Recorded,
    TestAssigned, UsageRecorded, WorkerJoined, WorkerLeft,
};
use crate::model::evidence::Usage;
use crate::model::feature::Status;
use crate::model::ids::{AttemptId, FeatureId, JobId, Sequence, Timestamp, WorkerId};
use crate::model::profile::ProfileName;
use crate::model::report::Verdict;
use crate::model::settings::WorkerKind;
use crate::model::state::{Attempt, CLOSED_MAX, Closed, Job, State, Worker};

pub fn assigned(state: &mut State, sequence: Sequence, event: &FeatureAssigned) {
    state.unstarted = Some(Job {
        id: JobId(sequence.0),
        worker: event.worker,
        kind: WorkerKind::Coding,
        features: event.features.clone(),
        base: event.base.clone(),
        base_index: state.head_generation,
        attempt_number: event.attempt_number,
        last: false,
    });
}

pub fn test_assigned(state: &mut State, sequence: Sequence, event: &TestAssigned) {
    state.unstarted = Some(Job {
        id: JobId(sequence.0),
        worker: event.worker,
        kind: WorkerKind::Testing,
        features: event.features.clone(),
        base: event.base.clone(),
        base_index: state.head_generation,
        attempt_number: 1,
        last: event.last,
    });
}

pub fn started(state: &mut State, recorded: &Recorded, event: &AttemptStarted) {
    let Some(job) = state.unstarted.take_if(|job| job.id == event.job) else {
        return;
    };
    let id = AttemptId(recorded.sequence.0);
    let coding = job.kind == WorkerKind::Coding;
    if coding {
        state.tally.coding += 1;
    } else {
        state.tally.testing += 1;
    }
    for &feature in &job.features {
        let Some(slot) = state.left(feature) else {
            continue;
        };
        state.change(slot, |feature| {
            feature.attempts.push(id);
            if coding {
                feature.tries += 1;
                feature.status = Status::Running;
            }
        });
    }
    if let Some(worker) = state.workers.get_mut(&event.worker) {
        worker.attempt = Some(id);
    }
    let agent = state.starts_agent(job.kind, &job.features);
    let unnamed = || agent.then(ProfileName::unnamed);
    let attempt = Attempt {
        profile: event.profile.clone().or_else(unnamed),
        started: recorded.at,
        jumped_ms: state.jumped_ms,
        remaining: job.features.clone(),
        cancelled: None,
        excused: false,
        answered: false,
        used: Default::default(),
        job,
    };
    state.attempts.insert(id, attempt);
}

pub fn cancelled(state: &mut State, event: &JobCancelled) {
    if let Some(attempt) = state.attempts.get_mut(&event.attempt) {
        attempt.cancelled = Some(event.reason.clone());
    }
}

pub fn released(state: &mut State, recorded: &Recorded, event: &AttemptReleased) {
    let Some(open) = state.attempts.get(&event.attempt) else {
        return;
    };
    state.tally.released += 1;
    if open.is_given_back() {
        if let Some(worker) = state.workers.get_mut(&open.job.worker) {
            worker.give_backs = worker.give_backs.saturating_add(1);
            worker.gave_back_at = recorded.at;
        }
        count_lost(state, event.attempt);
    }
    state.close_attempt(event.attempt);
}

/// This attempt had no result, through no fault of the agent.
fn count_lost(state: &mut State, attempt: AttemptId) {
    let open = state.attempts.get(&attempt);
    let remaining = open.map(|open| open.remaining.clone()).unwrap_or_default();
    for feature in remaining {
        if let Some(slot) = state.left(feature) {
            state.change(slot, |feature| {
                feature.lost_streak = feature.lost_streak.saturating_add(1)
            });
        }
    }
}

pub fn lost(state: &mut State, event: &AttemptLost) {
    if !state.attempts.contains_key(&event.attempt) {
        return;
    }
    state.tally.lost += 1;
    count_lost(state, event.attempt);
    state.close_attempt(event.attempt);
    state.conclude(event.attempt, Verdict::Late);
}

pub fn usage_recorded(state: &mut State, event: &UsageRecorded) {
    state.spent = state.spent.plus(event.usage);
    if let Some(run) = &mut state.run {
        run.spent = run.spent.plus(event.usage);
    }
    if let Some(attempt) = state.attempts.get_mut(&event.attempt) {
        attempt.used = attempt.used.plus(event.usage);
    } else if let Some(closed) = state.closed.get_mut(&event.attempt) {
        closed.used = closed.used.plus(event.usage);
    }
}

pub fn worker_joined(state: &mut State, sequence: Sequence, event: &WorkerJoined) {
    *state.tally.joined.entry(event.kind).or_default() += 1;
    let worker = Worker {
        kind: event.kind,
        name: event.name.clone(),
        process: event.process.clone(),
        attempt: None,
        give_backs: 0,
        gave_back_at: Timestamp(0),
    };
    state.workers.insert(WorkerId(sequence.0), worker);
}

pub fn worker_left(state: &mut State, event: &WorkerLeft) {
    state.workers.remove(&event.worker);
}

impl State {
    /// An attempt's outcome for one feature is known; the attempt ends with its last feature.
    pub(super) fn close_feature(&mut self, attempt: AttemptId, feature: FeatureId) {
        let Some(open) = self.attempts.get_mut(&attempt) else {
            return;
        };
        open.remaining.retain(|&id| id != feature);
        let (kind, over) = (open.job.kind, open.remaining.is_empty());
        if let Some(worker) = self.workers.get_mut(&open.job.worker) {
            worker.give_backs = 0;
        }
        self.leave_feature(attempt, kind, feature);
        if over {
            self.close_attempt(attempt);
        }
    }

    /// Ends an attempt; features without an outcome return to their earlier status.
    pub(super) fn close_attempt(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.remove(&id) else {
            return;
        };
        for &feature in &attempt.remaining {
            self.leave_feature(id, attempt.job.kind, feature);
        }
        let verdict = self.closed.get(&id).map(|closed| closed.verdict);
        self.close(id, verdict.unwrap_or(Verdict::Recorded), attempt.used);
        if let Some(worker) = self.workers.get_mut(&attempt.job.worker)
            && worker.attempt == Some(id)
        {
            worker.attempt = None;
        }
        // The scheduler that would have answered has ended, so the question is settled before this
        // event.
        if self.merge.as_ref().is_some_and(|merge| merge.attempt == id) {
            self.merge = None;
        }
    }

    /// Records the result of an attempt, for a repeated report.
    pub(super) fn conclude(&mut self, attempt: AttemptId, verdict: Verdict) {
        let used = self.used(attempt).unwrap_or_default();
        self.close(attempt, verdict, used);
    }

    fn close(&mut self, attempt: AttemptId, verdict: Verdict, used: Usage) {
        self.closed.insert(attempt, Closed { verdict, used });
        if self.closed.len() > CLOSED_MAX {
            self.closed.pop_first();
        }
    }

    /// A test that ends leaves the feature as it is: another attempt may be working on it by now.
    fn leave_feature(&mut self, attempt: AttemptId, kind: WorkerKind, feature: FeatureId) {
        let Some(slot) = self.slot(feature) else {
            return;
        };
        let coding = kind == WorkerKind::Coding;
        self.change(slot, |feature| {
            let before = feature.attempts.len();
            feature.attempts.retain(|&id| id != attempt);
            if feature.attempts.is_empty() {
                feature.attempts = Vec::new();
            }
            let held = feature.attempts.len() < before;
            if held && coding && feature.status == Status::Running {
                feature.status = feature.rest();
            }
        });
    }
}
