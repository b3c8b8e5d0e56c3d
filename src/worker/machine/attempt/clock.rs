//! The time limit of an attempt's work.

use crate::model::ids::Timestamp;

/// The time that an attempt may work. It stands still while a result waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct WorkClock {
    /// When its time is up, while it runs.
    deadline: Option<Timestamp>,
    left_ms: u64,
}

impl WorkClock {
    /// It runs from `now` on, with so much time.
    pub fn running(now: Timestamp, limit_ms: u64) -> Self {
        Self {
            deadline: Some(now.plus_ms(limit_ms)),
            left_ms: limit_ms,
        }
    }

    /// It stands still, without any time.
    pub fn stopped() -> Self {
        Self {
            deadline: None,
            left_ms: 0,
        }
    }

    /// It stands still from `now` on.
    pub fn stop(&mut self, now: Timestamp) {
        if let Some(deadline) = self.deadline.take() {
            self.left_ms = deadline.since_ms(now);
        }
    }

    /// It runs again, with the time that was left.
    pub fn go_on(&mut self, now: Timestamp) {
        self.deadline = Some(now.plus_ms(self.left_ms));
    }

    /// Whether its time is up; true once.
    pub fn ran_out(&mut self, now: Timestamp) -> bool {
        let over = self.deadline.take_if(|deadline| now >= *deadline).is_some();
        if over {
            self.left_ms = 0;
        }
        over
    }

    /// When its time is up, while it runs.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
}
