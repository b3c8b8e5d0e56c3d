//! One turn of the loop: inputs in, a batch to append or effects to execute out.
//!
//! The runtime and the simulation run the same cycle. They differ only in how they wait, append and
//! execute effects.

use super::machine::{Effect, Ending, Input, Machine, Now};
use super::pipeline::{Pipeline, Turn};
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::model::state::State;

/// Number of events waiting for a slow sync at which the loop takes no more inputs.
const WAITING_EVENTS_MAX: usize = 65_536;

/// Events between two snapshots. Folding this many takes a tenth of a second.
const SNAPSHOT_EVENTS: u64 = 100_000;

/// What the caller must do now.
#[derive(Debug)]
pub enum Due {
    /// Nothing, until something arrives, a batch is durable, or [`Cycle::wake_ms`] comes.
    Nothing,
    /// Append these events, and call [`Cycle::durable`] when they are on the disk.
    Append(Vec<Recorded>),
    /// Execute these effects, in order.
    Execute(Vec<Effect>),
    /// Execute these effects, and end the process.
    End(Vec<Effect>, Ending),
}

/// The machine, and the decisions that nobody outside knows yet.
pub struct Cycle {
    machine: Machine,
    pipeline: Pipeline,
    /// Starts of workers that were dropped; the machine learns of them in the next turn.
    left_out: Vec<Input>,
    wake_ms: Option<u64>,
    snapshot_at: u64,
}

impl Cycle {
    /// Wraps a machine that has started on a log that ends at `head`. The first turn is due at
    /// once.
    pub fn new(machine: Machine, head: Sequence) -> Self {
        Self {
            machine,
            pipeline: Pipeline::default(),
            left_out: Vec::new(),
            wake_ms: Some(0),
            snapshot_at: head.0 + SNAPSHOT_EVENTS,
        }
    }

    /// The machine inside.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The working state, after the last turn.
    pub fn into_state(self) -> State {
        self.machine.into_state()
    }

    /// Monotonic milliseconds at which the next turn is due if nothing arrives before.
    pub fn wake_ms(&self) -> Option<u64> {
        self.wake_ms
    }

    /// Takes inputs and decides. Call it after [`durable`](Self::durable), too.
    pub fn turn(&mut self, now: Now, arrived: impl IntoIterator<Item = Input>) {
        for input in std::mem::take(&mut self.left_out)
            .into_iter()
            .chain(arrived)
        {
            self.machine.step(now, input);
        }
        let step = self.machine.finish(now);
        self.wake_ms = step.wake_ms;
        self.pipeline.decided(step);
    }

    /// The next thing to do. Call it until it returns [`Due::Nothing`] or [`Due::Append`].
    pub fn due(&mut self) -> Due {
        match self.pipeline.turn() {
            Turn::Wait => Due::Nothing,
            Turn::Append(batch) => Due::Append(batch),
            Turn::Execute(effects) if effects.is_empty() => Due::Nothing,
            Turn::Execute(effects) => self.carried(effects),
        }
    }

    /// The batch is on the disk: its effects may be executed now.
    pub fn durable(&mut self) -> Due {
        let effects = self.pipeline.durable();
        self.carried(effects)
    }

    /// Removes the effects that are decided only at this moment: the end, and starts of workers
    /// that no longer make sense.
    fn carried(&mut self, mut effects: Vec<Effect>) -> Due {
        let (mut ending, starts_workers) = (None, self.machine.starts_workers());
        effects.retain(|effect| match *effect {
            Effect::Exit(how) => {
                ending = Some(how);
                false
            }
            Effect::StartWorker { kind } if !starts_workers => {
                let pid = None;
                self.left_out.push(Input::ChildStarted { kind, pid });
                false
            }
            _ => true,
        });
        if !self.left_out.is_empty() {
            self.wake_ms = Some(0);
        }
        match ending {
            Some(ending) => Due::End(effects, ending),
            None => Due::Execute(effects),
        }
    }

    /// Whether to take no inputs for now: the disk is slow, or a snapshot is so overdue that the
    /// log must wait for it. `head` is the log's end.
    pub fn is_full(&self, head: Sequence) -> bool {
        let overdue = head.0 >= self.snapshot_at + SNAPSHOT_EVENTS;
        let waiting = self.pipeline.waiting_events() >= WAITING_EVENTS_MAX;
        self.pipeline.is_committing() && (overdue || waiting)
    }

    /// Whether a batch is being written.
    pub fn is_committing(&self) -> bool {
        self.pipeline.is_committing()
    }

    /// Whether every decision has been executed.
    pub fn is_empty(&self) -> bool {
        self.pipeline.is_empty()
    }

    /// The state for a snapshot, if one is due and the working state equals what is on the disk, up
    /// to `head`. With `final`, one is always due.
    pub fn snapshot(&mut self, head: Sequence, is_final: bool) -> Option<&State> {
        let due = is_final || head.0 >= self.snapshot_at;
        if !due || self.machine.state().sequence != head {
            return None;
        }
        self.snapshot_at = head.0 + SNAPSHOT_EVENTS;
        Some(self.machine.state())
    }
}
