//! The machine's trouble, while it is open.

use serde::{Deserialize, Serialize};

use super::State;
use crate::model::ids::{AttemptId, FeatureId, Sequence, Timestamp};
use crate::model::trouble::{Stage, TroubleKind};

/// A trouble of the machine that is not known to be over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubled {
    /// What the machine lacks, as the last attempt found.
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
    /// Attempts in a row that met it; those that were under way together count once.
    pub streak: u32,
    /// Features that met it, each once; at most [`MET_MAX`](crate::model::trouble::MET_MAX).
    pub met: Vec<FeatureId>,
}

impl Troubled {
    /// True for an attempt that began after the trouble was last met: what becomes of it shows
    /// whether the trouble is over.
    pub fn is_probe(&self, attempt: AttemptId) -> bool {
        attempt.0 > self.since.0
    }
}

impl State {
    /// True while a trouble keeps new attempts back at `now`: its wait continues, or an attempt that
    /// shows whether it is over is open already.
    pub fn is_held_by_trouble(&self, now: Timestamp) -> bool {
        self.troubled.as_ref().is_some_and(|trouble| {
            let newest = self.attempts.last_key_value().map(|(&id, _)| id);
            trouble.until > now || newest.is_some_and(|id| trouble.is_probe(id))
        })
    }
}
