//! Neither a clock that jumps nor a stop makes an attempt longer than it was.

use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Measured;

/// Clocks are off by two seconds before a jump is noted, a few times in an attempt, and batches
/// wait for the disk.
const SLACK_MS: u64 = 15_000;

impl Checker for Measured {
    fn name(&self) -> &'static str {
        "durations are measured"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, _: &Git) -> Result<(), String> {
        match *sight {
            Sight::Lasted { told_ms, real_ms } => must(told_ms <= real_ms + SLACK_MS, || {
                format!("an attempt of {real_ms} ms is told as {told_ms} ms")
            }),
            Sight::TimedOut { ran_ms, limit_ms } => must(ran_ms >= limit_ms, || {
                format!("out of time after {ran_ms} ms of {limit_ms} ms")
            }),
            _ => Ok(()),
        }
    }
}
