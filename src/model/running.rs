//! Measures the time in which a process ran.
//!
//! A stopped process (SIGSTOP, `docker pause`, a suspended machine, a thread without a processor)
//! hears nothing and cannot act, and neither can those that are stopped with it. Limits on others
//! count only the time in which this process ran. Without a clock: the caller passes readings of a
//! monotonic clock.

/// Milliseconds of a monotonic clock, without the times in which this process did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Running {
    read_ms: u64,
    stopped_ms: u64,
}

impl Running {
    /// Longest interval between two readings of the clock, in milliseconds.
    pub const TICK_MS: u64 = 500;
    /// A process that has not read the clock for this long, in milliseconds, did not run in
    /// between. A busy machine delays a tick by less, and a limit that counts three seconds too
    /// much harms nobody.
    pub const STOP_MS: u64 = 3_000;

    /// Begins at this reading.
    pub fn starting(mono_ms: u64) -> Self {
        Self {
            read_ms: mono_ms,
            stopped_ms: 0,
        }
    }

    /// The time in which this process ran, at this reading. Never goes back.
    pub fn at(&mut self, mono_ms: u64) -> u64 {
        let mono_ms = mono_ms.max(self.read_ms);
        let gap = mono_ms - self.read_ms;
        if gap >= Self::STOP_MS && !planted!(StopCounted) {
            self.stopped_ms = self.stopped_ms.saturating_add(gap);
        }
        self.read_ms = mono_ms;
        mono_ms.saturating_sub(self.stopped_ms)
    }

    /// The process ran until this reading, which it would have noticed tick by tick: for a
    /// simulation, which has no ticks.
    pub fn keep_up(&mut self, mono_ms: u64) {
        self.read_ms = self.read_ms.max(mono_ms);
    }

    /// How long it did not run, in milliseconds.
    pub fn stopped_ms(&self) -> u64 {
        self.stopped_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_gaps_between_readings_are_taken_out() {
        let mut running = Running::starting(1_000);
        // Readings, and the time in which it ran.
        let table = [
            (1_000, 1_000),
            (1_500, 1_500),
            // A delayed tick, and the longest one that counts.
            (3_000, 3_000),
            (5_999, 5_999),
            // A stop of exactly three seconds, and one of an hour.
            (8_999, 5_999),
            (9_499, 6_499),
            (3_609_499, 6_499),
            // A clock that goes back does not count.
            (5_000, 6_499),
            (3_609_999, 6_999),
        ];
        for (reading, ran) in table {
            assert_eq!(running.at(reading), ran, "at {reading}");
        }
        assert_eq!(running.stopped_ms(), 3_603_000);
        running.keep_up(3_700_000);
        assert_eq!(running.at(3_700_100), 97_100);
    }
}
