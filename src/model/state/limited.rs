//! The provider's refusal, while it is open.

use serde::{Deserialize, Serialize};

use crate::model::evidence::FailureKind;
use crate::model::ids::{AttemptId, Sequence, Timestamp};

/// A provider's refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    /// When it ends; [`Timestamp`]`(u64::MAX)` means that a person must fix it.
    pub until: Timestamp,
    /// The event that reported it. Results of attempts from before it say nothing about it.
    pub since: Sequence,
    /// Class of the failure.
    pub kind: FailureKind,
    /// The provider's words.
    pub reason: String,
    /// Consecutive refusals. One refusal that several attempts met counts once.
    pub streak: u32,
}

impl Limited {
    /// True for an attempt that began after the refusal: what becomes of it shows whether the
    /// provider works again.
    pub fn is_probe(&self, attempt: AttemptId) -> bool {
        attempt.0 > self.since.0
    }

    /// Whether it ends without a person.
    pub fn ends(&self) -> bool {
        self.until.0 < u64::MAX
    }
}
