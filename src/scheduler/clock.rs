//! The clock, both ways.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::machine::Now;
use crate::model::ids::Timestamp;
use crate::model::running::Running;

/// The wall clock is behind or ahead of the other by less in daily life, where it is slewed; more
/// is somebody who sets it, a machine that slept, or a process that was stopped.
const JUMP_MS: u64 = 2_000;

/// Wall-clock time that never goes back: the log's events are in order, and a wait of two seconds
/// takes two seconds also when somebody sets the clock back by an hour in the middle of it. Beside
/// it the time in which this process ran, by which everything is measured.
#[derive(Clone, Debug)]
pub struct Clock {
    running: Running,
    ran_ms: u64,
    wall: Timestamp,
    jumped_ms: u64,
}

impl Clock {
    /// A clock that begins not before the last event that was recorded.
    pub fn starting(last: Timestamp, mono_ms: u64, system: Timestamp) -> Self {
        Self {
            running: Running::starting(mono_ms),
            ran_ms: mono_ms,
            wall: last.max(system),
            jumped_ms: 0,
        }
    }

    /// The time, when the system's two clocks say this. While the wall clock is behind, time
    /// passes as the monotonic one says. To be read at least every [`Running::TICK_MS`].
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

    /// By how much the wall clock went forward beyond what was measured, since this was last asked.
    pub fn take_jump(&mut self) -> Option<u64> {
        let jumped_ms = std::mem::take(&mut self.jumped_ms);
        (jumped_ms > 0 && !planted!(JumpForgotten)).then_some(jumped_ms)
    }

    /// The process ran until this moment; see [`Running::keep_up`].
    pub fn keep_up(&mut self, mono_ms: u64) {
        self.running.keep_up(mono_ms);
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

    /// See [`Clock::take_jump`].
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
            // Set back by ten seconds, and after another second still behind.
            (2_000, 2_000, 12_000, 2_000, None),
            (3_000, 3_000, 13_000, 3_000, None),
            // Set right again, and a machine that slept for an hour.
            (4_000, 14_000, 14_000, 4_000, None),
            (5_000, 3_615_000, 3_615_000, 5_000, Some(3_600_000)),
            // Slewed.
            (6_000, 3_616_300, 3_616_300, 6_000, None),
            // Stopped for a minute.
            (66_000, 3_676_300, 3_676_300, 6_000, Some(60_000)),
            (66_500, 3_676_800, 3_676_800, 6_500, None),
            // Stopped and set back meanwhile.
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
