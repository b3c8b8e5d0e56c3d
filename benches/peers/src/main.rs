//! Crewlog next to other queues: durable enqueue-reserve-complete cycles per second, on this machine
//! and its disk, in one run.
//!
//! `just peers`, or `cargo run --release --manifest-path benches/peers/Cargo.toml -- [WORKERS|NAME]...`:
//! numbers say for how many workers (1, 8 and 64 otherwise), names which systems (all otherwise).
//! `CREWLOG_BENCH_ROUNDS` (5) says how often, `CREWLOG_BENCH_SECONDS` (3) how long each time, and
//! `CREWLOG_BENCH_DIR` where everybody's data is made; that must be a disk. A system that is not
//! installed is named and left out.
//!
//! A cycle is the same for all: a client enqueues jobs, 512 at a time; a worker reserves a job, waits
//! for the answer, reports the job done, waits for the answer, and reserves the next one. Every
//! system syncs before it answers. One thread plays the client and all workers, over unix sockets.
//! Each measurement has a fresh server, which is the only one that runs. The systems take turns, so
//! that other work on the machine disturbs all alike.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[path = "../../socket/load.rs"]
#[expect(dead_code, reason = "latencies are the socket's benchmark alone")]
mod load;
#[path = "../../socket/process.rs"]
mod process;
#[path = "../../socket/system.rs"]
mod system;

mod beanstalkd;
mod postgres;
mod redis;
mod server;
mod sqlite;
mod table;
mod text;

/// Jobs that wait, at least; when there are fewer, so many are enqueued at once. As many as the
/// client of Crewlog's own benchmark keeps.
const AHEAD: u64 = 512;

/// How long each measurement runs before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// Set when somebody wants to end this; looked at between two measurements.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A system that can be measured.
trait System {
    /// Its name and version, as the table shows it.
    fn title(&self) -> String;

    /// Cycles per second of a fresh one in `dir`, an empty directory.
    fn measure(&self, dir: &Path, workers: usize, spell: Duration) -> f64;
}

struct Crewlog;

impl System for Crewlog {
    fn title(&self) -> String {
        "Crewlog".to_owned()
    }

    fn measure(&self, dir: &Path, workers: usize, spell: Duration) -> f64 {
        let (handle, thread, socket) = system::scheduler(dir);
        let mut load = load::Load::connect(&socket, workers);
        let rate = rate(spell, |spell| load.run(spell));
        drop(load);
        system::end(&handle, thread);
        rate
    }
}

/// Cycles per second of a load that says how many it has done in a while.
fn rate(spell: Duration, mut run: impl FnMut(Duration) -> u64) -> f64 {
    run(WARM_UP);
    let start = Instant::now();
    let done = run(spell);
    done as f64 / start.elapsed().as_secs_f64()
}

/// All that are here, by the name that the command line takes. Crewlog is the first.
fn systems(only: &[String]) -> Vec<Box<dyn System>> {
    let mut found: Vec<Box<dyn System>> = vec![Box::new(Crewlog)];
    let mut add = |name: &str, system: Result<Box<dyn System>, server::Missing>| {
        if !only.is_empty() && !only.iter().any(|one| one == name) {
            return;
        }
        match system {
            Ok(system) => found.push(system),
            Err(server::Missing { program, package }) => eprintln!(
                "skipped {name}: there is no {program}. Install it with `apt-get install {package}`."
            ),
        }
    };
    add("redis", redis::find());
    add("postgres", postgres::find());
    add("sqlite", Ok(Box::new(sqlite::Sqlite)));
    add("beanstalkd", beanstalkd::find());
    found
}

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// A directory on a real disk that a server of another user can enter. It is removed when dropped.
fn directory() -> tempfile::TempDir {
    let base = std::env::var_os("CREWLOG_BENCH_DIR").map(PathBuf::from);
    let base = base.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"));
    std::fs::create_dir_all(&base).expect("a directory");
    const TMPFS: i64 = 0x0102_1994;
    let kind = rustix::fs::statfs(&base).expect("a file system").f_type;
    assert!(
        kind as i64 != TMPFS,
        "{} is in memory, where nothing is durable: set CREWLOG_BENCH_DIR to a directory on a disk",
        base.display()
    );
    let dir = tempfile::tempdir_in(&base).expect("a directory");
    server::open_to_all(dir.path());
    dir
}

/// Lets a measurement end, and the servers and files with it, before this process does.
fn catch_interrupts() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime
            .block_on(tokio::signal::ctrl_c())
            .expect("a handler of signals");
        eprintln!("interrupted: ending after this measurement");
        INTERRUPTED.store(true, Ordering::Relaxed);
    });
}

fn main() {
    if process::is_one(std::env::args_os().skip(1)) {
        return;
    }
    let (mut workers, mut only) = (Vec::new(), Vec::new());
    for word in std::env::args().skip(1) {
        match word.parse::<usize>() {
            Ok(number) => workers.push(number),
            Err(_) => only.push(word),
        }
    }
    if workers.is_empty() {
        workers = vec![1, 8, 64];
    }
    let rounds = number("CREWLOG_BENCH_ROUNDS", 5);
    let spell = Duration::from_secs(number("CREWLOG_BENCH_SECONDS", 3));
    assert!(
        system::slowed().is_none(),
        "CREWLOG_BENCH_SYNC_US slows Crewlog alone: unset it"
    );
    catch_interrupts();
    let dir = directory();
    let systems = systems(&only);
    let mut results = table::Results::new(&workers, systems.iter().map(|it| it.title()).collect());
    'rounds: for round in 1..=rounds {
        results.disk(system::disk(dir.path()).0);
        for &count in &workers {
            for (at, system) in systems.iter().enumerate() {
                if INTERRUPTED.load(Ordering::Relaxed) {
                    break 'rounds;
                }
                let fresh = tempfile::tempdir_in(dir.path()).expect("a directory");
                server::open_to_all(fresh.path());
                let rate = system.measure(fresh.path(), count, spell);
                eprintln!(
                    "round {round}, {count} workers, {}: {rate:.0}/s",
                    system.title()
                );
                results.add(at, count, rate);
            }
        }
    }
    print!("{results}");
}
