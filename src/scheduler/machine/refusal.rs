//! Processes of an attempt may neither steer the run nor work for it.

use std::collections::BTreeMap;

use super::{Connection, Effect, Machine, Now};
use crate::model::actor::{Actor, Caller, Kin};
use crate::model::command::{Command, Rejection};
use crate::model::ids::AttemptId;
use crate::protocol::{ClientMessage, StopMode, ToClient};

/// Refusals of one attempt that are recorded. More of the same are no news.
pub const RECORDED_MAX: u32 = 20;

/// Refusals that one scheduler process records in all, whatever attempts their processes claim to
/// belong to.
pub const RECORDED_TOTAL_MAX: u32 = 1_000;

/// Numbers of recorded refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    total: u32,
    by_attempt: BTreeMap<Option<AttemptId>, u32>,
}

impl Refusals {
    /// Whether to record one more.
    fn count(&mut self, attempt: Option<AttemptId>) -> bool {
        if self.total >= RECORDED_TOTAL_MAX {
            return false;
        }
        let recorded = self.by_attempt.entry(attempt).or_default();
        if *recorded >= RECORDED_MAX {
            return false;
        }
        *recorded += 1;
        self.total += 1;
        true
    }
}

impl Machine {
    /// Who a process is. Everything that a worker has started belongs to an attempt, even if
    /// nothing of its own shows it.
    pub(super) fn actor(&self, caller: &Caller) -> Actor {
        let workers = self.core.state().workers();
        caller.actor(|kin: &Kin| {
            let known = workers.values().map(|worker| &worker.process);
            let mut same =
                known.filter(|it| (it.pid, it.start_ticks) == (kin.pid, kin.start_ticks));
            same.next().is_some() || self.pool.is_child(kin.pid)
        })
    }

    /// Refuses an agent's request, records that, and closes the connection.
    pub(super) fn refuse_client(
        &mut self,
        now: Now,
        connection: Connection,
        actor: &Actor,
        message: &ClientMessage,
    ) {
        let (wish, answer) = match message {
            ClientMessage::Command { command, .. } => {
                (command.wish(), ToClient::Rejected(Rejection::Agent))
            }
            other => {
                let problem = Rejection::Agent.problem();
                (wish_of(other).to_owned(), ToClient::Refused(problem))
            }
        };
        self.record_refusal(now, actor, wish);
        self.reply(connection, answer);
        self.effects.push(Effect::Close { connection });
        self.peers.connections.remove(&connection);
    }

    pub(super) fn record_refusal(&mut self, now: Now, actor: &Actor, wish: String) {
        let attempt = match actor {
            Actor::Agent { attempt, .. } => *attempt,
            _ => None,
        };
        if !self.refusals.count(attempt) {
            return;
        }
        let reason = Rejection::Agent.to_string();
        let command = Command::Refuse {
            attempt,
            wish,
            reason,
        };
        let recorded = self.core.submit_own_as(actor, now.wall, &command);
        if let Err(rejection) = recorded {
            bug!("cannot record a refusal: {rejection}");
        }
    }
}

fn wish_of(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Command { .. } => "give a command",
        ClientMessage::Read { .. } => "read the log",
        ClientMessage::Live => "read the status",
        ClientMessage::Stop(StopMode::Drain) => "stop the scheduler",
        ClientMessage::Stop(StopMode::Now) => "stop the scheduler immediately",
    }
}
