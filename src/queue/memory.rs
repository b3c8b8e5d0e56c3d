//! A log in memory, for tests and simulation. It encodes and chains like a durable log, and can be
//! made to fail in the middle of an append.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Error;
use super::content::{Contents, MemoryContents};
use super::log::{Chunk, EventLog, Head};
use super::pack::{self, Encoded};
use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};

/// How the next append fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The batch was handed to the system and never reached the disk.
    Lost,
    /// The batch reached the disk, and the writer died before it knew.
    Kept,
}

/// A log that lives as long as the value.
#[derive(Debug)]
pub struct MemoryLog {
    state: Mutex<State>,
    heads: watch::Sender<Head>,
    contents: Arc<MemoryContents>,
}

#[derive(Debug, Clone, Default)]
struct State {
    bytes: Vec<u8>,
    /// Where each event ends in `bytes`.
    ends: Vec<usize>,
    /// Where the events end that would survive a power cut.
    head: Head,
    epoch: Epoch,
    leads: bool,
    fault: Option<Fault>,
    poisoned: bool,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            heads: watch::Sender::new(Head::default()),
            contents: Arc::default(),
        }
    }

    /// Makes the next append fail. After it the log is unusable, as a durable one would be, until a
    /// [`MemoryLog::restart`].
    pub fn fail_next_append(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// What another process finds after this one died: everything that was synced, without a
    /// leader.
    pub fn restart(&self) -> Self {
        let mut state = self.state().clone();
        (state.leads, state.poisoned, state.fault) = (false, false, None);
        let heads = watch::Sender::new(state.head);
        let (state, contents) = (Mutex::new(state), Arc::clone(&self.contents));
        Self {
            state,
            heads,
            contents,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking test must not hide its own message behind this one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, state: &mut State, encoded: Encoded) -> Result<Head, Error> {
        for long in &encoded.long {
            self.contents.put(&long.bytes)?;
        }
        let fault = state.fault.take();
        if fault != Some(Fault::Lost) {
            let start = state.bytes.len();
            state
                .ends
                .extend(encoded.ends.iter().map(|end| start + end));
            state.bytes.extend_from_slice(&encoded.bytes);
            state.head = encoded.head;
        }
        if fault.is_some() {
            state.poisoned = true;
            return Err(poisoned());
        }
        self.heads.send_replace(state.head);
        Ok(state.head)
    }
}

fn poisoned() -> Error {
    let why = "a test asked for it".to_owned();
    Error::Poisoned { why }
}

impl State {
    fn check(&self, expected: Sequence, epoch: Epoch) -> Result<(), Error> {
        if self.poisoned {
            return Err(poisoned());
        }
        pack::check_turn(self.head, self.epoch, self.leads, expected, epoch)
    }
}

impl EventLog for MemoryLog {
    fn lead(&self) -> Result<Epoch, Error> {
        let mut state = self.state();
        if state.poisoned {
            return Err(poisoned());
        }
        state.epoch = pack::next_epoch(state.epoch, state.head);
        state.leads = true;
        Ok(state.epoch)
    }

    fn head(&self) -> Head {
        *self.heads.borrow()
    }

    fn append(
        &self,
        batch: &[Recorded],
        expected_head: Sequence,
        epoch: Epoch,
    ) -> Result<Head, Error> {
        let mut state = self.state();
        state.check(expected_head, epoch)?;
        if batch.is_empty() {
            return Ok(state.head);
        }
        let encoded = pack::encode(batch, state.head, epoch)?;
        self.commit(&mut state, encoded)
    }

    fn append_copied(
        &self,
        envelopes: &[u8],
        expected_head: Sequence,
        epoch: Epoch,
    ) -> Result<Head, Error> {
        let mut state = self.state();
        state.check(expected_head, epoch)?;
        if envelopes.is_empty() {
            return Ok(state.head);
        }
        let encoded = pack::copy(envelopes, state.head)?;
        self.commit(&mut state, encoded)
    }

    fn read(&self, from: Sequence, bytes_max: usize) -> Result<Chunk, Error> {
        let first = from.max(Sequence(1));
        let state = self.state();
        // What a failed append left behind must not be visible before the restart.
        let visible = usize::try_from(self.head().sequence.0).unwrap_or(usize::MAX);
        let ends = state.ends.get(..visible).unwrap_or(&state.ends);
        let skipped = usize::try_from(first.0 - 1).unwrap_or(usize::MAX);
        let Some(wanted) = ends.get(skipped..).filter(|wanted| !wanted.is_empty()) else {
            return Ok(Chunk::empty(first));
        };
        let start = skipped
            .checked_sub(1)
            .and_then(|last| ends.get(last).copied());
        let start = start.unwrap_or(0);
        let fitting = wanted.partition_point(|end| end - start <= bytes_max);
        let count = fitting.max(1);
        let end = wanted.get(count - 1).copied().unwrap_or(start);
        let bytes = state.bytes.get(start..end).unwrap_or_default().to_vec();
        Ok(Chunk {
            first,
            count,
            bytes,
        })
    }

    fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    fn contents(&self) -> &dyn Contents {
        &*self.contents
    }
}
