//! One turn of the loop: inputs in, a batch to append or effects to carry out.
//!
//! The runtime and the simulation turn the same cycle. What is left to them is what each does in its
//! own way: waiting, appending, carrying effects out.

use super::machine::{Effect, Ending, Input, Machine, Now};
use super::pipeline::{Pipeline, Turn};
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::model::state::State;

/// Events that may wait for a slow sync before no more inputs are taken in.
const WAITING_EVENTS_MAX: usize = 65_536;

/// Events between two snapshots: folding so many takes a tenth of a second.
const SNAPSHOT_EVENTS: u64 = 100_000;

/// What is to be done now.
#[derive(Debug)]
pub enum Due {
    /// Nothing, until something arrives, a batch is durable, or [`Cycle::wake_ms`] comes.
    Nothing,
    /// Append these events, and call [`Cycle::durable`] when they are on the disk.
    Append(Vec<Recorded>),
    /// Carry these effects out, in order.
    Execute(Vec<Effect>),
    /// Carry these effects out, and end the process.
    End(Vec<Effect>, Ending),
}

/// The machine, and what it has decided but nobody has heard of yet.
pub struct Cycle {
    machine: Machine,
    pipeline: Pipeline,
    /// Workers that are not started any more, as the machine is told in the next turn.
    left_out: Vec<Input>,
    wake_ms: Option<u64>,
    snapshot_at: u64,
}

impl Cycle {
    /// A machine that has started on a log whose head is `head`. The first turn is due at once.
    pub fn new(machine: Machine, head: Sequence) -> Self {
        Self {
            machine,
            pipeline: Pipeline::default(),
            left_out: Vec::new(),
            wake_ms: Some(0),
            snapshot_at: head.0 + SNAPSHOT_EVENTS,
        }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The working state, when nothing more is to happen.
    pub fn into_state(self) -> State {
        self.machine.into_state()
    }

    /// When the next turn is due if nothing arrives before, in monotonic milliseconds.
    pub fn wake_ms(&self) -> Option<u64> {
        self.wake_ms
    }

    /// Takes in what has arrived, and decides. To be called after [`durable`](Self::durable), too.
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

    /// What is to be done next. To be called until it says [`Due::Nothing`] or [`Due::Append`].
    pub fn due(&mut self) -> Due {
        match self.pipeline.turn() {
            Turn::Wait => Due::Nothing,
            Turn::Append(batch) => Due::Append(batch),
            Turn::Execute(effects) if effects.is_empty() => Due::Nothing,
            Turn::Execute(effects) => self.carried(effects),
        }
    }

    /// The batch is on the disk: only now does anybody hear of it.
    pub fn durable(&mut self) -> Due {
        let effects = self.pipeline.durable();
        self.carried(effects)
    }

    /// Takes out of the effects what is decided at this moment: the end, and workers that were to
    /// be started when their start still made sense.
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

    /// Whether to take in nothing for the moment: the disk is slow, or a snapshot has been overdue
    /// for so long that the log has to stand still for it. `head` is the log's.
    pub fn is_full(&self, head: Sequence) -> bool {
        let overdue = head.0 >= self.snapshot_at + SNAPSHOT_EVENTS;
        let waiting = self.pipeline.waiting_events() >= WAITING_EVENTS_MAX;
        self.pipeline.is_committing() && (overdue || waiting)
    }

    /// Whether a batch is on its way to the disk.
    pub fn is_committing(&self) -> bool {
        self.pipeline.is_committing()
    }

    /// Whether everything that was decided has been carried out.
    pub fn is_empty(&self) -> bool {
        self.pipeline.is_empty()
    }

    /// The state to take a snapshot of, when one is due and the working state is what is on the
    /// disk, whose head is `head`. A `final` one is always due.
    pub fn snapshot(&mut self, head: Sequence, is_final: bool) -> Option<&State> {
        let due = is_final || head.0 >= self.snapshot_at;
        if !due || self.machine.state().sequence != head {
            return None;
        }
        self.snapshot_at = head.0 + SNAPSHOT_EVENTS;
        Some(self.machine.state())
    }
}
