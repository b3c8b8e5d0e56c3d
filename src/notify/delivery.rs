//! A target's queue and its thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cursor::Cursor;
use super::payload::Payload;
use super::target::{Failed, Target};
use crate::model::ids::Sequence;
use crate::model::views::NoticeKind;

/// Notices that wait for a target. If it is gone for a night, the newest ones matter.
const QUEUE_MAX: usize = 100;

/// Waits between the tries for one notice.
const WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_secs(120),
];

/// The same when the process wants to end: one more try, soon.
const LAST_WAITS: [Duration; 1] = [Duration::from_millis(500)];

/// Time for a target to notice that it was given up.
const GIVE_UP: Duration = Duration::from_secs(1);

/// One target's queue, from the side of the run.
pub struct Delivery {
    shared: Arc<Shared>,
    done: Sequence,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Payload>,
    /// Notices that were dropped because too many waited.
    dropped: u32,
    /// No more notices will come.
    closed: bool,
    /// The process does not wait any longer.
    given_up: bool,
    /// The last event of the log, once everything before it is known to have no further notice.
    last: Option<Sequence>,
    /// The thread has ended.
    over: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic leaves a complete queue behind.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most for `time`.
    fn wait<'q>(&self, queue: MutexGuard<'q, Queue>, time: Duration) -> MutexGuard<'q, Queue> {
        let waited = self.changed.wait_timeout(queue, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The next notice; `None` when no more will come.
    fn next(&self) -> Option<Payload> {
        let mut queue = self.queue();
        loop {
            if queue.given_up {
                return None;
            }
            if let Some(payload) = queue.waiting.pop_front() {
                if queue.dropped > 0 {
                    let dropped = std::mem::take(&mut queue.dropped);
                    tracing::warn!("{dropped} notices were dropped, because too many waited");
                }
                return Some(payload);
            }
            if queue.closed {
                return None;
            }
            queue = self.wait(queue, Duration::from_secs(3_600));
        }
    }

    /// Waits before the next try; false if there is none. `tries` have failed.
    fn pause(&self, tries: usize) -> bool {
        let begun = Instant::now();
        let mut queue = self.queue();
        loop {
            let waits: &[Duration] = if queue.closed { &LAST_WAITS } else { &WAITS };
            let Some(wait) = waits.get(tries - 1).filter(|_| !queue.given_up) else {
                return false;
            };
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return true;
            }
            queue = self.wait(queue, left);
        }
    }
}

impl Delivery {
    pub(super) fn start(target: Box<dyn Target>, cursor: Cursor) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let done = cursor.last();
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("notify".to_owned());
        thread.spawn(move || {
            work(&*target, cursor, &own);
            own.queue().over = true;
            own.changed.notify_all();
        })?;
        Ok(Self { shared, done })
    }

    /// The last event that was dealt with when it started.
    pub(super) fn done(&self) -> Sequence {
        self.done
    }

    pub(super) fn push(&self, payload: Payload) {
        // An end is told only when it happens. Others may come again after a restart.
        if payload.sequence <= self.done && payload.kind != NoticeKind::End {
            return;
        }
        let mut queue = self.shared.queue();
        if queue.waiting.len() >= QUEUE_MAX {
            queue.waiting.pop_front();
            queue.dropped += 1;
        }
        queue.waiting.push_back(payload);
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// No more notices come; `last` is the last event of the log.
    pub(super) fn close(&self, last: Sequence) {
        let mut queue = self.shared.queue();
        (queue.closed, queue.last) = (true, Some(last));
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Waits until everything is delivered, at most for `limit`.
    pub(super) fn finish(self, limit: Duration) {
        let begun = Instant::now();
        let mut queue = self.shared.queue();
        while !queue.over && begun.elapsed() < limit {
            let left = limit.saturating_sub(begun.elapsed());
            queue = self.shared.wait(queue, left);
        }
        if queue.over {
            return;
        }
        queue.given_up = true;
        self.shared.changed.notify_all();
        let begun = Instant::now();
        while !queue.over && begun.elapsed() < GIVE_UP {
            queue = self.shared.wait(queue, GIVE_UP);
        }
    }
}

/// Delivers notices in order until no more come.
fn work(target: &dyn Target, mut cursor: Cursor, shared: &Shared) {
    while let Some(payload) = shared.next() {
        let event = payload.sequence;
        let given_up = || shared.queue().given_up;
        let mut tries = 0;
        loop {
            tries += 1;
            cursor.trying(event);
            let Err(Failed { why, again }) = target.deliver(&payload, &given_up) else {
                cursor.done(event);
                break;
            };
            cursor.failed();
            if again && shared.pause(tries) {
                continue;
            }
            let queue = shared.queue();
            let (name, title) = (target.name(), &payload.title);
            tracing::warn!("{name} failed, so that nobody was told that {title}: {why}");
            // If the process ends before all tries were made, the next run continues. An end is
            // only told when it happens.
            if !queue.closed || !again {
                drop(queue);
                cursor.done(event);
                break;
            }
            return;
        }
    }
    let queue = shared.queue();
    if let Some(last) = queue.last.filter(|_| !queue.given_up) {
        cursor.done(last);
    }
}
