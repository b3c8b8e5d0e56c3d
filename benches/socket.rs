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
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crewlog::model::event::ProcessIdentity;
use crewlog::model::ids::{AttemptId, CommitId};
use crewlog::model::report::AttemptReport;
use crewlog::model::settings::Settings;
use crewlog::model::state::State;
use crewlog::protocol::StopMode;
use crewlog::queue::{OpenOptions, SledLog};
use crewlog::scheduler::ports::{Answer, Integration, Merged, Processes, Spool};
use crewlog::scheduler::{self, Handle, Options, Silent};
use crewlog::workspace;
use tokio::sync::oneshot;

#[path = "socket/load.rs"]
mod load;
#[path = "socket/process.rs"]
mod process;

fn head() -> CommitId {
    "a".repeat(40).parse().unwrap_or_default()
}

struct Still;

impl Integration for Still {
    fn head(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        Box::pin(async { Ok(head()) })
    }

    fn head_at_rest(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        Box::pin(async { Ok(head()) })
    }

    fn merge<'a>(
        &'a self,
        _: &'a CommitId,
        _: &'a CommitId,
    ) -> Answer<'a, Result<Merged, workspace::Error>> {
        unreachable!("nothing changes")
    }

    fn explain<'a>(
        &'a self,
        _: &'a CommitId,
        _: &'a CommitId,
        _: &'a [CommitId],
    ) -> Answer<'a, Result<crewlog::model::branch::BranchMove, workspace::Error>> {
        Box::pin(async { Ok(Default::default()) })
    }
}

impl Processes for Still {
    fn gone(&self, _: ProcessIdentity) -> Answer<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn kill(&self, _: &ProcessIdentity) {}

    fn reap(&self, _: AttemptId) -> Answer<'static, ()> {
        Box::pin(std::future::pending())
    }
}

impl Spool for Still {
    fn read(&self, _: AttemptId) -> Option<AttemptReport> {
        None
    }
}

/// The least that a sync is to last, when a slow disk is played.
fn slowed() -> Option<Duration> {
    let least = std::env::var("CREWLOG_BENCH_SYNC_US").ok()?.parse().ok()?;
    Some(Duration::from_micros(least))
}

/// Runs a scheduler on a fresh log in `dir`, in a thread of its own.
fn scheduler(dir: &Path) -> (Handle, std::thread::JoinHandle<()>, PathBuf) {
    let mut open = OpenOptions::default();
    if let Some(least) = slowed() {
        open.sync = Arc::new(move |file| {
            let begin = Instant::now();
            file.sync_data()?;
            // A wait ends late by some tens of microseconds.
            let sleep = least.saturating_sub(begin.elapsed() + Duration::from_micros(80));
            std::thread::park_timeout(sleep);
            while begin.elapsed() < least {
                std::hint::spin_loop();
            }
            Ok(())
        });
    }
    let log = SledLog::open(&dir.join("log"), &open).expect("a log");
    let socket = dir.join("socket");
    let options = Options {
        log: Arc::new(log),
        snapshots: dir.join("snapshots"),
        state: State::default(),
        config: None,
        tree_prefix: "feedc0de-".to_owned(),
        socket: socket.clone(),
        branch: "main".to_owned(),
        integration: Arc::new(Still),
        processes: Arc::new(Still),
        spool: Arc::new(Still),
        settings: Settings {
            max_concurrency: 1_000,
            testing: 0,
            ..Settings::default()
        },
        seed: Some(1),
        own_workers: BTreeMap::new(),
        worker_command: Vec::new(),
        worker_output: dir.join("workers.log"),
        stay: true,
        observer: Box::new(Silent),
    };
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("scheduler".to_owned());
    let thread = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let ended = runtime.block_on(scheduler::run(options, sender));
        ended.expect("it ends well");
    });
    let handle = receiver.blocking_recv().expect("it listens");
    (handle, thread.expect("a thread"), socket)
}

/// Syncs per second of this disk, and the median of one.
fn disk(dir: &Path) -> (f64, Duration) {
    let file = File::create(dir.join("plain")).expect("a file");
    file.write_all_at(&vec![0; 64 << 20], 0).expect("space");
    file.sync_all().expect("synced");
    let block = [7; 4096];
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        let begin = Instant::now();
        let at = times.len() as u64 * 4096 % (64 << 20);
        file.write_all_at(&block, at).expect("written");
        file.sync_data().expect("synced");
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    (rate, times[times.len() / 2])
}

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

fn end(handle: &Handle, thread: std::thread::JoinHandle<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    for _ in 0..3 {
        runtime.block_on(handle.stop(StopMode::Now));
    }
    thread.join().expect("the scheduler");
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
