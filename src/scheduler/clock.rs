//! The clock, both ways.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::machine::Now;
use crate::model::ids::Timestamp;

/// Wall-clock time that never goes back: the log's events are in order, and a wait of two seconds
/// takes two seconds also when somebody sets the clock back by an hour in the middle of it.
#[derive(Clone, Debug)]
pub struct Clock {
    mono_ms: u64,
    wall: Timestamp,
}

impl Clock {
    /// A clock that begins not before the last event that was recorded.
    pub fn starting(last: Timestamp, mono_ms: u64, system: Timestamp) -> Self {
        Self {
            mono_ms,
            wall: last.max(system),
        }
    }

    /// The time, when the system's two clocks say this. While the wall clock is behind, time
    /// passes as the monotonic one says.
    pub fn at(&mut self, mono_ms: u64, system: Timestamp) -> Now {
        let passed = mono_ms.saturating_sub(self.mono_ms);
        self.wall = self.wall.plus_ms(passed).max(system);
        self.mono_ms = mono_ms;
        Now {
            wall: self.wall,
            mono_ms,
        }
    }
}

/// The same, with the system's clocks.
pub struct SystemClock {
    started: Instant,
    clock: Clock,
}

impl SystemClock {
    /// A clock that begins not before the last event that was recorded.
    pub fn starting(last: Timestamp) -> Self {
        Self {
            started: Instant::now(),
            clock: Clock::starting(last, 0, system()),
        }
    }

    /// The time.
    pub fn now(&mut self) -> Now {
        let mono_ms = self.started.elapsed().as_millis() as u64;
        self.clock.at(mono_ms, system())
    }
}

fn system() -> Timestamp {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(wall.map_or(0, |since| since.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_system_forward_and_never_back() {
        let mut clock = Clock::starting(Timestamp(10_000), 0, Timestamp(3));
        let steps = [
            (1_000, 11_000, 11_000),
            // Set back by ten seconds, and after another second still behind.
            (2_000, 2_000, 12_000),
            (3_000, 3_000, 13_000),
            // Set right again, and a machine that slept for an hour.
            (4_000, 14_000, 14_000),
            (5_000, 3_615_000, 3_615_000),
        ];
        for (mono_ms, system, expected) in steps {
            let now = clock.at(mono_ms, Timestamp(system));
            assert_eq!(now.wall, Timestamp(expected), "at {mono_ms}");
        }
    }
}
