//! The only access to sled. Its panics become errors like any other.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use super::super::Error;

/// How often a value that was read is read again, so that sled frees what it read before.
///
/// sled counts its page cache in 256 shards, and checks a shard's size only at every 64th access. A
/// reader that goes through a log in order touches each page about once, so 16,384 pages of some 36
/// KB pile up first: 600 MB. A page holds about 8 values; with 4 accesses each, it stays at some 20
/// MB for any log, for two microseconds per value.
const TOUCHES: usize = 4;

/// The values of `events` from the key `start` on, in order, in bounded memory.
pub(super) struct Values {
    events: sled::Tree,
    iter: sled::Iter,
}

impl Values {
    /// Begins at the key `start`.
    pub fn from(events: &sled::Tree, start: &[u8]) -> Self {
        let (events, iter) = (events.clone(), events.range(start..));
        Self { events, iter }
    }

    /// The next key and value.
    pub fn next(&mut self) -> Result<Option<(sled::IVec, sled::IVec)>, Error> {
        engine("read", || {
            let next = self.iter.next().transpose()?;
            if let Some((key, _)) = &next {
                for _ in 0..TOUCHES {
                    self.events.get(key)?;
                }
            }
            Ok(next)
        })
    }
}

/// sled writes and syncs at most 8 MiB when it closes.
const CLOSE_MAX: Duration = Duration::from_secs(20);

/// A handle of sled's that can be dropped whatever the disk does. With the last handle, sled syncs
/// its file again, and panics if that fails; everything acknowledged has been synced before.
pub(super) struct CloseGuard<T: Send + 'static> {
    held: Option<T>,
    /// When waiting for this database to close ends. The first handle that closes sets it: on a
    /// failed disk each of them may hang, and three limits would add up.
    deadline: Arc<OnceLock<Instant>>,
}

impl<T: Send + 'static> CloseGuard<T> {
    /// Guards a database.
    pub fn new(held: T) -> Self {
        Self {
            held: Some(held),
            deadline: Arc::default(),
        }
    }

    /// Guards another handle of the same database; all of them close within one [`CLOSE_MAX`].
    pub fn share<U: Send + 'static>(&self, held: U) -> CloseGuard<U> {
        CloseGuard {
            held: Some(held),
            deadline: Arc::clone(&self.deadline),
        }
    }
}

impl<T: Send + 'static> Deref for CloseGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // Only dropping takes it out.
        self.held.as_ref().expect("not dropped yet")
    }
}

impl<T: Send + 'static> Drop for CloseGuard<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T: Send + 'static> CloseGuard<T> {
    /// Drops it now. False if the engine failed or did not finish in time.
    pub fn close(&mut self) -> bool {
        let Some(held) = self.held.take() else {
            return true;
        };
        let (done, closed) = mpsc::channel();
        // In a thread of its own, because sled may wait forever on a failed disk.
        let closing = std::thread::Builder::new().name("log-close".to_owned());
        let closing = closing.spawn(move || {
            let dropped = engine("close", || {
                drop(held);
                Ok(())
            });
            let _ = done.send(dropped);
        });
        let deadline = *self.deadline.get_or_init(|| Instant::now() + CLOSE_MAX);
        let left = deadline.saturating_duration_since(Instant::now());
        match closing.map(|_| closed.recv_timeout(left)) {
            Ok(Ok(Ok(()))) => return true,
            Ok(Ok(Err(error))) => tracing::warn!(%error, "nothing acknowledged is lost"),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("the log's files are closed when the process ends");
            }
        }
        false
    }
}

/// Time of a flush after which sled is asked whether it has failed; doubles each time.
const NUDGE_AFTER: Duration = Duration::from_millis(500);

/// The last of these comes a quarter of an hour after the first.
const NUDGES_MAX: u32 = 11;

/// Flushes what a batch has written.
///
/// In sled 0.34 a flush may wait forever after a batch on a failing disk: another thread writes the
/// batch's manifest last, and if that write fails, sled records the error and wakes nobody
/// (`Log::exit_reservation`). Another flush finds the error, returns it, and wakes all waiting
/// ones. So a second flush is started if the first takes long; on a disk that is only slow, both
/// wait for it.
pub(super) fn flush_batch(db: &sled::Db) -> Result<(), Error> {
    let flush = || engine("flush", || db.flush().map(drop));
    std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        scope.spawn(move || {
            for nudge in 0..NUDGES_MAX {
                let timed_out = Err(mpsc::RecvTimeoutError::Timeout);
                if waiting.recv_timeout(NUDGE_AFTER * (1 << nudge)) != timed_out {
                    return;
                }
                tracing::warn!("the log's disk is slow: a flush takes long");
                // The first flush returns whatever this one finds.
                scope.spawn(move || drop(flush()));
            }
        });
        let flushed = flush();
        drop(done);
        flushed
    })
}

/// Calls sled. After a panic its object is not used again: any error poisons a writer, and a failed
/// open returns nothing.
pub(super) fn engine<T>(
    what: &'static str,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, Error> {
    let why = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("it panicked: {}", text.unwrap_or("no message"))
        }
    };
    Err(Error::Engine { what, why })
}
