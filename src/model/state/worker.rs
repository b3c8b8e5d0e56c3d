//! Workers that release their jobs.

use super::{Attempt, Worker};
use crate::model::ids::Timestamp;
use crate::model::settings::Settings;

/// Consecutive jobs that a worker may release before it has to wait for the next one: its machine
/// may be busy for a moment.
pub const GIVE_BACKS_FREE: u32 = 3;

/// Consecutive released jobs after which a worker gets no more. With the usual waits that takes
/// minutes, and a person has to fix the cause. A restarted worker counts as a new one.
pub const GIVE_BACKS_MAX: u32 = 10;

impl Worker {
    /// True if it has released so many that it gets no more.
    pub fn is_suspended(&self) -> bool {
        self.give_backs >= GIVE_BACKS_MAX
    }

    /// It gets nothing before this time, which is later each time.
    pub fn cooldown_until(&self, settings: &Settings) -> Timestamp {
        match self.give_backs.checked_sub(GIVE_BACKS_FREE) {
            None => Timestamp(0),
            Some(more) => self.gave_back_at.plus_ms(settings.backoff_ms(more, 0)),
        }
    }
}

impl Attempt {
    /// True if only its worker released it: it had no result, and neither a person nor the provider
    /// nor the machine is the reason.
    pub(in crate::model) fn is_given_back(&self) -> bool {
        let untouched = self.remaining.len() == self.job.features.len();
        untouched && self.cancelled.is_none() && !self.excused
    }
}
