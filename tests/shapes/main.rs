//! What is written reads as it was: every event, every message, every state and every spooled
//! result, of every shape that its type allows. And what was ever written still reads.

#[path = "../storage_common/mod.rs"]
mod samples;
mod shape;

use std::fmt::Debug;
use std::io::Cursor;

use crewlog::model::actor::Actor;
use crewlog::model::event::{Event, Recorded};
use crewlog::model::ids::{AttemptId, CommandId, Epoch, Sequence, Timestamp, WorkerId};
use crewlog::model::state::State;
use crewlog::protocol::{
    ClientMessage, FrameError, Role, SchedulerMessage, ToClient, WorkerMessage, decode, encode,
};
use crewlog::queue::encoding::{self, ChainHash, INLINE_ENVELOPE_BYTES_MAX};
use crewlog::queue::log::EventLog;
use crewlog::queue::memory::MemoryLog;
use crewlog::queue::portable::read_portable;
use crewlog::worker::spool;
use serde::Serialize;
use serde::de::DeserializeOwned;

use shape::{Shape, any, any_variant};

/// Values of each kind of event.
const EVENTS_EACH: u64 = 150;
/// Values of each kind of message.
const MESSAGES_EACH: u64 = 100;

#[test]
fn every_event_reads_as_it_was_written() {
    for &(kind, name) in Event::KINDS {
        for seed in 0..EVENTS_EACH {
            let read = Event::deserialize_body(kind, &mut Shape::new(seed));
            let read = read.expect("a known kind");
            let event = read.unwrap_or_else(|error| {
                panic!("{name}, seed {seed}: {error}; does shape.rs know its fields of git's ids?")
            });
            let place = format!("{name}, seed {seed}");
            body(&event, &place);
            envelope(any_record(event, seed), &place);
        }
    }
}

fn body(event: &Event, place: &str) {
    let mut bytes = Vec::new();
    encoding::encode_body(event, &mut bytes).expect(place);
    assert_eq!(
        &encoding::decode_body(event.kind(), &bytes).expect(place),
        event,
        "{place}"
    );
    // A byte more or less is another event, or none.
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(
        encoding::decode_body(event.kind(), &longer).is_err(),
        "{place}"
    );
    if let Some((_, shorter)) = bytes.split_last() {
        assert!(
            encoding::decode_body(event.kind(), shorter).is_err(),
            "{place}"
        );
    }
    let json = serde_json::to_string(event).expect(place);
    assert_eq!(
        &serde_json::from_str::<Event>(&json).expect(place),
        event,
        "{place}"
    );
}

/// One of each actor, with any numbers.
fn any_actor(seed: u64) -> Actor {
    let (number, id): (u64, u32) = (any(seed + 1), any(seed + 2));
    let attempt = AttemptId(number);
    match seed % 6 {
        0 => Actor::Unknown,
        1 => Actor::Scheduler,
        2 => Actor::person(id, id.rotate_left(7), &any::<String>(seed + 3)),
        3 => Actor::Worker(WorkerId(number)),
        4 => Actor::Agent {
            attempt: None,
            pid: id,
        },
        _ => Actor::Agent {
            attempt: Some(attempt),
            pid: id,
        },
    }
}

fn any_record(event: Event, seed: u64) -> Recorded {
    Recorded {
        sequence: Sequence(any(seed)),
        epoch: Epoch(any(seed + 1)),
        at: Timestamp(any(seed + 2)),
        cause: CommandId(any(seed + 3)),
        actor: any_actor(seed + 4),
        event,
    }
}

fn envelope(recorded: Recorded, place: &str) {
    let (mut bytes, previous) = (Vec::new(), ChainHash(any(recorded.at.0)));
    let (hash, long) = encoding::encode(&recorded, &previous, &mut bytes).expect(place);
    assert!(bytes.len() <= INLINE_ENVELOPE_BYTES_MAX, "{place}");
    let envelope = encoding::decode(&bytes).expect(place);
    assert_eq!(
        (envelope.bytes, envelope.hash()),
        (&bytes[..], hash),
        "{place}"
    );
    assert_eq!(envelope.previous, previous, "{place}");
    let body = long.as_ref().map_or(envelope.body, |long| &long.bytes);
    assert_eq!(
        envelope.recorded_with(body).expect(place),
        recorded,
        "{place}"
    );
}

#[test]
fn every_message_reads_as_it_was_written() {
    messages::<WorkerMessage>(Role::Worker);
    messages::<SchedulerMessage>(Role::Worker);
    messages::<ClientMessage>(Role::Client);
    messages::<ToClient>(Role::Client);
}

fn messages<T: Serialize + DeserializeOwned + PartialEq + Debug>(role: Role) {
    let (_, variants) = any_variant::<T>(0);
    for seed in 0..MESSAGES_EACH * u64::from(variants) {
        let (message, _) = any_variant::<T>(seed);
        let bytes = encode(role, &message).expect("short enough");
        let read = decode::<T>(role, &bytes).expect("our own bytes");
        assert_eq!(read, message, "seed {seed}");
        let (_, shorter) = bytes.split_last().expect("a message has bytes");
        let mut longer = bytes.clone();
        longer.push(0);
        for wrong in [shorter, &longer] {
            let error = decode::<T>(role, wrong).expect_err("another length");
            assert!(matches!(error, FrameError::Body(_)), "seed {seed}: {error}");
        }
    }
}

/// States that no log would lead to, too: reading asks for no more than that the bytes are whole.
#[test]
fn every_state_reads_as_it_was_written() {
    for seed in 0..300 {
        let state: State = any(seed);
        let bytes = state.to_bytes().expect("bytes");
        let mut read = State::from_bytes(&bytes).expect("our own bytes");
        assert!(read.to_bytes().expect("bytes") == bytes, "seed {seed}");
        read.settle();
        assert!(read.to_bytes().expect("bytes") == bytes, "seed {seed}");
        let (_, shorter) = bytes.split_last().expect("a state has bytes");
        assert!(State::from_bytes(shorter).is_err(), "seed {seed}");
    }
}

#[test]
fn every_spooled_result_reads_as_it_was_written() {
    for seed in 0..300 {
        let mut entry: spool::Entry = any(seed);
        if let Some(result) = &mut entry.result {
            result.attempt = entry.attempt;
        }
        let bytes = spool::encode(&entry).expect("bytes");
        assert_eq!(
            spool::decode(&bytes).expect("our own bytes"),
            entry,
            "seed {seed}"
        );
    }
}

const PORTABLE_1: &[u8] = include_bytes!("../golden/samples-1.crewlog");
const SPOOL_1: &[u8] = include_bytes!("../golden/spool-1.json");

/// Every file that was ever released is kept in tests/golden; one is added when a layout changes.
#[test]
fn a_portable_log_of_layout_1_still_reads() {
    let log = MemoryLog::new();
    let epoch = log.lead().expect("a new log");
    let head = read_portable(Cursor::new(PORTABLE_1), &log, epoch).expect("a golden file");
    let read = log.read(Sequence(1), usize::MAX).expect("events");
    let read = read.events(log.contents()).expect("events");
    // New kinds come in between; each of the old ones is still there and says the same.
    let ours: Vec<Event> = samples::samples()
        .into_iter()
        .map(samples::without_profiles)
        .collect();
    assert_eq!(read.len() as u64, head.sequence.0);
    for recorded in &read {
        assert!(ours.contains(&recorded.event), "{recorded:?}");
    }
}

#[test]
fn a_spool_file_of_layout_1_still_reads() {
    let entry = spool::decode(SPOOL_1).expect("a golden file");
    let result = entry.result.expect("a result");
    assert_eq!(
        (entry.attempt.0, entry.branch.as_str()),
        (7, "crewlog/main")
    );
    assert_eq!(result.command, CommandId(u128::MAX));
    let crewlog::model::report::Report::Mergeable(merge) = result.report else {
        panic!("{:?}", result.report);
    };
    assert_eq!((merge.touched.len(), merge.evidence.len()), (1, 1));
}
