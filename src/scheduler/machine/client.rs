//! Requests of people's commands.

use super::peers::Peer;
use super::{Connection, Effect, Machine, Now};
use crate::model::command::Command;
use crate::model::end_reason::EndReason;
use crate::model::event::Event;
use crate::model::ids::AttemptId;
use crate::protocol::{ClientMessage, Live, LiveAttempt, ToClient};
use crate::scheduler::core::Accepted;

impl Machine {
    pub(super) fn client_message(
        &mut self,
        now: Now,
        connection: Connection,
        message: ClientMessage,
    ) {
        let Some(Peer::Client(actor)) = self.peers.connections.get(&connection).cloned() else {
            // It was closed in the meantime.
            return;
        };
        if actor.is_agent() && !planted!(AgentObeyed) {
            return self.refuse_client(now, connection, &actor, &message);
        }
        match message {
            ClientMessage::Command { id, command } => {
                let command = Command::Person(command);
                let answer = match self.core.submit(&actor, id, now.wall, &command) {
                    Ok(accepted) => {
                        self.send_cancellations(now, accepted);
                        ToClient::Accepted {
                            first: accepted.first,
                            last: accepted.last,
                        }
                    }
                    Err(rejection) => ToClient::Rejected(rejection),
                };
                self.reply(connection, answer);
            }
            ClientMessage::Read { from, follow } => self.effects.push(Effect::Stream {
                connection,
                from,
                follow,
            }),
            ClientMessage::Live => {
                let live = self.live();
                self.reply(connection, ToClient::Live(live));
            }
            ClientMessage::Stop(mode) => {
                self.reply(connection, ToClient::Stopping);
                self.stop(now, mode);
            }
        }
    }

    /// Sends the workers the attempts that a command has just cancelled.
    fn send_cancellations(&mut self, now: Now, accepted: Accepted) {
        if accepted.repeated {
            return;
        }
        let count = (accepted.last.0 + 1).saturating_sub(accepted.first.0);
        let events = self.core.batch().iter().rev().take(count as usize);
        let cancelled: Vec<(AttemptId, EndReason)> = events
            .filter_map(|recorded| match &recorded.event {
                Event::JobCancelled(event) => Some((event.attempt, event.reason.clone())),
                _ => None,
            })
            .collect();
        for (attempt, reason) in cancelled {
            if self.is_merging(attempt) {
                // git decides what becomes of it.
                continue;
            }
            if let Some(waiting) = self.merges.queue.take(attempt) {
                // It was finished and waited for its turn, which will not come.
                self.submit_report(now, waiting);
                continue;
            }
            self.merges.queue.ended(attempt);
            let open = self.core.state().attempts().get(&attempt);
            if let Some(worker) = open.map(|open| open.job.worker) {
                self.call_off(now, worker, attempt, reason);
            }
        }
    }

    /// What is known of the open attempts besides the log.
    pub fn live(&self) -> Live {
        let state = self.core.state();
        let attempts = state.attempts().iter().filter_map(|(&attempt, open)| {
            let worker = state.workers().get(&open.job.worker)?;
            let link = self.peers.links.get(&open.job.worker);
            Some(LiveAttempt {
                attempt,
                feature: open.job.features.first().copied()?,
                worker: worker.name.clone(),
                phase: link.and_then(|link| link.phase),
                activity: link.map(|link| link.activity.clone()).unwrap_or_default(),
                active_at: link.map_or(open.started, |link| link.active_at),
                connected: link.is_some_and(|link| link.connection.is_some()),
            })
        });
        Live {
            attempts: attempts.collect(),
            pid: self.life.pid,
            since: self.life.since,
            now: self.life.now,
            draining: !self.life.is_working(),
            missing_workers: self.missing_workers(),
        }
    }
}
