//! Nobody hears of anything before it is on the disk.

use std::sync::{Arc, Condvar, Mutex};

use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};
use tokio_util::codec::FramedRead;

use crewlog::model::event::Recorded;
use crewlog::model::ids::{Epoch, Sequence};
use crewlog::protocol::{ClientMessage, Role, ToClient, decode, encode};
use crewlog::queue::Error;
use crewlog::queue::content::Contents;
use crewlog::queue::log::{Chunk, EventLog, Head};
use crewlog::queue::memory::{Fault, MemoryLog};
use crewlog::scheduler;

use crate::kit::{Rig, Wish, features, next_id};

/// A log whose disk stops when it is told to.
struct Gated {
    log: MemoryLog,
    closed: Mutex<bool>,
    opens: Condvar,
    waits: Notify,
    panics: Mutex<bool>,
}

impl Gated {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            log: MemoryLog::new(),
            closed: Mutex::new(false),
            opens: Condvar::new(),
            waits: Notify::new(),
            panics: Mutex::new(false),
        })
    }

    fn set(&self, closed: bool) {
        *self.closed.lock().expect("gate") = closed;
        self.opens.notify_all();
    }
}

impl EventLog for Gated {
    fn lead(&self) -> Result<Epoch, Error> {
        self.log.lead()
    }

    fn head(&self) -> Head {
        self.log.head()
    }

    fn append(&self, batch: &[Recorded], head: Sequence, epoch: Epoch) -> Result<Head, Error> {
        assert!(!*self.panics.lock().expect("panics"), "a bug of the log");
        let mut closed = self.closed.lock().expect("gate");
        while *closed {
            self.waits.notify_one();
            closed = self.opens.wait(closed).expect("gate");
        }
        self.log.append(batch, head, epoch)
    }

    fn append_copied(&self, bytes: &[u8], head: Sequence, epoch: Epoch) -> Result<Head, Error> {
        self.log.append_copied(bytes, head, epoch)
    }

    fn read(&self, from: Sequence, bytes_max: usize) -> Result<Chunk, Error> {
        self.log.read(from, bytes_max)
    }

    fn heads(&self) -> watch::Receiver<Head> {
        self.log.heads()
    }

    fn contents(&self) -> &dyn Contents {
        self.log.contents()
    }
}

async fn rig(log: Arc<dyn EventLog>) -> Rig {
    let wish = Wish {
        log,
        ..Wish::default()
    };
    Rig::start(wish).await
}

#[tokio::test]
async fn an_answer_waits_for_the_disk_also_a_repeated_one() {
    let log = Gated::new();
    let rig = rig(log.clone()).await;
    let (mut one, mut two) = (rig.client().await, rig.client().await);
    rig.person(features(1..=1)).await;
    log.set(true);
    let (id, command) = (next_id(), features(2..=3));
    let said = ClientMessage::Command { id, command };
    one.say(&said).await;
    log.waits.notified().await;
    // The batch is on its way; now the same command comes by another door.
    two.say(&said).await;
    {
        let (first, second) = (one.hear::<ToClient>(), two.hear::<ToClient>());
        tokio::pin!(first, second);
        for _ in 0..1_000 {
            assert!(
                futures::poll!(&mut first).is_pending(),
                "nothing is durable"
            );
            assert!(
                futures::poll!(&mut second).is_pending(),
                "nor for the second"
            );
            tokio::task::yield_now().await;
        }
        log.set(false);
        let (first, second) = (first.await, second.await);
        assert!(
            matches!(first, Some(ToClient::Accepted { .. })),
            "{first:?}"
        );
        assert_eq!(first, second);
    }
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn all_that_waits_shares_the_next_sync() {
    let log = Gated::new();
    let rig = rig(log.clone()).await;
    let mut client = rig.client().await;
    client.command(next_id(), features(1..=1)).await;
    log.set(true);
    for number in 2..=101 {
        let (id, command) = (next_id(), features(number..=number));
        client.say(&ClientMessage::Command { id, command }).await;
    }
    log.waits.notified().await;
    log.set(false);
    let mut heads = log.heads();
    let mut syncs = 0;
    for _ in 2..=101 {
        assert!(matches!(
            client.hear().await,
            Some(ToClient::Accepted { .. })
        ));
        syncs += u32::from(heads.has_changed().expect("a log"));
        heads.mark_unchanged();
    }
    assert!(syncs <= 10, "{syncs} for a hundred commands");
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn a_client_may_say_as_much_as_it_likes_before_it_listens() {
    const COMMANDS: u32 = 3_000;
    let log = Gated::new();
    let rig = rig(log.clone()).await;
    let client = rig.client().await;
    let (reading, mut writing) = tokio::io::split(client.frames.into_inner());
    log.set(true);
    let said = async {
        for number in 1..=COMMANDS {
            let (id, command) = (next_id(), features(number..=number));
            let said = encode(Role::Client, &ClientMessage::Command { id, command });
            let said = said.expect("a frame");
            writing.write_u32_le(said.len() as u32).await.expect("sent");
            writing.write_all(&said).await.expect("sent");
        }
    };
    tokio::pin!(said);
    // All that the scheduler takes in now is answered at once, when the disk goes on.
    for _ in 0..10_000 {
        if futures::poll!(&mut said).is_ready() {
            break;
        }
        tokio::task::yield_now().await;
    }
    log.set(false);
    let heard = async {
        let mut frames = FramedRead::new(reading, Role::Client.codec());
        for number in 1..=COMMANDS {
            let frame = frames.next().await.map(|frame| frame.expect("a frame"));
            let frame = frame.unwrap_or_else(|| panic!("no answer to command {number}"));
            let answer: ToClient = decode(Role::Client, &frame).expect("an answer");
            assert!(matches!(answer, ToClient::Accepted { .. }), "{answer:?}");
        }
    };
    futures::join!(said, heard);
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn a_log_that_fails_ends_the_process_and_nobody_is_answered() {
    for fault in [Fault::Lost, Fault::Kept] {
        let log = Arc::new(MemoryLog::new());
        let rig = rig(log.clone()).await;
        let mut client = rig.client().await;
        client.command(next_id(), features(1..=1)).await;
        log.fail_next_append(fault);
        let (id, command) = (next_id(), features(2..=2));
        client.say(&ClientMessage::Command { id, command }).await;
        assert_eq!(client.hear::<ToClient>().await, None, "{fault:?}");
        let ended = rig.task.await.expect("no panic");
        assert!(matches!(ended, Err(scheduler::Error::Log(_))), "{ended:?}");
        assert!(!rig.socket.exists());
        // The next one starts on what is there.
        let rig = self::rig(Arc::new(log.restart())).await;
        let again = rig.client().await.command(id, features(2..=2)).await;
        assert!(matches!(again, ToClient::Accepted { .. }), "{again:?}");
        rig.stop().await.1.expect("it ends");
    }
}

#[tokio::test]
async fn a_log_that_panics_ends_the_process() {
    let log = Gated::new();
    let rig = rig(log.clone()).await;
    let mut client = rig.client().await;
    *log.panics.lock().expect("panics") = true;
    let (id, command) = (next_id(), features(1..=1));
    client.say(&ClientMessage::Command { id, command }).await;
    assert_eq!(client.hear::<ToClient>().await, None);
    let ended = rig.task.await.expect("no panic of its own");
    assert!(
        matches!(ended, Err(scheduler::Error::CommitterGone)),
        "{ended:?}"
    );
}
