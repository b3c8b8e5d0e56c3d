//! The connection to the scheduler: down, connecting, greeting, up, and down again.

use crate::model::ids::{Timestamp, WorkerId};
use crate::model::settings::WorkerKind;
use crate::protocol::WorkerMessage;

use super::attempt::Attempt;
use super::{Effect, Machine};

/// The first wait before connecting again; a scheduler that restarts is back within a second.
const BACKOFF_MS: u64 = 100;

/// The longest wait: cheap for an hour of waiting, short for a person who starts a scheduler.
const BACKOFF_MS_MAX: u64 = 5_000;

/// A scheduler that has not answered a hello for so long is as good as none. It may have to
/// replay a long log before it answers.
const GREETING_MS_MAX: u64 = 30_000;

#[derive(Debug)]
pub(super) struct Link {
    state: State,
    /// Attempts to connect since the last welcome.
    tries: u32,
    /// Since when there is no scheduler.
    lonely_since: Option<Timestamp>,
    /// The user was told that there is none.
    told: bool,
}

#[derive(Debug)]
enum State {
    Down { retry_at: Timestamp },
    Connecting,
    Greeting { until: Timestamp },
    Up,
}

impl Link {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            state: State::Down { retry_at: now },
            tries: 0,
            lonely_since: Some(now),
            told: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    pub(super) fn lonely_since(&self) -> Option<Timestamp> {
        self.lonely_since
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Down { retry_at } => Some(retry_at),
            State::Greeting { until } => Some(until),
            State::Connecting | State::Up => None,
        }
    }

    /// Half of the wait is certain and half is drawn, so that workers do not come in step.
    fn back_off(&mut self, now: Timestamp, random: u128) {
        let doubled = BACKOFF_MS.saturating_mul(1 << self.tries.min(16));
        let wait = doubled.min(BACKOFF_MS_MAX);
        let half = wait / 2;
        let drawn = u64::try_from(random % u128::from(half + 1)).unwrap_or_default();
        self.tries = self.tries.saturating_add(1);
        self.lonely_since.get_or_insert(now);
        self.state = State::Down {
            retry_at: now.plus_ms(half + drawn),
        };
    }
}

impl Machine {
    pub(super) fn connect(&mut self) {
        self.link.state = State::Connecting;
        self.out.push(Effect::Connect);
    }

    pub(super) fn connected(&mut self, now: Timestamp) {
        if !matches!(self.link.state, State::Connecting) {
            return;
        }
        self.link.state = State::Greeting {
            until: now.plus_ms(GREETING_MS_MAX),
        };
        let holding = self.attempt.as_ref().and_then(Attempt::holding);
        let hello = WorkerMessage::Hello {
            kind: self.rules.kind,
            process: self.rules.process.clone(),
            worker: self.worker,
            holding,
            config: self.rules.config.clone(),
        };
        self.send(hello);
    }

    pub(super) fn disconnected(&mut self, now: Timestamp, random: u128, reason: &str) {
        let was_up = self.link.is_up();
        self.link.back_off(now, random);
        if !self.link.told {
            self.link.told = true;
            let running = match &self.attempt {
                Some(attempt) if !attempt.is_waiting() => "; the attempt continues",
                _ => "",
            };
            self.log_line(match was_up {
                true => {
                    format!("disconnected from the scheduler ({reason}); waiting for it{running}")
                }
                false => format!("no scheduler is running ({reason}); waiting for one{running}"),
            });
        }
        self.nobody_to_report_to(now);
        self.next_if_leaving(now);
    }

    /// A worker that is to end and has nothing to do does not wait for a scheduler.
    fn next_if_leaving(&mut self, now: Timestamp) {
        if self.draining.is_some() || self.stopping.is_some() {
            self.next(now);
        }
    }

    pub(super) fn welcomed(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        name: &str,
        holding_accepted: bool,
    ) {
        if !matches!(self.link.state, State::Greeting { .. }) {
            return;
        }
        self.link.state = State::Up;
        self.link.tries = 0;
        self.link.lonely_since = None;
        self.link.told = false;
        self.worker = Some(worker);
        let kind = match self.rules.kind {
            WorkerKind::Coding => "coding",
            WorkerKind::Testing => "testing",
        };
        self.log_line(format!("joined as {name} ({kind})"));
        if self.attempt.is_some() {
            self.come_back(now, holding_accepted);
        } else {
            self.next(now);
        }
    }

    pub(super) fn link_timers(&mut self, now: Timestamp, random: u128) {
        match self.link.state {
            State::Down { retry_at } if now >= retry_at => self.connect(),
            State::Greeting { until } if now >= until => {
                self.out.push(Effect::Disconnect);
                self.disconnected(now, random, "it does not answer");
            }
            _ => {}
        }
    }
}
