//! When a problem of the machine begins, and when it is over.

use crate::model::clip::clip;
use crate::model::event::{CrewRecovered, CrewTroubled, Event};
use crate::model::evidence::Failure;
use crate::model::ids::{AttemptId, Timestamp};
use crate::model::state::{Attempt, State};
use crate::model::trouble::{Trouble, TroubleKind, backoff_ms};

/// The event with which an attempt's problem becomes one of all workers.
pub fn troubled(
    state: &State,
    now: Timestamp,
    attempt: AttemptId,
    trouble: &Trouble,
    jitter: u64,
) -> Event {
    let streak = state.troubled.as_ref().map_or(0, |open| open.streak);
    let streak = match trouble.kind {
        TroubleKind::Provider => streak.max(state.provider_streak),
        _ => streak,
    };
    CrewTroubled {
        attempt,
        kind: trouble.kind,
        stage: trouble.stage,
        until: now.plus_ms(backoff_ms(trouble.kind, streak, jitter)),
        reason: clip(&trouble.reason, Failure::REASON_BYTES_MAX).to_owned(),
    }
    .into()
}

/// The end of the open problem, if this open attempt can show it.
pub fn recover(state: &State, attempt: AttemptId) -> Vec<Event> {
    let of_machine = state.troubled.as_ref().is_some_and(|trouble| {
        let provider = trouble.kind == TroubleKind::Provider;
        trouble.is_probe(attempt) && (!provider || state.uses_agent(attempt))
    });
    let limited = state.limited.as_ref();
    let of_provider =
        limited.is_some_and(|limited| limited.is_probe(attempt)) && state.uses_agent(attempt);
    let open = state.attempts.contains_key(&attempt);
    match (of_machine || of_provider) && open {
        true => vec![CrewRecovered { attempt }.into()],
        false => Vec::new(),
    }
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
