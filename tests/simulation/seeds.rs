//! Seed after seed: the same ones with every `cargo test`, fresh ones for as long as wanted.
//!
//! `SIMULATION_SEED=N` plays one seed, `SIMULATION_SEEDS=N` so many.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::play::{explain, play};
use super::scenario::{Scenario, Trouble};
use super::sight::Violation;
use super::world::Stats;

/// Seeds of one `cargo test`: a quarter of a minute on two cores.
pub const SEEDS: u64 = 1_000;

/// Fresh seeds begin here, far from those of the tests. The time in microseconds is added, so that
/// two runs never play the same.
const FRESH: u64 = 1 << 20;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What many histories came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    stats: Stats,
    /// The first seed that failed, by number.
    failed: Option<(u64, Violation)>,
}

impl Sum {
    fn add(&mut self, seed: u64, result: Result<(), Violation>, stats: Stats) {
        self.seeds += 1;
        self.stats.add(stats);
        if let Err(violation) = result
            && self.failed.as_ref().is_none_or(|(first, _)| seed < *first)
        {
            self.failed = Some((seed, violation));
        }
    }

    fn line(&self, took: Duration) -> String {
        let Stats {
            steps,
            events,
            sessions,
            reigns,
            crashes,
            virtual_ms,
        } = self.stats;
        let (seeds, seconds) = (self.seeds, took.as_secs_f64());
        let rate = seeds as f64 / seconds.max(0.001);
        let hours = virtual_ms / 3_600_000;
        format!(
            "{seeds} seeds in {seconds:.1} s ({rate:.0} a second): {hours} simulated hours, {crashes} crashes, {reigns} schedulers, {sessions} sessions, {events} events, {steps} steps"
        )
    }
}

/// Plays seeds on so many threads until they are used up, the time is, or one fails.
fn play_all(seeds: Range<u64>, threads: usize, until: Option<Instant>) -> Sum {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || until.is_some_and(|until| Instant::now() >= until) {
                        return;
                    }
                    let (result, stats) = play(&Scenario::new(seed));
                    stop.fetch_or(result.is_err(), Ordering::Relaxed);
                    if let Ok(mut sum) = sum.lock() {
                        sum.add(seed, result, stats);
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_default()
}

#[test]
fn nothing_is_lost_and_every_run_ends() {
    let seeds = match variable("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let started = Instant::now();
    let sum = play_all(seeds, 2, None);
    eprintln!("{}", sum.line(started.elapsed()));
    if let Some((seed, violation)) = &sum.failed {
        panic!("{}", explain(*seed, violation));
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..20 {
        let scenario = Scenario::new(seed);
        let (one, other) = (play(&scenario), play(&scenario));
        assert_eq!(one, other, "seed {seed}");
    }
}

/// The log is cut after each of its events in turn, by a loss of power, and the run goes on.
#[test]
fn a_run_cut_at_any_event_and_resumed_ends_in_a_permitted_state() {
    for seed in 0..6 {
        let mut scenario = Scenario::new(seed);
        scenario.planned.clear();
        scenario.trouble = Trouble {
            fails: 20,
            asks: 10,
            breaks: 20,
            ..Trouble::default()
        };
        let (result, stats) = play(&scenario);
        assert_eq!(result, Ok(()), "seed {seed}");
        let imported = scenario.backlog.len() as u64;
        for cut in imported + 1..stats.events {
            scenario.cut_at = Some(cut);
            let (result, _) = play(&scenario);
            assert_eq!(result, Ok(()), "seed {seed}, cut after event {cut}");
        }
    }
}

/// `just simulate --minutes N`
#[test]
#[ignore = "goes on for as long as it is told to"]
fn fresh() {
    let words = std::env::var("SIMULATION_ARGS").unwrap_or_default();
    let mut words = words.split_whitespace();
    let minutes = match (words.next(), words.next(), words.next()) {
        (None, ..) => 1.0,
        (Some("--minutes"), Some(number), None) => number.parse().expect("--minutes NUMBER"),
        _ => panic!("usage: just simulate [--minutes NUMBER]"),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let first = FRESH + now.map_or(0, |since| since.as_micros() as u64);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(minutes * 60.0);
    eprintln!("seeds from {first} on, {threads} threads, {minutes} minutes");
    let sum = play_all(first..u64::MAX, threads, Some(until));
    eprintln!("{}", sum.line(started.elapsed()));
    if let Some((seed, violation)) = &sum.failed {
        panic!("{}", explain(*seed, violation));
    }
}
