//! Who caused an event, in its envelope; and the hash that vouches for both.

use std::fmt::Write as _;

use crewlog::model::actor::Actor;
use crewlog::model::event::Recorded;
use crewlog::model::ids::{AttemptId, WorkerId};
use crewlog::queue::encoding::{self, ChainHash};

use crate::storage_common::small;
use crate::{EPOCH, encoded, golden, hex, read, rewritten, unhex};

const ACTORS: &str = include_str!("../golden/actors.hex");

/// One of each actor, with the name of its golden line.
pub fn actors() -> [(&'static str, Actor); 6] {
    let attempt = Some(AttemptId(0x0102_0304_0506_0708));
    let pid = 0x0a0b_0c0d;
    [
        ("unknown", Actor::Unknown),
        ("scheduler", Actor::Scheduler),
        ("person", Actor::person(1000, pid, "pts/3")),
        ("worker", Actor::Worker(WorkerId(0x1112_1314_1516_1718))),
        ("hidden-agent", Actor::Agent { attempt: None, pid }),
        ("agent", Actor::Agent { attempt, pid }),
    ]
}

#[test]
fn every_actor_has_golden_bytes_and_reads() {
    let mut missing = String::new();
    for (name, actor) in actors() {
        let recorded = Recorded {
            actor,
            ..small(7, EPOCH)
        };
        let bytes = encoded(&recorded);
        let written = hex(&bytes);
        let lines = ACTORS.lines().filter_map(|line| line.split_once(' '));
        let golden: Vec<&str> = lines.filter(|it| it.0 == name).map(|it| it.1).collect();
        // Also those of an earlier version of the event.
        for line in &golden {
            assert_eq!(read(&unhex(line)), Ok(recorded.clone()), "{name}");
        }
        let line = format!("{name} {written}");
        if !golden.contains(&&*written) {
            writeln!(missing, "{line}").unwrap();
        }
    }
    assert!(
        missing.is_empty(),
        "not as in tests/golden/actors.hex, whose lines are never changed:\n{missing}"
    );
}

/// What builds before actors wrote is read as somebody's.
#[test]
fn an_envelope_without_an_actor_reads_as_nobodys() {
    let bytes = golden().remove(&(21, 1)).unwrap();
    assert_eq!(bytes[4], 1);
    let envelope = encoding::decode(&bytes).unwrap();
    assert_eq!(
        (envelope.actor, envelope.body.len()),
        (None, bytes.len() - 90)
    );
    assert_eq!(envelope.recorded().unwrap().actor, Actor::Unknown);
}

#[test]
fn an_actor_that_nobody_writes_is_refused() {
    let bytes = encoded(&Recorded {
        actor: Actor::Scheduler,
        ..small(7, EPOCH)
    });
    let actor = |actor: &[u8]| {
        rewritten(&bytes, |bytes| {
            let length = [actor.len() as u8];
            bytes.splice(86..88, length.iter().chain(actor).copied());
        })
    };
    let table: [(&[u8], &str); 7] = [
        (&[], "it is empty"),
        (&[6], "its kind is unknown"),
        (&[0, 0], "unexpected bytes follow it"),
        (&[3, 1, 2, 3], "it is too short"),
        (
            &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0xff],
            "its terminal is not valid text",
        ),
        (&[5; 14], "unexpected bytes follow it"),
        (&[2; 60], "it is too long"),
    ];
    for (bytes, expected) in table {
        let error = read(&actor(bytes)).expect_err(expected).to_string();
        assert!(error.contains(expected), "{bytes:02x?}: {error}");
    }
}

#[test]
fn each_hash_vouches_for_all_before() {
    let mut first = Vec::new();
    let start = ChainHash::default();
    let (one, _) = encoding::encode(&small(1, EPOCH), &start, &mut first).unwrap();
    let mut second = Vec::new();
    let (two, _) = encoding::encode(&small(2, EPOCH), &one, &mut second).unwrap();
    let (other, _) = encoding::encode(&small(2, EPOCH), &start, &mut Vec::new()).unwrap();
    assert_ne!(two, other);
    assert_eq!(encoding::decode(&second).unwrap().previous, one);
    assert_eq!(encoding::decode(&second).unwrap().hash(), two);
}
