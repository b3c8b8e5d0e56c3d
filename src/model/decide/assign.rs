//! Assigns jobs to workers. The plan chose; this checks that the choice still fits.

use std::collections::BTreeSet;

use crate::model::command::{RUNNERS_UP_MAX, Rejection};
use crate::model::event::{
    AttemptStarted, Event, FeatureAssigned, RankTerms, TestAssigned, TestTerms,
};
use crate::model::feature::Status;
use crate::model::ids::{FeatureId, JobId, Timestamp, WorkerId};
use crate::model::load::Load;
use crate::model::profile::ProfileName;
use crate::model::remaining::may_use;
use crate::model::settings::WorkerKind;
use crate::model::state::{Feature, State};

fn stale(why: &str) -> Rejection {
    Rejection::Stale(why.to_owned())
}

fn idle(
    state: &State,
    now: Timestamp,
    id: WorkerId,
    kind: WorkerKind,
    limit: u32,
    (any, profile): (bool, Option<&ProfileName>),
) -> Result<(), Rejection> {
    if !planted!(TestAfterEnd) {
        state.open_run().ok_or(Rejection::NoRun)?;
    }
    let worker = state.workers.get(&id);
    let worker = worker.ok_or_else(|| stale("the worker has left"))?;
    if worker.kind != kind && !any {
        Err(stale("the worker takes other kinds of jobs"))
    } else if worker.attempt.is_some() {
        Err(stale("the worker already has a job"))
    } else if worker.is_suspended() {
        Err(stale("the worker gave up too many jobs in a row"))
    } else if worker.cooldown_until(&state.settings) > now {
        Err(stale("the worker must wait before its next job"))
    } else if state.paused.is_some() && !planted!(PauseIgnored) {
        Err(stale("the run is paused"))
    } else if profile.is_some_and(|it| !state.profiles.of(kind).contains(it)) {
        Err(stale("the agent is not for such jobs"))
    } else if profile.is_some_and(|it| !may_use(state, now, it)) {
        Err(stale("the provider refuses or fails"))
    } else if state.is_held_by_trouble(now) && !planted!(TroubleIgnored) {
        Err(stale("a problem of the machine holds up new attempts"))
    } else if state.budget_spent() && !planted!(BudgetIgnored) {
        Err(stale("the budget is spent"))
    } else if state.open_attempts(kind) >= limit {
        Err(stale("no more attempts may run at the same time"))
    } else {
        Ok(())
    }
}

/// The features of a job, which must all be `fit` and fit together.
fn job<'a>(
    state: &'a State,
    ids: &[FeatureId],
    fit: impl Fn(&Feature) -> Result<(), &'static str>,
) -> Result<&'a Feature, Rejection> {
    if ids.len() > state.settings.batch_size as usize {
        return Err(stale("the job has too many features"));
    }
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return Err(stale("the job has the same feature twice"));
    }
    let mut load = Load::default();
    for &id in ids {
        let feature = state.feature(id).ok_or(Rejection::UnknownFeature(id))?;
        fit(feature).map_err(stale)?;
        if !load.add(&feature.spec) {
            return Err(stale("the features' texts are too long for one job"));
        }
    }
    let first = ids.first().and_then(|&id| state.feature(id));
    first.ok_or_else(|| stale("the job has no features"))
}

/// What was checked, so that an assignment cannot be created without the checks.
pub struct Fits<'a> {
    worker: WorkerId,
    first: &'a Feature,
    profile: Option<ProfileName>,
}

pub fn coding_fits<'a>(
    state: &'a State,
    now: Timestamp,
    worker: WorkerId,
    features: &[FeatureId],
    profile: &ProfileName,
) -> Result<Fits<'a>, Rejection> {
    let limit = state.settings.max_concurrency;
    let wants = (false, Some(profile));
    idle(state, now, worker, WorkerKind::Coding, limit, wants)?;
    let first = job(state, features, |feature| {
        let workable = matches!(feature.status, Status::Pending | Status::Regressed);
        if !workable || state.unmet(feature.id) > 0 || feature.not_before > now {
            return Err("a feature is not ready");
        }
        if state.being_coded(feature) {
            return Err("an attempt at a feature has not ended yet");
        }
        Ok(())
    })?;
    let profile = Some(profile.clone());
    Ok(Fits {
        worker,
        first,
        profile,
    })
}

pub fn coding(
    state: &State,
    fits: Fits<'_>,
    features: &[FeatureId],
    terms: RankTerms,
    runners_up: &[(FeatureId, RankTerms)],
    ready: u32,
) -> Vec<Event> {
    let assigned = FeatureAssigned {
        worker: fits.worker,
        features: features.to_vec(),
        attempt_number: fits.first.failures.saturating_add(1),
        base: state.head.clone(),
        terms,
        runners_up: runners_up.iter().take(RUNNERS_UP_MAX).copied().collect(),
        ready,
    };
    vec![assigned.into(), reserve(state, fits)]
}

pub fn testing_fits<'a>(
    state: &'a State,
    now: Timestamp,
    worker: WorkerId,
    features: &[FeatureId],
    last: bool,
    profile: Option<&ProfileName>,
) -> Result<Fits<'a>, Rejection> {
    let limit = state.settings.testing;
    if profile.is_some() != state.starts_agent(WorkerKind::Testing, features) {
        return Err(stale("whether the test starts an agent has changed"));
    }
    // The last tests are anybody's.
    idle(
        state,
        now,
        worker,
        WorkerKind::Testing,
        limit,
        (last, profile),
    )?;
    let first = job(state, features, |feature| {
        if feature.status != Status::Passing {
            return Err("a feature is not passing");
        }
        let proven = feature.verified >= state.head_generation;
        if last && (proven || !feature.attempts.is_empty()) {
            return Err("a feature is verified at this commit, or is about to be");
        }
        Ok(())
    })?;
    let profile = profile.cloned();
    Ok(Fits {
        worker,
        first,
        profile,
    })
}

pub fn testing(
    state: &State,
    fits: Fits<'_>,
    features: &[FeatureId],
    last: bool,
    drawn: (u64, TestTerms),
    runners_up: &[(FeatureId, TestTerms)],
) -> Vec<Event> {
    let (draw, terms) = drawn;
    let assigned = TestAssigned {
        worker: fits.worker,
        features: features.to_vec(),
        base: state.head.clone(),
        last,
        draw,
        terms,
        runners_up: runners_up.iter().take(RUNNERS_UP_MAX).copied().collect(),
    };
    vec![assigned.into(), reserve(state, fits)]
}

/// The reservation follows the assignment in the same batch, so its job is the next event.
fn reserve(state: &State, fits: Fits<'_>) -> Event {
    let started = AttemptStarted {
        job: JobId(state.sequence.next().0),
        worker: fits.worker,
        profile: fits.profile,
    };
    started.into()
}
