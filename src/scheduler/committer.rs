//! The only thread that appends to the log.
//!
//! The loop decides the next batch while this thread writes one, so everything that arrives during
//! a sync shares the next sync.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;

use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};
use crate::queue::{self, EventLog, Head};

/// The thread's answer: the batch is durable, or cannot be made durable.
pub type Committed = (Vec<Recorded>, Result<Head, queue::Error>);

struct Batch {
    events: Vec<Recorded>,
    expected: Sequence,
}

/// Hands batches to the committing thread, one at a time.
pub struct Committer {
    batches: Option<mpsc::SyncSender<Batch>>,
    expected: Sequence,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Committer {
    /// Waits for the thread, so that the log is free when this is dropped.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that writes the log panicked");
        }
    }
}

impl Committer {
    /// Starts the thread, which ends when this is dropped. At most one answer is pending, because
    /// the loop hands over a batch only after the answer to the last one.
    pub fn start(
        log: Arc<dyn EventLog>,
        epoch: Epoch,
        committed: UnboundedSender<Committed>,
    ) -> std::io::Result<Self> {
        let expected = log.head().sequence;
        let (batches, waiting) = mpsc::sync_channel::<Batch>(1);
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || {
                for batch in waiting {
                    let head = log.append(&batch.events, batch.expected, epoch);
                    let failed = head.is_err();
                    if committed.send((batch.events, head)).is_err() || failed {
                        return;
                    }
                }
            })?;
        Ok(Self {
            batches: Some(batches),
            expected,
            thread: Some(thread),
        })
    }

    /// Hands over a batch. False if the thread has ended.
    pub fn commit(&mut self, events: Vec<Recorded>) -> bool {
        let expected = self.expected;
        if let Some(last) = events.last() {
            self.expected = last.sequence;
        }
        let batch = Batch { events, expected };
        (self.batches.as_ref()).is_some_and(|batches| batches.send(batch).is_ok())
    }
}
