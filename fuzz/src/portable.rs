//! The portable log. The first byte chooses: the file as it is; the file with its last checksum
//! made to fit; or a sound file of the events that follow, with some bytes of it changed.

use std::io::Cursor;

use crewlog::model::actor::Actor;
use crewlog::model::event::Recorded;
use crewlog::model::ids::{CommandId, Epoch, Sequence, Timestamp};
use crewlog::queue::log::{EventLog, Head};
use crewlog::queue::memory::MemoryLog;
use crewlog::queue::portable::{read_portable, write_portable};
use sha2::{Digest, Sha256};

use super::take::Take;
use super::{fold, useful};

const HASH_BYTES: usize = 32;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    match take.byte() % 3 {
        0 => drop(read(take.0)),
        1 => drop(read(&fitting(take.0))),
        _ => altered(take),
    }
}

/// Takes a file in. What is accepted is written again with the same bytes; what is refused leaves
/// the log empty.
fn read(bytes: &[u8]) -> bool {
    let log = MemoryLog::new();
    let epoch = log.lead().expect("a new log");
    match read_portable(Cursor::new(bytes), &log, epoch) {
        Ok(head) => {
            assert_eq!(head, log.head());
            let mut again = Vec::new();
            assert_eq!(write_portable(&log, &mut again).expect("written"), head);
            assert!(again == bytes, "an accepted file is written differently");
            true
        }
        Err(error) => {
            useful(&error.to_string());
            assert_eq!(log.head(), Head::default(), "a refused file left something");
            false
        }
    }
}

/// The bytes with a checksum of them behind.
fn fitting(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[..bytes.len().saturating_sub(HASH_BYTES)];
    let mut whole = body.to_vec();
    whole.extend_from_slice(&Sha256::digest(body));
    whole
}

/// A file of ours is accepted, and with any byte changed it is not.
fn altered(mut take: Take<'_>) {
    let (at, mask) = (usize::from(take.short()), take.byte());
    let log = MemoryLog::new();
    let epoch = log.lead().expect("a new log");
    let batch: Vec<Recorded> = (1..)
        .zip(fold::events(take.0))
        .map(|(sequence, event)| Recorded {
            sequence: Sequence(sequence),
            epoch,
            at: Timestamp(sequence),
            cause: CommandId(1),
            actor: Actor::Unknown,
            event,
        })
        .collect();
    log.append(&batch, Sequence(0), Epoch(epoch.0))
        .expect("appended");
    let mut bytes = Vec::new();
    write_portable(&log, &mut bytes).expect("written");
    assert!(read(&bytes), "a file of ours is refused");
    let at = at % bytes.len();
    bytes[at] ^= mask;
    assert_eq!(
        read(&bytes),
        mask == 0,
        "byte {at} was changed by {mask:02x}"
    );
}
