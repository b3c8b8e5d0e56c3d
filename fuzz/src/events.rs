//! The decoder of events. The first byte chooses: envelopes as they are, envelopes whose length
//! and crc are made to fit, or the body of one kind of event.

use crewlog::model::actor::Actor;
use crewlog::model::event::{Event, Recorded};
use crewlog::model::ids::{AttemptId, CommandId, Epoch, Sequence, Timestamp, WorkerId};
use crewlog::queue::encoding::{
    self, CRC_BYTES, ChainHash, Codec, DecodeError, Envelope, HEADER_BYTES,
    INLINE_ENVELOPE_BYTES_MAX,
};
use crewlog::queue::log::Envelopes;

use super::take::Take;
use super::useful;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    let choice = usize::from(take.byte());
    match Event::KINDS.get(choice) {
        Some(_) => body(choice, take.0),
        None if choice % 2 == 0 => envelopes(take.0),
        None => envelopes(&fitting(take.0)),
    }
}

/// One of each actor.
fn actor(number: u64) -> Actor {
    let pid = (number >> 3) as u32;
    let attempt = AttemptId(number);
    match number % 6 {
        0 => Actor::Unknown,
        1 => Actor::Scheduler,
        2 => Actor::person(pid, pid.rotate_left(9), &format!("pts/{number}")),
        3 => Actor::Worker(WorkerId(number)),
        4 => Actor::Agent { attempt: None, pid },
        _ => Actor::Agent {
            attempt: Some(attempt),
            pid,
        },
    }
}

/// The body of one kind of event: what is read is written with the same bytes.
fn body(kind: usize, bytes: &[u8]) {
    let event = match encoding::decode_body(Event::KINDS[kind].0, bytes) {
        Ok(event) => event,
        Err(error) => return useful(&error.to_string()),
    };
    let mut again = Vec::new();
    encoding::encode_body(&event, &mut again).expect("what was read can be written");
    assert_eq!(again, bytes, "{event:?}");
    let json = serde_json::to_string(&event).expect("events are JSON, too");
    assert_eq!(serde_json::from_str::<Event>(&json).expect("JSON"), event);
    let number = bytes.len() as u64;
    let recorded = Recorded {
        sequence: Sequence(number),
        epoch: Epoch(number << 9),
        at: Timestamp(number << 17),
        cause: CommandId(u128::from(number) << 99),
        actor: actor(number),
        event,
    };
    let mut out = Vec::new();
    let previous = ChainHash([7; 32]);
    let (hash, long) = encoding::encode(&recorded, &previous, &mut out).expect("short enough");
    let envelope = encoding::decode(&out).expect("our own envelope");
    assert_eq!((envelope.bytes, envelope.hash()), (&out[..], hash));
    assert!(out.len() <= INLINE_ENVELOPE_BYTES_MAX);
    let stored = long.as_ref().map_or(envelope.body, |long| &long.bytes);
    assert_eq!(
        envelope.recorded_with(stored).expect("it is there"),
        recorded
    );
}

fn envelopes(bytes: &[u8]) {
    let mut at = 0;
    for envelope in Envelopes::new(bytes) {
        match envelope {
            Ok(envelope) => {
                assert_eq!(
                    Some(envelope.bytes),
                    bytes.get(at..at + envelope.bytes.len())
                );
                at += envelope.bytes.len();
                one(&envelope);
            }
            Err(error) => useful(&error.to_string()),
        }
    }
}

fn one(envelope: &Envelope<'_>) {
    match (envelope.recorded(), envelope.codec) {
        (Ok(recorded), Codec::Inline) if envelope.bytes.len() <= INLINE_ENVELOPE_BYTES_MAX => {
            let mut again = Vec::new();
            encoding::encode(&recorded, &envelope.previous, &mut again).expect("it was written");
            let current = envelope.kind == recorded.event.kind();
            if current && envelope.actor.is_some() {
                assert_eq!(again, envelope.bytes);
            } else {
                // An older envelope or event is read and never written.
                assert!(!current || recorded.actor == Actor::Unknown);
                let written = encoding::decode(&again).expect("our own envelope");
                assert_eq!(written.recorded().as_ref(), Ok(&recorded));
            }
        }
        (Ok(_), Codec::Inline) => {}
        (Ok(_), Codec::Content) => panic!("a body that is elsewhere was read"),
        (Err(DecodeError::BodyElsewhere(hash)), codec) => {
            assert_eq!((codec, envelope.content()), (Codec::Content, Some(hash)));
        }
        (Err(error), _) => useful(&error.to_string()),
    }
}

/// The bytes as one envelope whose magic, version, lengths and crc are right. Its fifth byte
/// chooses the version, its actor is as long as it says or as there is room for.
pub fn fitting(bytes: &[u8]) -> Vec<u8> {
    let mut envelope = bytes.to_vec();
    envelope.resize(envelope.len().max(HEADER_BYTES), 0);
    envelope[..4].copy_from_slice(&encoding::MAGIC);
    envelope[4] = 1 + envelope[4] % encoding::ENVELOPE_VERSION;
    envelope[5] &= 1;
    let mut body_at = HEADER_BYTES;
    if envelope[4] != encoding::ENVELOPE_VERSION_WITHOUT_ACTOR {
        envelope.resize(envelope.len().max(HEADER_BYTES + 1), 0);
        let room = envelope.len() - HEADER_BYTES - 1;
        let actor = usize::from(envelope[HEADER_BYTES]).min(room);
        envelope[HEADER_BYTES] = actor as u8;
        body_at += 1 + actor;
    }
    let length = (envelope.len() - body_at) as u32;
    envelope[HEADER_BYTES - CRC_BYTES..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&envelope);
    envelope.extend_from_slice(&crc.to_le_bytes());
    envelope
}
