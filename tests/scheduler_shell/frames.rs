//! Peers that do not speak as they should: each harms nobody but itself.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crewlog::protocol::{
    ClientMessage, Preamble, Role, SchedulerMessage, ToClient, VERSION, WorkerMessage, encode,
};

use crate::kit::{Peer, Rig, features, hello, raw};

/// Reads until the other side closes; a frame that is left open by a bug fails the test.
async fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    // A reset says the same as an end.
    drop(read.expect("it is closed"));
    bytes
}

fn preamble(version: u16, role: u16) -> Vec<u8> {
    let mut bytes = b"CREW".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(role.to_le_bytes());
    bytes
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn as_worker(message: &WorkerMessage) -> Vec<u8> {
    framed(&encode(Role::Worker, message).expect("a frame"))
}

/// What is said, and what the answer must name; nothing where none can be understood.
fn table() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let worker = |bytes: &[u8]| [preamble(VERSION, 1), bytes.to_vec()].concat();
    let client = |bytes: &[u8]| [preamble(VERSION, 2), bytes.to_vec()].concat();
    let trailing = {
        let mut body = encode(Role::Client, &ClientMessage::Live).expect("a frame");
        body.push(0);
        framed(&body)
    };
    let huge = |bytes: u32| bytes.to_le_bytes().to_vec();
    let twice = [as_worker(&hello(1)), as_worker(&hello(1))].concat();
    vec![
        ("no Crewlog", b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
        ("another version", preamble(VERSION + 1, 1), None),
        ("version 0", preamble(0, 1), None),
        ("no such role", preamble(VERSION, 9), None),
        ("another scheduler", preamble(VERSION, 3), None),
        (
            "too long for a worker",
            worker(&huge(33 << 20)),
            Some("cannot be decoded"),
        ),
        (
            "too long for a client",
            client(&huge(u32::MAX)),
            Some("cannot be decoded"),
        ),
        (
            "garbage",
            worker(&framed(&[0xff; 100])),
            Some("cannot be decoded"),
        ),
        (
            "an empty frame",
            worker(&framed(&[])),
            Some("cannot be decoded"),
        ),
        (
            "bytes after the message",
            client(&trailing),
            Some("cannot be decoded"),
        ),
        (
            "no such message",
            client(&framed(&[200, 0, 0, 0])),
            Some("cannot be decoded"),
        ),
        (
            "no hello",
            worker(&as_worker(&WorkerMessage::Ready)),
            Some("must be Hello"),
        ),
        ("two hellos", worker(&twice), Some("Hello was already sent")),
    ]
}

#[tokio::test]
async fn each_broken_frame_closes_its_own_connection_and_changes_nothing() {
    let rig = Rig::memory().await;
    let mut good = rig.worker(100).await;
    let mut joined = 0;
    for (what, bytes, expected) in table() {
        let before = rig.log.head().sequence;
        let mut stream = raw(&rig.socket).await;
        stream.write_all(&bytes).await.expect("sent");
        let answer = String::from_utf8_lossy(&rest(stream).await).into_owned();
        match expected {
            Some(words) => assert!(answer.contains(words), "{what}: {answer:?}"),
            None => assert!(answer.is_empty(), "{what}: {answer:?}"),
        }
        joined += u64::from(what == "two hellos");
        let after = rig.log.head().sequence;
        assert_eq!(after.0, before.0 + joined, "{what}: the log is as before");
    }
    // Whoever speaks well is served as before.
    good.say(&WorkerMessage::Ready).await;
    let answer = rig.person(features(1..=1)).await;
    assert!(matches!(answer, ToClient::Accepted { .. }), "{answer:?}");
    good.job().await;
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn a_sentence_that_breaks_off_changes_nothing() {
    let rig = Rig::memory().await;
    let import = ClientMessage::Command {
        id: crate::kit::next_id(),
        command: features(1..=3),
    };
    let whole = [
        Preamble { role: Role::Client }.encode().to_vec(),
        framed(&encode(Role::Client, &import).expect("a frame")),
    ]
    .concat();
    let before = rig.log.head().sequence;
    for end in 0..whole.len() {
        let mut stream = raw(&rig.socket).await;
        stream.write_all(&whole[..end]).await.expect("sent");
        stream.shutdown().await.expect("closed");
        rest(stream).await;
        assert_eq!(rig.log.head().sequence, before, "{end} bytes");
    }
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn nobody_waits_for_a_peer_that_does_not_read() {
    let rig = Rig::memory().await;
    // A follower that reads nothing while the log grows by far more than a socket holds.
    let mut deaf = rig.client().await;
    let (from, follow) = (crewlog::model::ids::Sequence(1), true);
    deaf.say(&ClientMessage::Read { from, follow }).await;
    // And one that asks and asks and does not listen.
    let mut chatty = Peer::connect(&rig.socket, Role::Client).await;
    let ask = encode(Role::Client, &ClientMessage::Live).expect("a frame");
    let ask = framed(&ask).repeat(1_000);
    let asking = tokio::spawn(async move {
        let stream = chatty.frames.get_mut();
        while stream.write_all(&ask).await.is_ok() {}
    });
    for round in 0..40 {
        let answer = rig
            .person(features(round * 100 + 1..=round * 100 + 100))
            .await;
        assert!(matches!(answer, ToClient::Accepted { .. }), "{answer:?}");
    }
    let mut worker = rig.worker(1).await;
    worker.say(&WorkerMessage::Ready).await;
    worker.job().await;
    // When it begins to listen, it has missed nothing.
    let mut next = 1;
    while next <= 4_000 {
        let Some(ToClient::Events { envelopes }) = deaf.hear().await else {
            continue;
        };
        for bytes in envelopes {
            let envelope = crewlog::queue::encoding::decode(&bytes).expect("an envelope");
            assert_eq!(envelope.sequence.0, next);
            next += 1;
        }
    }
    rig.stop().await.1.expect("it ends");
    asking.await.expect("it is cut off in the end");
}

#[tokio::test]
async fn a_wrong_peer_of_a_connection_is_told_why() {
    let rig = Rig::memory().await;
    let mut stranger = Peer::connect(&rig.socket, Role::Worker).await;
    let mut lie = hello(1);
    if let WorkerMessage::Hello { process, .. } = &mut lie {
        process.pid += 1;
    }
    stranger.say(&lie).await;
    let Some(SchedulerMessage::Refused(problem)) = stranger.hear().await else {
        panic!("not refused");
    };
    assert!(problem.what.contains("the kernel says"), "{problem}");
    assert_eq!(stranger.hear::<SchedulerMessage>().await, None, "closed");
    rig.stop().await.1.expect("it ends");
}
