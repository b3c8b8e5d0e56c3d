//! When a problem of the machine begins or a profile cannot be used, and when that is over.

use crate::model::clip::clip;
use crate::model::event::{CrewRecovered, CrewTroubled, Event, ProfileRecovered, ProviderLimited};
use crate::model::evidence::{Failure, FailureKind};
use crate::model::ids::{AttemptId, Timestamp};
use crate::model::profile::ProfileName;
use crate::model::settings::WorkerKind;
use crate::model::state::{Attempt, Outage, State, Troubled};
use crate::model::trouble::{Trouble, backoff_ms, provider_backoff_ms};

/// One that says when is believed, but for a time that has passed already or is a mistake: it is
/// asked again after a second at the earliest, and after eight days (limits are by the week).
const LIMIT_MS_MIN: u64 = 1_000;
const LIMIT_MS_MAX: u64 = 8 * 86_400_000;

/// The event with which an attempt's problem becomes one of all workers, or of all that use its
/// profile.
pub fn troubled(
    state: &State,
    now: Timestamp,
    attempt: AttemptId,
    trouble: &Trouble,
    jitter: u64,
) -> Event {
    let reason = clip(&trouble.reason, Failure::REASON_BYTES_MAX).to_owned();
    let kind = trouble.kind;
    match state.profile_of(attempt).filter(|_| kind.is_of_profile()) {
        Some(profile) => {
            let wait = backoff_ms(kind, state.streak(profile), jitter);
            ProviderLimited {
                attempt,
                profile: profile.clone(),
                kind: FailureKind::Trouble(kind),
                until: known(state, profile, attempt).unwrap_or(now.plus_ms(wait)),
                reason,
            }
            .into()
        }
        None => {
            let streak = state.troubled.as_ref().map_or(0, |open| open.streak);
            CrewTroubled {
                attempt,
                kind,
                stage: trouble.stage,
                until: now.plus_ms(backoff_ms(kind, streak, jitter)),
                reason,
            }
            .into()
        }
    }
}

/// When a profile is tried again that this attempt, from before its outage, has met as well: it says
/// nothing new.
fn known(state: &State, profile: &ProfileName, attempt: AttemptId) -> Option<Timestamp> {
    let outage = state.outage(profile)?;
    (!outage.is_probe(attempt)).then_some(outage.until)
}

/// The event with which a provider's refusal becomes one of all that use its profile; `None` if this
/// failure is no refusal. `until` is the provider's own word about its end.
pub fn refused(
    state: &State,
    now: Timestamp,
    attempt: AttemptId,
    failure: &Failure,
    until: Option<Timestamp>,
    jitter: u64,
) -> Option<Event> {
    let unnamed = ProfileName::unnamed();
    let profile = state.profile_of(attempt).unwrap_or(&unnamed);
    let until = match failure.kind {
        FailureKind::ProviderRefused | FailureKind::QuotaExhausted => Timestamp(u64::MAX),
        FailureKind::ProviderLimited => {
            let streak = state.streak(profile);
            let backoff = |streak| provider_backoff_ms(streak, jitter);
            let wait = match until {
                // The first time it is believed. A streak of limits that end at once is one that
                // does not end.
                Some(until) if streak == 0 => until.since_ms(now).max(LIMIT_MS_MIN),
                Some(until) => until.since_ms(now).max(backoff(streak - 1)),
                None => backoff(streak),
            };
            let told = now.plus_ms(wait.min(LIMIT_MS_MAX));
            let known = known(state, profile, attempt).filter(|_| until.is_none());
            known.unwrap_or(told)
        }
        _ => return None,
    };
    let limited = ProviderLimited {
        attempt,
        profile: profile.clone(),
        kind: failure.kind,
        until,
        reason: clip(&failure.reason, Failure::REASON_BYTES_MAX).to_owned(),
    };
    Some(limited.into())
}

/// The end of the open problems that this open attempt can show to be over.
pub fn recover(state: &State, attempt: AttemptId) -> Vec<Event> {
    if !state.attempts.contains_key(&attempt) {
        return Vec::new();
    }
    let machine = state.troubled.as_ref();
    let machine = machine.filter(|trouble: &&Troubled| trouble.is_probe(attempt));
    let machine = machine.map(|_| CrewRecovered { attempt }.into());
    let ends = |outage: &&Outage| outage.is_probe(attempt) && outage.ends();
    let profile = state.profile_of(attempt);
    let profile = profile.filter(|profile| state.outage(profile).filter(ends).is_some());
    let profile = profile.cloned();
    let profile = profile.map(|profile| ProfileRecovered { attempt, profile }.into());
    machine.into_iter().chain(profile).collect()
}

/// True for events that only an attempt causes that met no problem.
pub fn is_outcome(event: &Event) -> bool {
    matches!(
        event,
        Event::MergeStarted(_)
            | Event::FeaturePassed(_)
            | Event::FeatureFailed(_)
            | Event::InputRequested(_)
            | Event::RegressionFound(_)
            | Event::TestPassed(_)
            | Event::TestInconclusive(_)
    )
}

/// True for events that only an attempt causes whose agent has worked. A test runs checks before its
/// agent, which may decide without it.
pub fn is_answer(state: &State, event: &Event) -> bool {
    match event {
        Event::TestPassed(passed) => state.starts_agent(WorkerKind::Testing, &[passed.feature]),
        Event::RegressionFound(_) | Event::TestInconclusive(_) => false,
        other => is_outcome(other),
    }
}

/// True if each feature of the job has met such problems repeatedly, always alone and while others
/// got further: then the machine is not to blame.
pub fn is_own(state: &State, open: &Attempt, trouble: &Trouble) -> bool {
    let most = trouble.kind.own_after();
    let often = |id: &_| {
        let feature = state.feature(*id);
        feature.is_some_and(|feature| feature.troubled >= most)
    };
    trouble.kind.may_be_own() && !open.remaining.is_empty() && open.remaining.iter().all(often)
}
