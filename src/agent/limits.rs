//! Decides when a session has run too long, been silent too long, or done too much. Without a
//! clock: the caller passes the time.

use crate::model::evidence::FailureKind;

/// The limits of one session, all in force at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Silence on the agent's output after which it is ended, in milliseconds.
    pub idle_ms: u64,
    /// The whole session's wall-clock time, in milliseconds.
    pub time_ms: u64,
    /// Most tool calls per session.
    pub steps_max: u32,
    /// Time for an agent to finish its output after it was asked to stop, in milliseconds.
    pub grace_ms: u64,
}

impl SessionLimits {
    /// Enough for an agent to notice and to report its usage; a hanging one costs this much more.
    pub const GRACE_MS: u64 = 2_000;
}

/// Follows one session. Times are milliseconds of any clock that does not go back.
#[derive(Clone, Debug)]
pub struct Limits {
    limits: SessionLimits,
    started: u64,
    active: u64,
    steps: u32,
}

impl Limits {
    /// A session that starts now.
    pub fn new(limits: SessionLimits, now: u64) -> Self {
        Self {
            limits,
            started: now,
            active: now,
            steps: 0,
        }
    }

    /// The agent wrote something to its standard output. Its standard error does not count: a retry
    /// loop that complains there forever is as good as silent.
    pub fn on_activity(&mut self, now: u64) {
        self.active = self.active.max(now);
    }

    /// The agent made a tool call.
    pub fn on_step(&mut self) {
        self.steps = self.steps.saturating_add(1);
    }

    /// When a limit will be exceeded if nothing happens until then.
    pub fn next_deadline(&self) -> u64 {
        let idle = self.active.saturating_add(self.limits.idle_ms);
        idle.min(self.started.saturating_add(self.limits.time_ms))
    }

    /// The exceeded limit. Time comes before steps, and steps before silence: a session over its
    /// time is over whatever else it does.
    pub fn exceeded(&self, now: u64) -> Option<FailureKind> {
        if now >= self.started.saturating_add(self.limits.time_ms) {
            Some(FailureKind::TimeLimit)
        } else if self.is_overstepped() {
            Some(FailureKind::StepLimit)
        } else if now >= self.active.saturating_add(self.limits.idle_ms) {
            Some(FailureKind::IdleLimit)
        } else {
            None
        }
    }

    /// More steps were made than allowed.
    pub fn is_overstepped(&self) -> bool {
        self.steps > self.limits.steps_max
    }

    /// The message for people when `kind` was exceeded.
    pub fn reason(&self, kind: FailureKind) -> String {
        match kind {
            FailureKind::IdleLimit => format!(
                "the agent was silent for {} (`run.idle_limit`)",
                seconds(self.limits.idle_ms)
            ),
            FailureKind::StepLimit => format!(
                "the agent made more than {} tool calls (`run.step_limit`)",
                self.limits.steps_max
            ),
            _ => format!(
                "the session took longer than {} (`run.time_limit`)",
                seconds(self.limits.time_ms)
            ),
        }
    }
}

fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        format!("{} s", ms / 1000)
    } else {
        format!("{ms} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits = SessionLimits {
        idle_ms: 100,
        time_ms: 1_000,
        steps_max: 2,
        grace_ms: 0,
    };

    #[test]
    fn each_limit_is_exceeded_at_its_moment_and_not_before() {
        use FailureKind::{IdleLimit, StepLimit, TimeLimit};
        // Last activity, steps, now, the exceeded limit.
        let table = [
            (0, 0, 99, None),
            (0, 0, 100, Some(IdleLimit)),
            (50, 0, 149, None),
            (50, 0, 150, Some(IdleLimit)),
            (950, 0, 999, None),
            (950, 0, 1_000, Some(TimeLimit)),
            (0, 0, 5_000, Some(TimeLimit)),
            (50, 2, 60, None),
            (50, 3, 60, Some(StepLimit)),
            (50, 3, 500, Some(StepLimit)),
            (50, 3, 1_000, Some(TimeLimit)),
        ];
        for (active, steps, now, expected) in table {
            let mut limits = Limits::new(LIMITS, 0);
            limits.on_activity(active);
            (0..steps).for_each(|_| limits.on_step());
            assert_eq!(limits.exceeded(now), expected, "{active} {steps} {now}");
        }
    }

    #[test]
    fn the_deadline_is_the_moment_of_the_next_limit() {
        let mut limits = Limits::new(LIMITS, 7);
        for active in [7, 30, 500, 950, 1_000] {
            limits.on_activity(active);
            let deadline = limits.next_deadline();
            assert_eq!(limits.exceeded(deadline - 1), None, "{active}");
            assert!(limits.exceeded(deadline).is_some(), "{active}");
        }
        limits.on_activity(3);
        assert_eq!(limits.next_deadline(), 1_007, "activity never goes back");
    }
}
