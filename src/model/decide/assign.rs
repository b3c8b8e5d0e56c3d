//! Giving jobs to workers. The plan chose; here it is checked that the choice still fits.

use crate::model::command::Rejection;
use crate::model::event::{
    AttemptStarted, Event, FeatureAssigned, RankTerms, TestAssigned, TestTerms,
};
use crate::model::feature::Status;
use crate::model::ids::{FeatureId, JobId, Timestamp, WorkerId};
use crate::model::settings::WorkerKind;
use crate::model::state::State;

/// Runners-up that are worth keeping for "why not this one?".
pub const RUNNERS_UP_MAX: usize = 5;

fn stale(why: &str) -> Rejection {
    Rejection::Stale(why.to_owned())
}

fn idle(state: &State, id: WorkerId, kind: WorkerKind, limit: u32) -> Result<(), Rejection> {
    state.open_run().ok_or(Rejection::NoRun)?;
    let worker = state.workers.get(&id);
    let worker = worker.ok_or_else(|| stale("the worker is gone"))?;
    if worker.kind != kind {
        return Err(stale("the worker takes other jobs"));
    }
    if worker.attempt.is_some() {
        return Err(stale("the worker has a job"));
    }
    if state.paused.is_some() {
        return Err(stale("the run is paused"));
    }
    if state.budget_spent() {
        return Err(stale("the budget is spent"));
    }
    if state.open_attempts(kind) >= limit {
        return Err(stale("as many attempts as allowed are open"));
    }
    Ok(())
}

pub fn coding(
    state: &State,
    now: Timestamp,
    worker: WorkerId,
    features: &[FeatureId],
    terms: RankTerms,
    runners_up: &[(FeatureId, RankTerms)],
    ready: u32,
) -> Result<Vec<Event>, Rejection> {
    idle(
        state,
        worker,
        WorkerKind::Coding,
        state.settings.max_concurrency,
    )?;
    for &id in features {
        let feature = state.feature(id).ok_or(Rejection::UnknownFeature(id))?;
        let workable = matches!(feature.status, Status::Pending | Status::Regressed);
        if !workable || state.unmet(id) > 0 || feature.not_before > now {
            return Err(stale("a feature is not ready"));
        }
    }
    let first = features.first().and_then(|&id| state.feature(id));
    let first = first.ok_or_else(|| stale("no feature was named"))?;
    let assigned = FeatureAssigned {
        worker,
        features: features.to_vec(),
        attempt_number: first.failures + 1,
        base: state.head.clone(),
        terms,
        runners_up: runners_up.iter().take(RUNNERS_UP_MAX).copied().collect(),
        ready,
    };
    Ok(vec![assigned.into(), reserve(state, worker)])
}

pub fn testing(
    state: &State,
    worker: WorkerId,
    features: &[FeatureId],
    last: bool,
    draw: u64,
    terms: TestTerms,
    runners_up: &[(FeatureId, TestTerms)],
) -> Result<Vec<Event>, Rejection> {
    idle(state, worker, WorkerKind::Testing, state.settings.testing)?;
    let passing = |&id: &FeatureId| {
        let feature = state.feature(id);
        feature.is_some_and(|feature| feature.status == Status::Passing)
    };
    if features.is_empty() || !features.iter().all(passing) {
        return Err(stale("a feature is not passing"));
    }
    let assigned = TestAssigned {
        worker,
        features: features.to_vec(),
        base: state.head.clone(),
        last,
        draw,
        terms,
        runners_up: runners_up.iter().take(RUNNERS_UP_MAX).copied().collect(),
    };
    Ok(vec![assigned.into(), reserve(state, worker)])
}

/// The reservation follows the assignment in the same batch, so its job is the next event.
fn reserve(state: &State, worker: WorkerId) -> Event {
    let job = JobId(state.sequence.next().0);
    AttemptStarted { job, worker }.into()
}
