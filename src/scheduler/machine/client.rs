//! What people's commands ask for.

use super::{Connection, Effect, Machine, Now, Stage};
use crate::model::command::Command;
use crate::model::ids::AttemptId;
use crate::protocol::{ClientMessage, Live, LiveAttempt, SchedulerMessage, ToClient};

impl Machine {
    pub(super) fn client_message(
        &mut self,
        now: Now,
        connection: Connection,
        message: ClientMessage,
    ) {
        match message {
            ClientMessage::Command { id, command } => {
                let answer = match self.core.submit(id, now.wall, &Command::Person(command)) {
                    Ok(accepted) => {
                        self.tell_cancelled();
                        ToClient::Accepted {
                            first: accepted.first,
                            last: accepted.last,
                        }
                    }
                    Err(rejection) => ToClient::Rejected(rejection),
                };
                self.tell(connection, answer);
            }
            ClientMessage::Read { from, follow } => self.effects.push(Effect::Stream {
                connection,
                from,
                follow,
            }),
            ClientMessage::Live => {
                let live = self.live();
                self.tell(connection, ToClient::Live(live));
            }
            ClientMessage::Stop(mode) => {
                self.tell(connection, ToClient::Stopping);
                self.stop(now, mode);
            }
        }
    }

    /// Tells the workers of attempts that have just been called off.
    fn tell_cancelled(&mut self) {
        let fresh: Vec<(AttemptId, String)> = self
            .core
            .batch()
            .iter()
            .filter_map(|recorded| match &recorded.event {
                crate::model::event::Event::JobCancelled(event) => {
                    Some((event.attempt, event.reason.clone()))
                }
                _ => None,
            })
            .collect();
        for (attempt, reason) in fresh {
            let open = self.core.state().attempts().get(&attempt);
            if let Some(worker) = open.map(|open| open.job.worker) {
                self.merging.ended(attempt);
                self.send(worker, SchedulerMessage::Cancel { attempt, reason });
            }
        }
    }

    /// What is known of the open attempts beside the log.
    pub fn live(&self) -> Live {
        let state = self.core.state();
        let attempts = state.attempts().iter().filter_map(|(&attempt, open)| {
            let worker = state.workers().get(&open.job.worker)?;
            let link = self.links.get(&open.job.worker);
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
            pid: self.pid,
            since: self.since,
            draining: !matches!(self.stage, Stage::Working),
        }
    }
}
