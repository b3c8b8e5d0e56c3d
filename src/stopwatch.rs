//! Limits on real time that count only what this process saw of it.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::running::Running;

/// Measures the time in which this process ran.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    running: Mutex<Running>,
}

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            running: Mutex::new(Running::default()),
        }
    }

    /// The time since its start, in milliseconds, without those in which this process was stopped.
    /// Call it at least every [`Running::TICK_MS`]; [`Stopwatch::reaches`] does.
    pub fn ms(&self) -> u64 {
        let mono_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.at(mono_ms)
    }

    /// Waits until this many milliseconds have passed.
    pub async fn reaches(&self, ms: u64) {
        loop {
            let left = ms.saturating_sub(self.ms());
            if left == 0 {
                return;
            }
            self.wait(left).await;
        }
    }

    /// Waits for this many milliseconds, but not longer than until the next tick.
    pub async fn wait(&self, ms: u64) {
        let wait = Duration::from_millis(ms.clamp(1, Running::TICK_MS));
        tokio::time::sleep(wait).await;
    }
}

/// Waits for `time` in which this process runs.
pub async fn pass(time: Duration) {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Stopwatch::start().reaches(ms).await;
}

/// The output of `future`, or `None` when it takes longer than `limit` of the time in which this
/// process runs.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = pass(limit) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_is_reached_when_its_time_has_come() {
        let limit = Duration::from_millis(30);
        let began = Instant::now();
        assert_eq!(timeout(limit, std::future::pending::<()>()).await, None);
        assert!(began.elapsed() >= limit);
        assert_eq!(timeout(limit, std::future::ready(7)).await, Some(7));
    }

    #[tokio::test]
    async fn a_thread_that_does_not_run_loses_no_time() {
        let watch = Stopwatch::start();
        watch.reaches(10).await;
        let before = watch.ms();
        // A stopped process, as its waiters on its only thread see it.
        let stop = Duration::from_millis(Running::STOP_MS + 100);
        std::thread::park_timeout(stop);
        assert!(
            watch.ms() - before < Running::STOP_MS,
            "the stop is left out"
        );
    }
}
