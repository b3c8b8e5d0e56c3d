//! Shapes of events that were released and have been replaced. They are frozen, because logs with
//! their bytes exist.

use bincode::Options;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::body_options;
use crate::model::event::{
    AttemptLost, AttemptReleased, AttemptStarted, Event, EventKind, JobCancelled, ProviderLimited,
    RunStarted, SettingsChanged, WorkerLeft,
};
use crate::model::evidence::FailureKind;
use crate::model::ids::{AttemptId, CommitId, JobId, Timestamp, WorkerId};
use crate::model::profile::ProfileName;
use crate::model::settings::Settings;

/// Decodes a body of an older shape; `None` if it never existed.
pub fn read(kind: EventKind, body: &[u8]) -> Option<bincode::Result<Event>> {
    match (kind.number, kind.version) {
        (13, 1) => Some(old::<JobCancelledV1>(body)),
        (20, 1) => Some(old::<AttemptStartedV1>(body)),
        (21, 1) => Some(old::<AttemptReleasedV1>(body)),
        (22, 1) => Some(old::<AttemptLostV1>(body)),
        (51, 1) => Some(old::<ProviderLimitedV1>(body)),
        (62, 1) => Some(old::<WorkerLeftV1>(body)),
        (60, 1) => Some(old::<RunStartedV1>(body)),
        (63, 1) => Some(old::<SettingsChangedV1>(body)),
        _ => None,
    }
}

fn old<Old: DeserializeOwned + Into<Event>>(body: &[u8]) -> bincode::Result<Event> {
    body_options().deserialize::<Old>(body).map(Into::into)
}

/// Before there were profiles.
#[derive(Deserialize)]
struct AttemptStartedV1 {
    job: JobId,
    worker: WorkerId,
}

impl From<AttemptStartedV1> for Event {
    fn from(old: AttemptStartedV1) -> Self {
        let started = AttemptStarted {
            job: old.job,
            worker: old.worker,
            profile: None,
        };
        started.into()
    }
}

/// Before there were profiles.
#[derive(Deserialize)]
struct ProviderLimitedV1 {
    attempt: AttemptId,
    kind: FailureKind,
    until: Timestamp,
    reason: String,
}

impl From<ProviderLimitedV1> for Event {
    fn from(old: ProviderLimitedV1) -> Self {
        let limited = ProviderLimited {
            attempt: old.attempt,
            profile: ProfileName::unnamed(),
            kind: old.kind,
            until: old.until,
            reason: old.reason,
        };
        limited.into()
    }
}

/// Before reasons were data.
#[derive(Deserialize)]
struct JobCancelledV1 {
    attempt: AttemptId,
    reason: String,
}

impl From<JobCancelledV1> for Event {
    fn from(old: JobCancelledV1) -> Self {
        let (attempt, reason) = (old.attempt, old.reason.into());
        JobCancelled { attempt, reason }.into()
    }
}

/// Before reasons were data.
#[derive(Deserialize)]
struct AttemptReleasedV1 {
    attempt: AttemptId,
    reason: String,
}

impl From<AttemptReleasedV1> for Event {
    fn from(old: AttemptReleasedV1) -> Self {
        let released = AttemptReleased {
            attempt: old.attempt,
            reason: old.reason.into(),
            detail: String::new(),
        };
        released.into()
    }
}

/// Before reasons were data.
#[derive(Deserialize)]
struct AttemptLostV1 {
    attempt: AttemptId,
    reason: String,
}

impl From<AttemptLostV1> for Event {
    fn from(old: AttemptLostV1) -> Self {
        let (attempt, reason) = (old.attempt, old.reason.into());
        AttemptLost { attempt, reason }.into()
    }
}

/// Before reasons were data.
#[derive(Deserialize)]
struct WorkerLeftV1 {
    worker: WorkerId,
    reason: String,
}

impl From<WorkerLeftV1> for Event {
    fn from(old: WorkerLeftV1) -> Self {
        let (worker, reason) = (old.worker, old.reason.into());
        WorkerLeft { worker, reason }.into()
    }
}

#[derive(Deserialize)]
struct RunStartedV1 {
    branch: String,
    head: CommitId,
    settings: SettingsV1,
    seed: u64,
}

impl From<RunStartedV1> for Event {
    fn from(old: RunStartedV1) -> Self {
        let started = RunStarted {
            branch: old.branch,
            head: old.head,
            settings: old.settings.into(),
            seed: old.seed,
        };
        started.into()
    }
}

#[derive(Deserialize)]
struct SettingsChangedV1 {
    settings: SettingsV1,
}

impl From<SettingsChangedV1> for Event {
    fn from(old: SettingsChangedV1) -> Self {
        let settings = old.settings.into();
        SettingsChanged { settings }.into()
    }
}

/// From before the wait for a worker had a limit.
#[derive(Deserialize)]
struct SettingsV1 {
    max_concurrency: u32,
    testing: u32,
    batch_size: u32,
    max_attempts: u32,
    retry_backoff_ms: u64,
    retry_backoff_ms_max: u64,
    idle_limit_ms: u64,
    time_limit_ms: u64,
    step_limit: u32,
    check_limit_ms: u64,
    test_with_agent: bool,
    budget_microusd: u64,
    budget_tokens: u64,
}

impl From<SettingsV1> for Settings {
    fn from(old: SettingsV1) -> Self {
        Self {
            max_concurrency: old.max_concurrency,
            testing: old.testing,
            batch_size: old.batch_size,
            max_attempts: old.max_attempts,
            retry_backoff_ms: old.retry_backoff_ms,
            retry_backoff_ms_max: old.retry_backoff_ms_max,
            idle_limit_ms: old.idle_limit_ms,
            time_limit_ms: old.time_limit_ms,
            step_limit: old.step_limit,
            check_limit_ms: old.check_limit_ms,
            test_with_agent: old.test_with_agent,
            budget_microusd: old.budget_microusd,
            budget_tokens: old.budget_tokens,
            ..Self::default()
        }
    }
}
