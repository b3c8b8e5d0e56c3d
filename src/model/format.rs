//! Short texts for durations, counts and costs.

use crate::model::evidence::Usage;

/// A duration in at most two units: `0.4s`, `12s`, `4m12s`, `1h02m`, `2d03h`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{seconds}.{}s", ms % 1_000 / 100),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A count in at most four letters and a unit: `950`, `12.3k`, `4.5M`.
pub fn count(number: u64) -> String {
    let scaled = |unit: u64| format!("{}.{}", number / unit, number % unit * 10 / unit);
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}k", scaled(1_000)),
        1_000_000..1_000_000_000 => format!("{}M", scaled(1_000_000)),
        _ => format!("{}G", scaled(1_000_000_000)),
    }
}

/// Dollars with two digits after the point, or three below one dollar: `$12.30`, `$0.004`.
pub fn dollars(microusd: u64) -> String {
    if microusd < 1_000_000 {
        return format!("$0.{:03}", microusd / 1_000);
    }
    let cents = microusd / 10_000;
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// Tokens and money used: `12.3k tokens, $0.40`; empty if nothing was used.
pub fn usage(usage: Usage) -> String {
    let mut parts = Vec::new();
    if usage.tokens() > 0 {
        parts.push(format!("{} tokens", count(usage.tokens())));
    }
    if usage.cost_microusd > 0 {
        parts.push(dollars(usage.cost_microusd));
    }
    parts.join(", ")
}

/// Why nothing is merged and what to do; for an empty `at`, that merges continue.
pub fn held(at: &str) -> String {
    match at {
        "" => "the branch is free again: merges continue".to_owned(),
        at => format!(
            "nothing can be merged while the branch is checked out at {at}; run `git switch -` there"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table = [
            (0, "0.0s"),
            (449, "0.4s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (252_000, "4m12s"),
            (3_600_000, "1h00m"),
            (86_399_000, "23h59m"),
            (97_200_000, "1d03h"),
        ];
        for (ms, text) in table {
            assert_eq!(duration(ms), text, "{ms}");
        }
    }

    #[test]
    fn counts_and_money() {
        let counts = [
            (999, "999"),
            (1_000, "1.0k"),
            (12_345, "12.3k"),
            (999_999, "999.9k"),
            (4_560_000, "4.5M"),
        ];
        for (number, text) in counts {
            assert_eq!(count(number), text);
        }
        let sums = [
            (0, "$0.000"),
            (1_500, "$0.001"),
            (999_999, "$0.999"),
            (12_305_000, "$12.30"),
        ];
        for (sum, text) in sums {
            assert_eq!(dollars(sum), text);
        }
    }
}
