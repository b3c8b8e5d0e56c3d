//! The steps of every log before it writes: check that the batch comes next, encode and chain it,
//! and pack the envelopes into few values.

use super::Error;
use super::encoding::{self, Envelope, LongBody};
use super::log::{Envelopes, Head};
use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};

/// Largest value of the engine. sled stores up to about 9 KB safely: longer values are files of
/// their own that nothing syncs, and its leaf pages hold 16 values.
pub(super) const VALUE_BYTES_MAX: usize = 4 * 1024;

/// A batch ready to be written.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// The envelopes, one after the other.
    pub bytes: Vec<u8>,
    /// Where each envelope ends in `bytes`.
    pub ends: Vec<usize>,
    /// Bodies that must be stored before the envelopes.
    pub long: Vec<LongBody>,
    /// The end of the log after this batch.
    pub head: Head,
}

/// The checks of every kind of append. `current` is the newest epoch, and `leads` tells whether
/// this very handle took it: an earlier process's epoch does not count.
pub(super) fn check_turn(
    head: Head,
    current: Epoch,
    leads: bool,
    expected: Sequence,
    given: Epoch,
) -> Result<(), Error> {
    if given != current || !leads {
        return Err(Error::Fenced { current, given });
    }
    if expected != head.sequence {
        return Err(Error::Conflict { head, expected });
    }
    Ok(())
}

/// The epoch of the next leader. An imported log may contain greater ones than this log's.
pub(super) fn next_epoch(current: Epoch, head: Head) -> Epoch {
    Epoch(current.max(head.epoch).0.saturating_add(1))
}

/// Encodes a batch that follows `head`.
pub(super) fn encode(batch: &[Recorded], head: Head, epoch: Epoch) -> Result<Encoded, Error> {
    // Most events take less; more only costs a reallocation.
    let bytes = Vec::with_capacity(batch.len() * 256);
    let ends = Vec::with_capacity(batch.len());
    let long = Vec::new();
    let mut encoded = Encoded {
        bytes,
        ends,
        long,
        head,
    };
    for recorded in batch {
        let sequence = recorded.sequence;
        let after = encoded.head;
        check_next(sequence, after.sequence)?;
        if recorded.epoch != epoch {
            let why = format!(
                "its epoch is {}, but its writer's is {epoch}",
                recorded.epoch
            );
            return Err(Error::NotNext { sequence, why });
        }
        let (hash, long) = encoding::encode(recorded, &after.hash, &mut encoded.bytes)?;
        encoded.long.extend(long);
        encoded.ends.push(encoded.bytes.len());
        encoded.head = Head {
            sequence,
            hash,
            epoch,
        };
    }
    Ok(encoded)
}

/// Takes envelopes of another log, after checking that they follow `head`.
pub(super) fn copy(envelopes: &[u8], head: Head) -> Result<Encoded, Error> {
    let mut encoded = Encoded {
        head,
        ..Encoded::default()
    };
    for envelope in Envelopes::new(envelopes) {
        let sequence = encoded.head.sequence.next();
        let envelope = envelope.map_err(|source| Error::Decode { sequence, source })?;
        encoded.head = follow(encoded.head, &envelope)?;
        encoded.bytes.extend_from_slice(envelope.bytes);
        encoded.ends.push(encoded.bytes.len());
    }
    Ok(encoded)
}

/// The head after `envelope`, if it follows `head`.
pub(super) fn follow(head: Head, envelope: &Envelope<'_>) -> Result<Head, Error> {
    let (sequence, epoch) = (envelope.sequence, envelope.epoch);
    check_next(sequence, head.sequence)?;
    let why = if envelope.previous != head.hash {
        format!(
            "it follows event {}, but the event before it is {}",
            envelope.previous, head.hash
        )
    } else if epoch < head.epoch {
        format!(
            "its epoch {epoch} is lower than its predecessor's, {}",
            head.epoch
        )
    } else {
        let hash = envelope.hash();
        return Ok(Head {
            sequence,
            hash,
            epoch,
        });
    };
    Err(Error::NotNext { sequence, why })
}

fn check_next(sequence: Sequence, after: Sequence) -> Result<(), Error> {
    // No log reaches eighteen digits of events; an overflow must be impossible anyway.
    if after.0.checked_add(1) == Some(sequence.0) {
        return Ok(());
    }
    let why = format!("it must follow event {after}");
    Err(Error::NotNext { sequence, why })
}

/// Several envelopes under one key, which is the first one's sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    /// The first envelope's position.
    pub first: Sequence,
    /// The encoded bytes.
    pub bytes: Vec<u8>,
}

/// Packs a batch into few values, because the engine's cost is per key and a log of few keys opens
/// fast. If all of it fits into the log's last value, that value is written again with the batch at
/// its end; otherwise the batch begins a value of its own. So every batch of up to 4 KiB is one
/// value, which sled writes three times as fast as two. Afterwards, the last value is the tail.
pub(super) fn pack(tail: &Value, encoded: &Encoded) -> Result<Vec<Value>, Error> {
    let fits = tail.bytes.len() + encoded.bytes.len() <= VALUE_BYTES_MAX;
    if fits && !tail.bytes.is_empty() {
        let (first, bytes) = (tail.first, [&tail.bytes[..], &encoded.bytes].concat());
        return Ok(vec![Value { first, bytes }]);
    }
    let mut values: Vec<Value> = Vec::new();
    let count = encoded.ends.len() as u64;
    let mut start = 0;
    for (sequence, &end) in (encoded.head.sequence.0 + 1 - count..).zip(&encoded.ends) {
        let envelope = encoded.bytes.get(start..end).unwrap_or_default();
        check_value(envelope)?;
        match values.last_mut() {
            Some(last) if last.bytes.len() + envelope.len() <= VALUE_BYTES_MAX => {
                last.bytes.extend_from_slice(envelope);
            }
            _ => {
                let (first, bytes) = (Sequence(sequence), envelope.to_vec());
                values.push(Value { first, bytes });
            }
        }
        start = end;
    }
    Ok(values)
}

/// No value longer than the limit may reach the engine.
pub(super) fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::Oversized {
        what: "a value of the storage engine",
        bytes: value.len(),
        bytes_max: VALUE_BYTES_MAX,
    })
}
