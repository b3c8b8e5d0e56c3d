//! What every log guarantees, whatever stores it: memory, sled, or later engines.

use std::sync::Arc;

use tokio::sync::watch;

use super::Error;
use super::content::Contents;
use super::encoding::{self, ChainHash, DecodeError, Envelope};
pub use super::head::Head;
use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};

/// Bytes of envelopes that a [`Subscription`] reads at once, and so the most that one follower
/// holds: a few hundred events.
pub const SUBSCRIPTION_BYTES_MAX: usize = 64 * 1024;

/// A log of events: dense sequences from 1, each event chained to the one before by hash.
///
/// One process leads: it takes an epoch with [`EventLog::lead`] and appends with it. The next
/// leader has a greater epoch, and appends with the old one fail forever.
///
/// All calls block until done, on the disk or the network; readers and followers may be on any
/// thread. What a reader has seen is durable.
pub trait EventLog: Send + Sync {
    /// Takes over the log for writing. The new epoch is greater than all earlier ones, and durable
    /// when this returns.
    fn lead(&self) -> Result<Epoch, Error>;

    /// The end of the log.
    fn head(&self) -> Head;

    /// Appends the whole batch or nothing, and returns when it is durable. The log must end at
    /// `expected_head` ([`Error::Conflict`]) and `epoch` must be the leading one
    /// ([`Error::Fenced`]); each event has that epoch and follows the one before
    /// ([`Error::NotNext`]). An empty batch changes nothing.
    fn append(
        &self,
        batch: &[Recorded],
        expected_head: Sequence,
        epoch: Epoch,
    ) -> Result<Head, Error>;

    /// Appends another log's envelopes unchanged, with their hashes and epochs: for import and
    /// replication. Long bodies must be in [`EventLog::contents`] already. The other conditions are
    /// those of [`EventLog::append`], except that events keep their epochs, which must not descend.
    fn append_copied(
        &self,
        envelopes: &[u8],
        expected_head: Sequence,
        epoch: Epoch,
    ) -> Result<Head, Error>;

    /// The envelopes from `from` on (0 and 1 both mean the first), in order, as many as fit into
    /// `bytes_max`, but at least one if one exists. Empty at the end of the log.
    fn read(&self, from: Sequence, bytes_max: usize) -> Result<Chunk, Error>;

    /// Follows the end of the log.
    fn heads(&self) -> watch::Receiver<Head>;

    /// The store of bodies that are too long for their envelopes.
    fn contents(&self) -> &dyn Contents;
}

/// Consecutive envelopes of a log, in their encoded form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The position of the first, or where it would be.
    pub first: Sequence,
    /// Number of envelopes.
    pub count: usize,
    /// The encoded bytes.
    pub bytes: Vec<u8>,
}

impl Chunk {
    /// A chunk without envelopes.
    pub fn empty(first: Sequence) -> Self {
        let (count, bytes) = (0, Vec::new());
        Self {
            first,
            count,
            bytes,
        }
    }

    /// True if there are no envelopes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The position after the last envelope.
    pub fn next(&self) -> Sequence {
        Sequence(self.first.0 + self.count as u64)
    }

    /// Iterates over the envelopes. An error is the last item.
    pub fn envelopes(&self) -> Envelopes<'_> {
        Envelopes::new(&self.bytes)
    }

    /// The events, with long bodies from `contents`.
    pub fn events(&self, contents: &dyn Contents) -> Result<Vec<Recorded>, Error> {
        let mut events = Vec::with_capacity(self.count);
        let mut sequence = self.first;
        for envelope in self.envelopes() {
            let envelope = envelope.map_err(|source| Error::Decode { sequence, source })?;
            events.push(recorded(&envelope, contents)?);
            sequence = envelope.sequence.next();
        }
        Ok(events)
    }
}

/// The event of an envelope, with a long body from `contents`.
pub fn recorded(envelope: &Envelope<'_>, contents: &dyn Contents) -> Result<Recorded, Error> {
    let recorded = match envelope.content() {
        None => envelope.recorded(),
        Some(hash) => envelope.recorded_with(&contents.get(&hash)?),
    };
    let sequence = envelope.sequence;
    recorded.map_err(|source| Error::Decode { sequence, source })
}

/// The hash of the event at `sequence`, zeros for 0; `None` beyond the head. It proves that a
/// snapshot belongs to this log.
pub fn hash_at(log: &dyn EventLog, sequence: Sequence) -> Result<Option<ChainHash>, Error> {
    if sequence.0 == 0 {
        return Ok(Some(ChainHash::default()));
    }
    let chunk = log.read(sequence, 1)?;
    let first = chunk.envelopes().next().transpose();
    let first = first.map_err(|source| Error::Decode { sequence, source })?;
    Ok(first.map(|envelope| envelope.hash()))
}

/// Iterates over consecutive envelopes. Checks each by itself (its crc, its fields), but not
/// sequence or chain.
#[derive(Clone, Debug)]
pub struct Envelopes<'a> {
    rest: &'a [u8],
}

impl<'a> Envelopes<'a> {
    /// Iterates over these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Envelopes<'a> {
    type Item = Result<Envelope<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let decoded = encoding::decode(self.rest);
        self.rest = match &decoded {
            Ok(envelope) => &self.rest[envelope.bytes.len()..],
            Err(_) => &[],
        };
        Some(decoded)
    }
}

/// One follower of a log: every event from a position on, once, in order. It holds only its
/// position and reads at its own pace, so a slow follower costs no memory.
pub struct Subscription {
    log: Arc<dyn EventLog>,
    heads: watch::Receiver<Head>,
    next: Sequence,
}

/// Follows `log` from `from` on: 0 and 1 are the first event; a later position than the end is
/// waited for.
pub fn subscribe(log: Arc<dyn EventLog>, from: Sequence) -> Subscription {
    let heads = log.heads();
    let next = from.max(Sequence(1));
    Subscription { log, heads, next }
}

impl Subscription {
    /// The position of the next event to return.
    pub fn position(&self) -> Sequence {
        self.next
    }

    /// The next events, at least one; waits until one exists. A call that is dropped while it waits
    /// has consumed nothing.
    pub async fn next_batch(&mut self) -> Result<Chunk, Error> {
        let next = self.next;
        let waited = self.heads.wait_for(|head| head.sequence >= next).await;
        // The sender lives in the log that we hold, so it still exists.
        debug_assert!(waited.is_ok());
        drop(waited);
        let chunk = self.log.read(next, SUBSCRIPTION_BYTES_MAX)?;
        self.next = chunk.next();
        Ok(chunk)
    }
}
