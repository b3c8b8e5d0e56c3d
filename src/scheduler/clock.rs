//! Wall-clock and monotonic time for the log.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::machine::Now;
use crate::model::ids::Timestamp;
use crate::model::running::Running;

/// Largest difference between the two clocks that slewing explains. A larger one means that
/// somebody set the clock, the machine slept, or the process was stopped.
const JUMP_MS: u64 = 2_000;

/// Wall-clock time that never goes back: events stay in order, and a wait of two seconds takes two
/// seconds even if somebody sets the clock back by an hour. It also counts the time in which this
/// process ran, which measures all limits.
#[derive(Clone, Debug)]
pub struct Clock {
    running: Running,
    ran_ms: u64,
    wall: Timestamp,
    jumped_ms: u64,
}

impl Clock {
    /// A clock that starts at the last recorded event or later.
    pub fn starting(last: Timestamp, mono_ms: u64, system: Timestamp) -> Self {
        Self {
            running: Running::starting(mono_ms),
            ran_ms: mono_ms,
            wall: last.max(system),
            jumped_ms: 0,
        }
    }

    /// The time for these readings of the system's clocks. While the wall clock is behind, time
    /// advances with the monotonic one. Call it at least every [`Running::TICK_MS`].
    pub fn at(&mut self, mono_ms: u64, system: Timestamp) -> Now {
        let ran_ms = self.running.at(mono_ms);
        let expected = self.wall.plus_ms(ran_ms.saturating_sub(self.ran_ms));
        let ahead_ms = system.since_ms(expected);
        if ahead_ms >= JUMP_MS {
            self.jumped_ms = self.jumped_ms.saturating_add(ahead_ms);
        }
        self.wall = expected.max(system);
        self.ran_ms = ran_ms;
        Now {
            wall: self.wall,
            mono_ms: ran_ms,
        }
    }

    /// Milliseconds that the wall clock gained on the measured time since the last call.
    pub fn take_jump(&mut self) -> Option<u64> {
        let jumped_ms = std::mem::take(&mut self.jumped_ms);
        (jumped_ms > 0 && !planted!(JumpForgotten)).then_some(jumped_ms)
    }

    /// Records that the process ran until now; see [`Running::keep_up`].
    pub fn keep_up(&mut self, mono_ms: u64) {
        self.running.keep_up(mono_ms);
    }
}

/// A [`Clock`] that reads the system's clocks.
pub struct SystemClock {
    started: Instant,
    clock: Clock,
}

impl SystemClock {
    /// A clock that starts at the last recorded event or later.
    pub fn starting(last: Timestamp) -> Self {
        Self {
            started: Instant::now(),
            clock: Clock::starting(last, 0, system()),
        }
    }

    /// The current time, in both clocks.
    pub fn now(&mut self) -> Now {
        let mono_ms = self.started.elapsed().as_millis() as u64;
        self.clock.at(mono_ms, system())
    }

    /// Takes the last jump; see [`Clock::take_jump`].
    pub fn take_jump(&mut self) -> Option<u64> {
        self.clock.take_jump()
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
    fn it_follows_the_system_forward_and_never_back_and_knows_its_jumps() {
        let mut clock = Clock::starting(Timestamp(10_000), 0, Timestamp(3));
        // Both clocks of the system, the time, the measure, and the jump.
        let steps = [
            (1_000, 11_000, 11_000, 1_000, None),
            // Set back by ten seconds, and still behind after another second.
            (2_000, 2_000, 12_000, 2_000, None),
            (3_000, 3_000, 13_000, 3_000, None),
            // Set right again, then a machine that slept for an hour.
            (4_000, 14_000, 14_000, 4_000, None),
            (5_000, 3_615_000, 3_615_000, 5_000, Some(3_600_000)),
            // Slewing is no jump.
            (6_000, 3_616_300, 3_616_300, 6_000, None),
            // The process was stopped for a minute.
            (66_000, 3_676_300, 3_676_300, 6_000, Some(60_000)),
            (66_500, 3_676_800, 3_676_800, 6_500, None),
            // The process was stopped, and the clock set back.
            (126_500, 5, 3_676_800, 6_500, None),
        ];
        for (mono_ms, system, wall, ran_ms, jump) in steps {
            let now = clock.at(mono_ms, Timestamp(system));
            assert_eq!(now.wall, Timestamp(wall), "at {mono_ms}");
            assert_eq!(now.mono_ms, ran_ms, "at {mono_ms}");
            assert_eq!(clock.take_jump(), jump, "at {mono_ms}");
            assert_eq!(clock.take_jump(), None, "told once");
        }
    }
}
