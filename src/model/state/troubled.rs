//! The open problem of the machine.

use serde::{Deserialize, Serialize};

use super::State;
use crate::model::ids::{AttemptId, FeatureId, Sequence, Timestamp};
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
            trouble.until > now || probed
        })
    }
}
