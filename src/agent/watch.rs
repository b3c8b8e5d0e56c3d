//! Applies the limits of a session to real time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::driver::SessionResult;
use super::limits::{Limits, SessionLimits};
use crate::model::evidence::{FailureKind, SessionEnd};
use crate::stopwatch::Stopwatch;

/// Why a session was stopped from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was cancelled.
    Cancelled,
    /// It exceeded this limit.
    Limit(FailureKind),
}

/// One session's limits and their clock: while this process is stopped, the agent cannot be heard.
#[derive(Debug)]
pub(super) struct Watch {
    clock: Stopwatch,
    limits: Mutex<Limits>,
    stepped: Notify,
    grace: Duration,
}

impl Watch {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self {
            clock: Stopwatch::start(),
            limits: Mutex::new(Limits::new(limits, 0)),
            stepped: Notify::new(),
            grace: Duration::from_millis(limits.grace_ms),
        }
    }

    /// Time for an agent to end after it was asked to stop.
    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    fn now(&self) -> u64 {
        self.clock.ms()
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent wrote something.
    pub(super) fn on_activity(&self) {
        self.limits().on_activity(self.now());
    }

    /// The agent made a tool call.
    pub(super) fn on_step(&self) {
        self.limits().on_step();
        self.stepped.notify_one();
    }

    /// Waits until the session is cancelled or exceeds a limit.
    pub(super) async fn stopped(&self, cancel: &CancellationToken) -> Stop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Stop::Cancelled,
            kind = self.exceeded() => Stop::Limit(kind),
        }
    }

    async fn exceeded(&self) -> FailureKind {
        loop {
            let (exceeded, deadline) = {
                let limits = self.limits();
                (limits.exceeded(self.now()), limits.next_deadline())
            };
            if let Some(kind) = exceeded {
                return kind;
            }
            // Activity only moves the deadline back, which is noticed when the old one is reached.
            let wait_ms = deadline.saturating_sub(self.now());
            tokio::select! {
                () = self.stepped.notified() => {}
                () = self.clock.wait(wait_ms) => {}
            }
        }
    }

    /// Whether more steps were made than allowed, even by an agent that ended before it could be
    /// stopped.
    pub(super) fn is_overstepped(&self) -> bool {
        self.limits().is_overstepped()
    }

    /// The result of a session that was stopped for this reason.
    pub(super) fn result_of(&self, stop: Stop) -> SessionResult {
        match stop {
            Stop::Cancelled => {
                SessionResult::new(SessionEnd::Cancelled, "the session was cancelled")
            }
            Stop::Limit(kind) => SessionResult {
                failure: Some(kind),
                ..SessionResult::new(SessionEnd::Cancelled, self.limits().reason(kind))
            },
        }
    }
}
