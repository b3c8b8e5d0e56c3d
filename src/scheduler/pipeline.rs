//! The order of decisions: decided, written, durable, executed. Without I/O.
//!
//! The loop asks what it may do next. Effects that depend on the disk are not handed out before.

use super::machine::{Effect, Step};
use crate::model::event::Recorded;

/// Decisions that have not been executed.
#[derive(Debug, Default)]
pub struct Pipeline {
    waiting: Step,
    /// Effects of the batch that is being written.
    committing: Option<Vec<Effect>>,
}

/// What the loop may do now.
#[derive(Debug)]
pub enum Turn {
    /// Wait for [`Pipeline::durable`].
    Wait,
    /// Append these events, and call [`Pipeline::durable`] when they are on the disk.
    Append(Vec<Recorded>),
    /// Execute these effects. Nothing that they say depends on events that are not yet durable.
    Execute(Vec<Effect>),
}

impl Pipeline {
    /// Adds the machine's decisions.
    pub fn decided(&mut self, step: Step) {
        self.waiting.batch.extend(step.batch);
        self.waiting.effects.extend(step.effects);
    }

    /// What to do next. One batch is written at a time; effects without events wait only for
    /// earlier decisions.
    pub fn turn(&mut self) -> Turn {
        if self.committing.is_some() {
            return Turn::Wait;
        }
        let step = std::mem::take(&mut self.waiting);
        if planted!(AcknowledgeBeforeSync) && !step.effects.is_empty() {
            self.waiting.batch = step.batch;
            return Turn::Execute(step.effects);
        }
        if step.batch.is_empty() {
            return Turn::Execute(step.effects);
        }
        self.committing = Some(step.effects);
        Turn::Append(step.batch)
    }

    /// The batch is on the disk. Returns the effects to execute now.
    pub fn durable(&mut self) -> Vec<Effect> {
        self.committing.take().unwrap_or_default()
    }

    /// True while a batch is being written.
    pub fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Events that have not been handed to the disk.
    pub fn waiting_events(&self) -> usize {
        self.waiting.batch.len()
    }

    /// True if nothing is left to hand out, now or later.
    pub fn is_empty(&self) -> bool {
        !self.is_committing() && self.waiting.batch.is_empty() && self.waiting.effects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Event, RunResumed};
    use crate::model::ids::{CommandId, Epoch, Sequence, Timestamp};
    use crate::scheduler::machine::Connection;

    fn step(events: u64, connection: u64) -> Step {
        let recorded = |sequence| Recorded {
            sequence: Sequence(sequence),
            epoch: Epoch(1),
            at: Timestamp(0),
            cause: CommandId(0),
            actor: crate::model::actor::Actor::Scheduler,
            event: Event::RunResumed(RunResumed {}),
        };
        let connection = Connection(connection);
        Step {
            batch: (1..=events).map(recorded).collect(),
            effects: vec![Effect::Close { connection }],
            wake_ms: None,
        }
    }

    #[test]
    fn nothing_is_carried_out_before_what_was_decided_before_it_is_durable() {
        let mut pipeline = Pipeline::default();
        assert!(matches!(pipeline.turn(), Turn::Execute(effects) if effects.is_empty()));
        pipeline.decided(step(0, 1));
        assert!(matches!(pipeline.turn(), Turn::Execute(effects) if effects.len() == 1));
        pipeline.decided(step(2, 2));
        assert!(matches!(pipeline.turn(), Turn::Append(batch) if batch.len() == 2));
        // No effect overtakes an earlier one, whether or not it has events.
        pipeline.decided(step(0, 3));
        pipeline.decided(step(1, 4));
        assert!(matches!(pipeline.turn(), Turn::Wait));
        assert_eq!((pipeline.waiting_events(), pipeline.is_empty()), (1, false));
        assert_eq!(pipeline.durable(), step(0, 2).effects);
        assert!(matches!(pipeline.turn(), Turn::Append(batch) if batch.len() == 1));
        assert_eq!(pipeline.durable().len(), 2);
        assert!(pipeline.is_empty());
    }
}
