//! The bytes of an actor in an envelope: one byte for the length, then, little endian:
//!
//! | first byte | then | actor |
//! |---|---|---|
//! | 0 | | unknown |
//! | 1 | | scheduler |
//! | 2 | uid 4, pid 4, the terminal's name in UTF-8 to the end | person |
//! | 3 | worker 8 | worker |
//! | 4 | pid 4 | agent of an attempt that is not known |
//! | 5 | attempt 8, pid 4 | agent |
//!
//! Each actor has exactly one form, so an event that was read is written with the same bytes.

use super::DecodeError;
use crate::model::actor::{Actor, TERMINAL_BYTES_MAX};
use crate::model::clip::clip;
use crate::model::ids::{AttemptId, WorkerId};

/// Bytes of the longest actor: a person at a terminal with a long name.
pub const ACTOR_BYTES_MAX: usize = 1 + 4 + 4 + TERMINAL_BYTES_MAX;

const UNKNOWN: u8 = 0;
const SCHEDULER: u8 = 1;
const PERSON: u8 = 2;
const WORKER: u8 = 3;
const HIDDEN_AGENT: u8 = 4;
const AGENT: u8 = 5;

/// Appends the actor, its length first.
pub(super) fn put(actor: &Actor, out: &mut Vec<u8>) {
    let length_at = out.len();
    out.push(0);
    match actor {
        Actor::Unknown => out.push(UNKNOWN),
        Actor::Scheduler => out.push(SCHEDULER),
        Actor::Person { uid, pid, tty } => {
            out.push(PERSON);
            out.extend_from_slice(&uid.to_le_bytes());
            out.extend_from_slice(&pid.to_le_bytes());
            // `Actor::person` has cut it already; one that was built by hand is cut here.
            out.extend_from_slice(clip(tty, TERMINAL_BYTES_MAX).as_bytes());
        }
        Actor::Worker(worker) => {
            out.push(WORKER);
            out.extend_from_slice(&worker.0.to_le_bytes());
        }
        Actor::Agent { attempt: None, pid } => {
            out.push(HIDDEN_AGENT);
            out.extend_from_slice(&pid.to_le_bytes());
        }
        Actor::Agent {
            attempt: Some(attempt),
            pid,
        } => {
            out.push(AGENT);
            out.extend_from_slice(&attempt.0.to_le_bytes());
            out.extend_from_slice(&pid.to_le_bytes());
        }
    }
    // At most ACTOR_BYTES_MAX, which fits into a byte.
    let length = (out.len() - length_at - 1) as u8;
    if let Some(place) = out.get_mut(length_at) {
        *place = length;
    }
}

/// The actor's bytes at the beginning of what follows the header.
pub(super) fn field(rest: &[u8]) -> Result<&[u8], DecodeError> {
    let truncated = |needed: usize| DecodeError::Truncated {
        needed: super::HEADER_BYTES + needed + super::CRC_BYTES,
        found: super::HEADER_BYTES + rest.len(),
    };
    let (&length, actor) = rest.split_first().ok_or(truncated(1))?;
    let length = usize::from(length);
    if length > ACTOR_BYTES_MAX {
        return Err(DecodeError::Actor("it is too long"));
    }
    actor.get(..length).ok_or(truncated(1 + length))
}

/// Decodes an actor.
pub(super) fn read(bytes: &[u8]) -> Result<Actor, DecodeError> {
    let (&first, mut rest) = bytes
        .split_first()
        .ok_or(DecodeError::Actor("it is empty"))?;
    let actor = match first {
        UNKNOWN => Actor::Unknown,
        SCHEDULER => Actor::Scheduler,
        PERSON => {
            let uid = u32::from_le_bytes(take(&mut rest)?);
            let pid = u32::from_le_bytes(take(&mut rest)?);
            let tty = std::str::from_utf8(rest);
            let tty = tty.map_err(|_| DecodeError::Actor("its terminal is not valid text"))?;
            rest = &[];
            let tty = tty.to_owned();
            Actor::Person { uid, pid, tty }
        }
        WORKER => Actor::Worker(WorkerId(u64::from_le_bytes(take(&mut rest)?))),
        HIDDEN_AGENT => Actor::Agent {
            attempt: None,
            pid: u32::from_le_bytes(take(&mut rest)?),
        },
        AGENT => Actor::Agent {
            attempt: Some(AttemptId(u64::from_le_bytes(take(&mut rest)?))),
            pid: u32::from_le_bytes(take(&mut rest)?),
        },
        _ => return Err(DecodeError::Actor("its kind is unknown")),
    };
    match rest {
        [] => Ok(actor),
        _ => Err(DecodeError::Actor("unexpected bytes follow it")),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (first, after) = rest
        .split_first_chunk()
        .ok_or(DecodeError::Actor("it is too short"))?;
    *rest = after;
    Ok(*first)
}
