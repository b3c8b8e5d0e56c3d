//! The one thread that appends to the log.
//!
//! The loop decides the next batch while this one is on its way to the disk, so that everything
//! that arrives during a sync shares the next one.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;

use crate::model::event::Recorded;
use crate::model::ids::{Epoch, Sequence};
use crate::queue::{self, EventLog, Head};

/// What the thread says when a batch is durable, or that it cannot be made so.
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
    /// Waits for the thread, so that nobody holds the log any more when this is gone.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that writes the log panicked");
        }
    }
}

impl Committer {
    /// Starts the thread. It ends when this is dropped. Of the answers at most one is under way,
    /// because the loop hands out the next batch only after the last one's.
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

    /// Hands a batch over. False when the thread is gone.
    pub fn commit(&mut self, events: Vec<Recorded>) -> bool {
        let expected = self.expected;
        if let Some(last) = events.last() {
            self.expected = last.sequence;
        }
        let batch = Batch { events, expected };
        (self.batches.as_ref()).is_some_and(|batches| batches.send(batch).is_ok())
    }
}
