//! Durable enqueue-reserve-complete cycles through the real socket, with the real sled on the real
//! disk, and this disk's bare fdatasync from the same run beside them.
//!
//! `cargo bench --bench socket`; `CREWLOG_BENCH_DIR` says where logs are made, numbers behind `--`
//! for how many workers (1, 8 and 64 otherwise), `CREWLOG_BENCH_SECONDS` (4) for how long.
//!
//! A cycle: a client has one feature imported (a command of its own, acknowledged when durable),
//! a worker gets it as a job, reports it done, and gets the next one after the answer. The
//! features have no checks and nothing to change (commit and base are the same), so that no git is
//! involved: that is a queue's part of the work, for comparison with other queues. Each worker has a
//! process that connects for it; one thread plays them all and the client. It shares the processors with the scheduler.
//!
//! `CREWLOG_BENCH_SYNC_US` makes every sync of the log last at least so long: a quick disk stands
//! in for a slow one, whose figures are then marked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use system::{disk, end, scheduler, slowed};

#[path = "socket/load.rs"]
mod load;
#[path = "socket/process.rs"]
mod process;
#[path = "socket/system.rs"]
mod system;

/// CPU microseconds so far, by the name of the thread.
fn cpu() -> BTreeMap<String, f64> {
    let mut cpu = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")
        .expect("/proc")
        .flatten()
    {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name));
        let (Ok(name), Ok(stat)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        let nanos: f64 = stat
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok())
            .unwrap_or(0.0);
        *cpu.entry(name.trim().to_owned()).or_default() += nanos / 1_000.0;
    }
    cpu
}

fn cycles(dir: &Path, workers: usize, spell: Duration) {
    let (handle, thread, socket) = scheduler(dir);
    let mut load = load::Load::connect(&socket, workers);
    load.run(Duration::from_secs(1));
    let (before, start) = (cpu(), Instant::now());
    let done = load.run(spell);
    let seconds = start.elapsed().as_secs_f64();
    let after = cpu();
    let spent = after.iter().map(|(name, us)| {
        let us = us - before.get(name).copied().unwrap_or(0.0);
        (us / done as f64, name)
    });
    let mut spent: Vec<_> = spent.filter(|(us, _)| *us >= 1.0).collect();
    spent.sort_by(|a, b| b.0.total_cmp(&a.0));
    let spent: Vec<_> = (spent.iter().map(|(us, name)| format!("{name} {us:.0}"))).collect();
    println!(
        "{workers:>2} workers: {:>6.0} cycles/s; CPU us a cycle: {}",
        done as f64 / seconds,
        spent.join(", ")
    );
    drop(load);
    end(&handle, thread);
}

/// From a report to the next job in hand, on a machine that does nothing else.
fn next_job(dir: &Path, sync: Duration) {
    let (handle, thread, socket) = scheduler(dir);
    let mut load = load::Load::connect(&socket, 1);
    let mut times = load.latencies(1_000);
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    let syncs = |time: Duration| time.as_secs_f64() / sync.as_secs_f64();
    println!(
        "from a report to the next job: p50 {:?} = {:.2} syncs, p90 {:.2}, p99 {:.2}",
        at(50),
        syncs(at(50)),
        syncs(at(90)),
        syncs(at(99))
    );
    drop(load);
    end(&handle, thread);
}

fn main() {
    if process::is_one(std::env::args_os().skip(1)) {
        return;
    }
    let numbers: Vec<usize> = (std::env::args().skip(1))
        .filter_map(|word| word.parse().ok())
        .collect();
    let workers = if numbers.is_empty() {
        vec![1, 8, 64]
    } else {
        numbers
    };
    let seconds = std::env::var("CREWLOG_BENCH_SECONDS");
    let seconds = seconds.ok().and_then(|it| it.parse().ok()).unwrap_or(4);
    let base = std::env::var_os("CREWLOG_BENCH_DIR").map(PathBuf::from);
    let base = base.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    std::fs::create_dir_all(&base).expect("a directory");
    let dir = tempfile::tempdir_in(&base).expect("a directory");
    let fresh = |name: String| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).expect("a directory");
        path
    };
    let (rate, sync) = disk(dir.path());
    println!("bare fdatasync, 4 KiB within a file: {rate:.0}/s, p50 {sync:?}");
    let sync = slowed().unwrap_or(sync).max(sync);
    if let Some(least) = slowed() {
        println!("every sync of the log lasts {least:?} at least, as if the disk were slower");
    }
    for count in workers {
        cycles(
            &fresh(format!("cycles-{count}")),
            count,
            Duration::from_secs(seconds),
        );
    }
    next_job(&fresh("next".to_owned()), sync);
    let (rate, sync) = disk(dir.path());
    println!("bare fdatasync again: {rate:.0}/s, p50 {sync:?}");
}
