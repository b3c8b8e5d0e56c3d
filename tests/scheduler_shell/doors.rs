//! The socket itself, and what clients read from it.

use std::os::unix::fs::PermissionsExt;

use crewlog::model::ids::Sequence;
use crewlog::protocol::{ClientMessage, SchedulerMessage, StopMode, ToClient, WorkerMessage};
use crewlog::queue::encoding;

use crate::kit::{Peer, Rig, Wish, features, next_id, private};

#[tokio::test]
async fn the_socket_is_its_users_alone() {
    let rig = Rig::memory().await;
    let mode = |path: &std::path::Path| {
        let metadata = path.metadata().expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&rig.socket), 0o600);
    assert_eq!(mode(rig.socket.parent().expect("its directory")), 0o700);
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn the_socket_may_lie_deep() {
    let dir = private();
    let deep = dir.path().join("x".repeat(200)).join("y".repeat(200));
    std::fs::create_dir_all(&deep).expect("directories");
    // A socket that a killed scheduler has left there is nobody's.
    let socket = deep.join("socket");
    std::fs::write(&socket, "").expect("a left-over");
    let wish = Wish {
        dir,
        socket: Some(socket),
        ..Wish::default()
    };
    let rig = Rig::start(wish).await;
    assert!(rig.socket.as_os_str().len() > 400);
    let mut worker = rig.worker(1).await;
    worker.say(&WorkerMessage::Ready).await;
    rig.person(features(1..=1)).await;
    worker.job().await;
    rig.stop().await.1.expect("it ends");
}

/// Reads events until `CaughtUp`, or until one with this sequence.
async fn read(peer: &mut Peer, next: &mut u64, until: Option<u64>) -> Option<Sequence> {
    while until.is_none_or(|until| *next <= until) {
        match peer.hear().await? {
            ToClient::Events { envelopes } => {
                for bytes in envelopes {
                    let envelope = encoding::decode(&bytes).expect("an envelope");
                    assert_eq!(envelope.sequence.0, *next, "no gap and no repeat");
                    *next += 1;
                }
            }
            ToClient::CaughtUp { head } => return Some(head),
            other => panic!("not a part of the log: {other:?}"),
        }
    }
    None
}

#[tokio::test]
async fn the_log_is_read_without_gap_or_repeat_while_it_grows() {
    let rig = Rig::memory().await;
    let writer = async {
        let mut client = rig.client().await;
        for round in 0..60 {
            client
                .command(next_id(), features(round * 20 + 1..=round * 20 + 20))
                .await;
        }
    };
    let reader = async |from: u64, follow: bool| {
        let mut peer = rig.client().await;
        let from = Sequence(from);
        peer.say(&ClientMessage::Read { from, follow }).await;
        let mut next = from.0.max(1);
        let head = read(&mut peer, &mut next, None).await.expect("caught up");
        assert_eq!(head.0 + 1, next.max(1).min(head.0 + 1));
        if follow {
            read(&mut peer, &mut next, Some(1_200)).await;
        }
    };
    tokio::join!(
        writer,
        reader(0, true),
        reader(1, true),
        reader(700, true),
        reader(1, false),
        reader(5_000, false),
    );
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn commands_on_a_following_connection_are_answered() {
    let rig = Rig::memory().await;
    let mut peer = rig.client().await;
    let (from, follow) = (Sequence(1), true);
    peer.say(&ClientMessage::Read { from, follow }).await;
    let (id, command) = (next_id(), features(1..=3));
    peer.say(&ClientMessage::Command { id, command }).await;
    let (mut seen, mut answered) = (0, false);
    while !answered || seen < rig.log.head().sequence.0 {
        match peer.hear().await.expect("more") {
            ToClient::Events { envelopes } => seen += envelopes.len() as u64,
            ToClient::Accepted { last, .. } => {
                answered = true;
                assert!(rig.log.head().sequence >= last);
            }
            ToClient::CaughtUp { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    // Another wish to read takes the place of the first.
    let (from, follow) = (Sequence(2), false);
    peer.say(&ClientMessage::Read { from, follow }).await;
    let mut next = 2;
    read(&mut peer, &mut next, None).await.expect("caught up");
    assert_eq!(next, rig.log.head().sequence.0 + 1);
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn a_follower_gets_the_last_event_before_the_end() {
    let rig = Rig::memory().await;
    let mut peer = rig.client().await;
    let (from, follow) = (Sequence(1), true);
    peer.say(&ClientMessage::Read { from, follow }).await;
    let mut worker = rig.worker(1).await;
    let answer = async {
        let mut client = rig.client().await;
        client.say(&ClientMessage::Stop(StopMode::Drain)).await;
        let answer = client.hear::<ToClient>().await;
        assert_eq!(answer, Some(ToClient::Stopping));
        assert_eq!(client.hear::<ToClient>().await, None);
    };
    let leaves = async {
        while let Some(message) = worker.hear().await {
            if let SchedulerMessage::Drain { reason } = message {
                worker.say(&WorkerMessage::Leaving { reason }).await;
                break;
            }
        }
        drop(worker);
    };
    let follows = async {
        let (mut next, until) = (1, Some(u64::MAX));
        // Until the connection is closed; catching up comes first.
        while read(&mut peer, &mut next, until).await.is_some() {}
        next
    };
    let ((), (), next) = tokio::join!(answer, leaves, follows);
    rig.task.await.expect("no panic").expect("it ends");
    assert_eq!(
        next,
        rig.log.head().sequence.0 + 1,
        "WorkerLeft is the last one"
    );
}

#[tokio::test]
async fn a_repeated_command_gets_its_first_answer() {
    let rig = Rig::memory().await;
    let id = next_id();
    let first = rig.client().await.command(id, features(1..=5)).await;
    let again = rig.client().await.command(id, features(1..=5)).await;
    assert_eq!(first, again);
    assert!(matches!(first, ToClient::Accepted { .. }));
    let feature = crewlog::model::ids::FeatureId(77);
    let unknown = crewlog::model::command::PersonCommand::Remove { feature };
    let other = rig.person(unknown).await;
    assert!(matches!(other, ToClient::Rejected(_)), "{other:?}");
    rig.stop().await.1.expect("it ends");
}
