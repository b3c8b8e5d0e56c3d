//! The open problem of the machine.

use serde::{Deserialize, Serialize};

use super::State;
use crate::model::ids::{AttemptId, FeatureId, Sequence, Timestamp};
use crate::model::settings::WorkerKind;
use crate::model::trouble::{Stage, TroubleKind};

/// A problem of the machine that may not be over yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubled {
    /// The kind of problem, as the last attempt found it.
    pub kind: TroubleKind,
    /// How far that attempt got.
    pub stage: Stage,
    /// What failed and why.
    pub reason: String,
    /// When the first attempt met it.
    pub began: Timestamp,
    /// Nothing starts before.
    pub until: Timestamp,
    /// The event that reported it last. Attempts from before it say nothing about its end.
    pub since: Sequence,
    /// Consecutive attempts that met it; those that ran at the same time count once.
    pub streak: u32,
    /// Features that met it, each once; at most [`MET_MAX`](crate::model::trouble::MET_MAX).
    pub met: Vec<FeatureId>,
}

impl Troubled {
    /// True for an attempt that began after the problem was last met: its result shows whether the
    /// problem is over.
    pub fn is_probe(&self, attempt: AttemptId) -> bool {
        attempt.0 > self.since.0
    }
}

impl State {
    /// True while a problem keeps new attempts back at `now`: its wait continues, or an attempt
    /// that shows whether it is over is already open.
    pub fn is_held_by_trouble(&self, now: Timestamp) -> bool {
        self.troubled.as_ref().is_some_and(|trouble| {
            let newest = self.attempts.last_key_value().map(|(&id, _)| id);
            let probed = newest.is_some_and(|id| trouble.is_probe(id));
            trouble.kind != TroubleKind::Provider && (trouble.until > now || probed)
        })
    }

    /// True while the provider keeps agents back at `now`: it refuses or fails, its wait continues,
    /// or an agent that shows whether it works again is at work already.
    pub fn is_held_by_provider(&self, now: Timestamp) -> bool {
        let troubled = self.troubled.as_ref();
        let troubled = troubled.filter(|trouble| trouble.kind == TroubleKind::Provider);
        let waits = [
            troubled.map(|trouble| (trouble.until, trouble.since)),
            self.limited.as_ref().map(|it| (it.until, it.since)),
        ];
        let mut waits = waits.into_iter().flatten();
        waits.any(|(until, since)| until > now || self.open_agents(since).next().is_some())
    }

    /// Open attempts that began after this event and start an agent.
    pub fn open_agents(&self, since: Sequence) -> impl Iterator<Item = AttemptId> {
        let newer = self.attempts.range(AttemptId(since.0 + 1)..);
        newer
            .filter(|(_, open)| self.starts_agent(open.job.kind, &open.job.features))
            .map(|(&id, _)| id)
    }

    /// Whether this attempt is open and starts an agent.
    pub fn uses_agent(&self, attempt: AttemptId) -> bool {
        let open = self.attempts.get(&attempt);
        open.is_some_and(|open| self.starts_agent(open.job.kind, &open.job.features))
    }

    /// Whether a job of this kind starts an agent. A test does only for features that their checks
    /// cannot prove, or if the settings say so.
    pub fn starts_agent(&self, kind: WorkerKind, features: &[FeatureId]) -> bool {
        let unchecked = |id: &FeatureId| {
            let feature = self.feature(*id);
            feature.is_none_or(|feature| feature.spec.checks.is_empty())
        };
        kind == WorkerKind::Coding
            || self.settings.test_with_agent
            || features.iter().any(unchecked)
    }
}
