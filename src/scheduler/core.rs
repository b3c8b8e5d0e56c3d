//! Commands in, events out. Used by the running loop, by commands without a scheduler, and by the
//! simulation.

use crate::model::actor::Actor;
use crate::model::apply::apply;
use crate::model::command::{Command, Rejection};
use crate::model::decide::decide;
use crate::model::event::Recorded;
use crate::model::ids::{CommandId, Epoch, Sequence, Timestamp};
use crate::model::plan::{Entropy, Plan, World, plan};
use crate::model::state::State;

/// The result of an accepted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The first event that it caused; if it caused none, the position after the log's end.
    pub first: Sequence,
    /// The last event that it caused; less than `first` if it caused none.
    pub last: Sequence,
    /// True if the command was accepted before and this repeats the first answer.
    pub repeated: bool,
}

/// The working state. It is ahead of the disk by the batch that is not yet committed.
pub struct Core {
    state: State,
    epoch: Epoch,
    own_commands: u64,
    batch: Vec<Recorded>,
}

impl Core {
    /// A core that continues from a log's state and writes under `epoch`.
    pub fn new(mut state: State, epoch: Epoch) -> Self {
        state.settle();
        Self {
            state,
            epoch,
            own_commands: 0,
            batch: Vec::new(),
        }
    }

    /// The working state. Events of the batch are in it and may not be durable yet.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The working state, after the last decision.
    pub fn into_state(self) -> State {
        self.state
    }

    /// The epoch of this scheduler's events.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Decides a command by `actor` and applies its events. A repeated command changes nothing and
    /// gets its first answer.
    pub fn submit(
        &mut self,
        actor: &Actor,
        id: CommandId,
        now: Timestamp,
        command: &Command,
    ) -> Result<Accepted, Rejection> {
        if let Some((first, last)) = self.state.remembered().get(id)
            && !planted!(DuplicateApplied)
        {
            return Ok(Accepted {
                first,
                last,
                repeated: true,
            });
        }
        // If the clock was set back, events still stay in order.
        let now = self.state.time(now);
        let events = decide(&self.state, now, command)?;
        let first = self.state.sequence.next();
        for event in events {
            let recorded = Recorded {
                sequence: self.state.sequence.next(),
                epoch: self.epoch,
                at: now,
                cause: id,
                actor: actor.clone(),
                event,
            };
            apply(&mut self.state, &recorded);
            self.batch.push(recorded);
        }
        Ok(Accepted {
            first,
            last: self.state.sequence,
            repeated: false,
        })
    }

    /// Decides one of the scheduler's own commands. Their ids are small numbers, which no other
    /// command uses.
    pub fn submit_own(&mut self, now: Timestamp, command: &Command) -> Result<Accepted, Rejection> {
        self.submit_own_as(&Actor::Scheduler, now, command)
    }

    /// Decides a command that the scheduler gives because of what `actor` did.
    pub fn submit_own_as(
        &mut self,
        actor: &Actor,
        now: Timestamp,
        command: &Command,
    ) -> Result<Accepted, Rejection> {
        self.own_commands += 1;
        let id = (u128::from(self.epoch.0) << 40) + u128::from(self.own_commands);
        self.submit(actor, CommandId(id), now, command)
    }

    /// Asks the plan for the next commands.
    pub fn plan(&mut self, now: Timestamp, world: &World, entropy: &mut dyn Entropy) -> Plan {
        self.state.settle();
        plan(&self.state, now, world, entropy)
    }

    /// Takes the events since the last call, which must be appended.
    pub fn take_batch(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.batch)
    }

    /// Events since the last `take_batch`.
    pub fn batch(&self) -> &[Recorded] {
        &self.batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::PersonCommand;

    #[test]
    fn times_never_go_back() {
        let mut core = Core::new(State::default(), Epoch(1));
        let reason = "lunch".to_owned();
        let steps = [
            (5_000, PersonCommand::Pause { reason }),
            (3_000, PersonCommand::Resume),
        ];
        for (now, command) in steps {
            let submitted = core.submit_own(Timestamp(now), &Command::Person(command));
            submitted.expect("it fits");
        }
        let at: Vec<u64> = core.batch().iter().map(|recorded| recorded.at.0).collect();
        assert_eq!(at, [5_000, 5_000]);
    }
}
