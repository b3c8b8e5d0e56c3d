//! The medians of all rounds, as a Markdown table.

use std::collections::BTreeMap;
use std::fmt;

/// What was measured so far.
pub struct Results {
    workers: Vec<usize>,
    titles: Vec<String>,
    /// Cycles per second of each round, by the system's place and the number of workers.
    rates: BTreeMap<(usize, usize), Vec<f64>>,
    /// Bare syncs per second.
    disk: Vec<f64>,
}

impl Results {
    /// Nothing yet. The other systems are compared with the first of `titles`.
    pub fn new(workers: &[usize], titles: Vec<String>) -> Self {
        Self {
            workers: workers.to_vec(),
            titles,
            rates: BTreeMap::new(),
            disk: Vec::new(),
        }
    }

    /// Adds a round's bare syncs per second.
    pub fn disk(&mut self, rate: f64) {
        self.disk.push(rate);
    }

    /// Adds a round's cycles per second of a system.
    pub fn add(&mut self, system: usize, workers: usize, rate: f64) {
        self.rates.entry((system, workers)).or_default().push(rate);
    }

    /// A system's median, and the median of what each round's ratio to the first system was.
    fn cell(&self, system: usize, workers: usize) -> String {
        let Some(rates) = self.rates.get(&(system, workers)) else {
            return String::new();
        };
        let rate = thousands(median(rates));
        if system == 0 {
            return rate;
        }
        let first = self.rates.get(&(0, workers)).into_iter().flatten();
        let ratios: Vec<f64> = rates
            .iter()
            .zip(first)
            .map(|(its, own)| its / own)
            .collect();
        format!("{rate} ({:.2})", median(&ratios))
    }
}

impl fmt::Display for Results {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.rates.values().map(Vec::len).max().unwrap_or(0);
        let workers = self.workers.iter().map(|count| match count {
            1 => "1 worker".to_owned(),
            count => format!("{count} workers"),
        });
        writeln!(
            out,
            "| cycles/s | {} |",
            workers.collect::<Vec<_>>().join(" | ")
        )?;
        writeln!(out, "|---|{}", "---|".repeat(self.workers.len()))?;
        for (system, title) in self.titles.iter().enumerate() {
            let cells = self.workers.iter().map(|&count| self.cell(system, count));
            writeln!(
                out,
                "| {title} | {} |",
                cells.collect::<Vec<_>>().join(" | ")
            )?;
        }
        writeln!(out)?;
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease");
        writeln!(
            out,
            "Medians of {rounds} rounds, with the median of the rounds' ratios to {} in brackets. \
             {} processors, Linux {}, load {}. Bare fdatasync, 4 KiB within a file: {}/s.",
            self.titles[0],
            std::thread::available_parallelism().map_or(0, usize::from),
            kernel.trim(),
            read("/proc/loadavg").split(' ').next().unwrap_or_default(),
            thousands(median(&self.disk)),
        )
    }
}

/// The middle of the values, or of the two in the middle; 0 when there are none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
    }
}

/// A whole number with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_median_and_the_median_ratio() {
        let mut results = Results::new(&[1], vec!["own".to_owned(), "other".to_owned()]);
        for (own, other) in [(1_000.0, 500.0), (2_000.0, 4_000.0), (4_000.0, 3_000.0)] {
            results.add(0, 1, own);
            results.add(1, 1, other);
        }
        assert_eq!(results.cell(0, 1), "2,000");
        assert_eq!(results.cell(1, 1), "3,000 (0.75)");
    }

    #[test]
    fn numbers_have_commas() {
        for (value, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (1.5e6, "1,500,000"),
        ] {
            assert_eq!(thousands(value), text);
        }
    }
}
