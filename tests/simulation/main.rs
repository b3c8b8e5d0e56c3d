//! One scheduler machine in a world that fails, on virtual time, from a seed: connections break,
//! processes die or are stopped, batches are lost, git is slow, people change their minds. What
//! must hold is looked at with every event, and once the faults are over the run has to end.
//!
//! `SIMULATION_SEED=N` runs one seed, `SIMULATION_SEEDS=N` so many.

mod checks;
mod dice;
mod git;
mod person;
mod worker;
mod world;

use world::World;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Says which seed it was when something does not hold.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to see it again: SIMULATION_SEED={}", self.0);
        }
    }
}

#[test]
fn nothing_is_lost_and_every_run_ends() {
    let seeds = match variable("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SIMULATION_SEEDS").unwrap_or(300),
    };
    let (mut steps, mut events, mut reigns) = (0, 0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let marked = Seed(seed);
        let mut world = World::new(seed);
        world.run();
        steps += world.steps;
        events += world.log.len();
        reigns += world.reigns_so_far();
        drop(marked);
    }
    eprintln!("{count} seeds, {steps} steps, {events} events, {reigns} schedulers");
}
