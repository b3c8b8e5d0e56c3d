//! The reader that searches a log's files for events as plain bytes. The input is the note of the
//! head, in its two bytes' length, then the engine's file: any bytes; or, as the first byte chooses,
//! events of ours in a row, with some bytes changed.

use std::fs;
use std::path::Path;

use crewlog::model::actor::Actor;
use crewlog::model::event::Recorded;
use crewlog::model::ids::{CommandId, Sequence, Timestamp};
use crewlog::queue::log::EventLog;
use crewlog::queue::memory::MemoryLog;
use crewlog::queue::portable::write_portable;
use crewlog::queue::reader::LogReader;

use super::take::Take;
use super::{fold, useful};

/// Bytes that are read at a time: several turns for some tens of events.
const READ_BYTES: usize = 4096;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    let (choice, head) = (take.byte(), take.sized());
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let dir = dir.expect("a directory");
    let home = dir.path().join("sled");
    fs::create_dir(&home).expect("a directory");
    fs::write(dir.path().join("head"), head).expect("a file");
    let (bytes, count) = match choice % 2 {
        0 => (take.0.to_vec(), None),
        _ => ours(take),
    };
    fs::write(home.join("db"), bytes).expect("a file");
    let mut reader = match LogReader::open(dir.path(), Sequence(0)) {
        Ok(reader) => reader,
        Err(error) => return useful(&error.to_string()),
    };
    let last = reader.head().sequence;
    if let Some(count) = count {
        assert!(last.0 <= count, "{last} of {count} events");
        assert!(
            !head.is_empty() || last.0 == count,
            "{last} of {count} events are found"
        );
    }
    let mut next = Sequence(1);
    while next <= last {
        let chunk = match reader.read(next, READ_BYTES) {
            Ok(chunk) => chunk,
            Err(error) => return useful(&error.to_string()),
        };
        assert!(
            chunk.first == next && chunk.count > 0,
            "a gap before {last}"
        );
        next = Sequence(next.0 + chunk.count as u64);
    }
    if let Err(error) = reader.ending() {
        useful(&error.to_string());
    }
}

/// Sound events in a row, and how many, if no byte of them was changed.
fn ours(mut take: Take<'_>) -> (Vec<u8>, Option<u64>) {
    let (at, mask) = (usize::from(take.short()), take.byte());
    let log = MemoryLog::new();
    let epoch = log.lead().expect("a new log");
    let events = fold::events(take.0).into_iter();
    let batch: Vec<Recorded> = (1..)
        .zip(events)
        .map(|(sequence, event)| Recorded {
            sequence: Sequence(sequence),
            epoch,
            at: Timestamp(sequence),
            cause: CommandId(1),
            actor: Actor::Unknown,
            event,
        })
        .collect();
    let count = batch.len() as u64;
    log.append(&batch, Sequence(0), epoch).expect("appended");
    // Its frame is noise between the events, as the engine's own is.
    let mut bytes = Vec::new();
    write_portable(&log, &mut bytes).expect("written");
    let at = at % bytes.len();
    bytes[at] ^= mask;
    (bytes, (mask == 0).then_some(count))
}
