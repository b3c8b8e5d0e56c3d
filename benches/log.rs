//! The log on the real sled and the real disk, with the disk's own figures beside it.
//!
//! `cargo bench --bench log`; `CREWLOG_BENCH_EVENTS` (100,000) is the size of the logs that are
//! opened, `CREWLOG_BENCH_DIR` where they are made.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crewlog::model::actor::Actor;
use crewlog::model::event::{AttemptReleased, FeatureAssigned, RankTerms, Recorded};
use crewlog::model::ids::{AttemptId, CommandId, Epoch, FeatureId, Sequence, Timestamp, WorkerId};
use crewlog::queue::log::EventLog;
use crewlog::queue::{MemoryLog, OpenOptions, SledLog, verify};

const SPELL: Duration = Duration::from_secs(2);

/// Like a run's: every fourth event is an assignment with its runners-up, the rest are short.
fn event(sequence: u64, epoch: Epoch) -> Recorded {
    let terms = RankTerms {
        regressed: false,
        chain_ms: 9_000,
        unblocks: 3,
        priority: 0,
    };
    let event = match sequence % 4 {
        0 => FeatureAssigned {
            worker: WorkerId(sequence),
            features: vec![FeatureId(1)],
            attempt_number: 1,
            base: "a".repeat(40).parse().unwrap_or_default(),
            terms,
            runners_up: vec![(FeatureId(2), terms); 5],
            ready: 100,
        }
        .into(),
        _ => AttemptReleased {
            attempt: AttemptId(sequence),
            reason: "stopped by its user, in some words".into(),
            detail: String::new(),
        }
        .into(),
    };
    let (at, cause) = (Timestamp(sequence), CommandId(u128::from(sequence)));
    Recorded {
        sequence: Sequence(sequence),
        epoch,
        at,
        cause,
        actor: Actor::Unknown,
        event,
    }
}

fn batch(from: u64, count: u64, epoch: Epoch) -> Vec<Recorded> {
    (from..from + count)
        .map(|sequence| event(sequence, epoch))
        .collect()
}

/// Repeats `step` for a spell; gives how often per second, and the CPU microseconds of each.
fn rate(mut step: impl FnMut(u64)) -> (f64, f64) {
    let (start, cpu) = (Instant::now(), cpu_us());
    let mut count = 0;
    while start.elapsed() < SPELL {
        step(count);
        count += 1;
    }
    (
        count as f64 / start.elapsed().as_secs_f64(),
        (cpu_us() - cpu) / count as f64,
    )
}

/// CPU time of this process, all threads, in microseconds, to a hundredth of a second.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time are fields 14 and 15; the second field may hold blanks and ends in `)`.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    ticks * 10_000.0
}

fn disk(dir: &Path) {
    let block = [7; 4096];
    for (what, filled) in [("growing a file", 0), ("within a file", 64 << 20)] {
        let file = File::create(dir.join("plain")).unwrap();
        file.write_all_at(&vec![0; filled], 0).unwrap();
        file.sync_all().unwrap();
        let (per_second, _) = rate(|count| {
            file.write_all_at(&block, count * 4096).unwrap();
            file.sync_data().unwrap();
        });
        println!("bare fdatasync, 4 KiB each, {what}: {per_second:.0}/s");
    }
}

fn appends(dir: &Path) {
    for size in [1, 16, 64] {
        let path = dir.join(format!("appends-{size}"));
        let log = SledLog::open(&path, &OpenOptions::default()).unwrap();
        let (per_second, cpu) = append_rate(&log, size);
        let memory = MemoryLog::new();
        let (_, own) = append_rate(&memory, size);
        println!(
            "append by {size:>2}: {per_second:.0} batches/s, {:.0} events/s; CPU a batch {cpu:.0} us in all threads, {own:.1} us of it checking, encoding, chaining",
            per_second * size as f64
        );
    }
}

fn append_rate(log: &dyn EventLog, size: u64) -> (f64, f64) {
    let epoch = log.lead().unwrap();
    // Made before, so that making events is not measured.
    let mut events = batch(1, size, epoch);
    rate(|count| {
        for (index, event) in events.iter_mut().enumerate() {
            event.sequence = Sequence(count * size + index as u64 + 1);
        }
        log.append(&events, Sequence(count * size), epoch).unwrap();
    })
}

fn opens(dir: &Path, events: u64) {
    for size in [1, 16, 64] {
        let path = dir.join(format!("opens-{size}"));
        let start = Instant::now();
        make(&path, size, events);
        let took = start.elapsed().as_secs_f64();
        println!("made a log of {events} events by {size} in {took:.1} s");
        for what in ["first", "second"] {
            let me = std::env::current_exe().unwrap();
            let status = Command::new(me).args(["open", what]).arg(&path).status();
            assert!(status.unwrap().success());
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
}

fn make(path: &Path, size: u64, events: u64) {
    // Nobody relies on this one: it is made without syncs.
    let options = OpenOptions {
        sync: Arc::new(|_| Ok(())),
        ..OpenOptions::default()
    };
    let log = SledLog::open(path, &options).unwrap();
    let epoch = log.lead().unwrap();
    let mut next = 1;
    while next <= events {
        log.append(&batch(next, size, epoch), Sequence(next - 1), epoch)
            .unwrap();
        next += size;
    }
    log.close().unwrap();
}

/// In a process of its own, for the memory's sake.
fn open(what: &str, path: &Path) {
    let start = Instant::now();
    let log = SledLog::open(path, &OpenOptions::default()).unwrap();
    let opened = start.elapsed();
    let memory = rss_mib();
    let events = log.head().sequence.0;
    let start = Instant::now();
    let mut from = Sequence(1);
    let mut bytes = 0;
    while from.0 <= events {
        let chunk = log.read(from, 1 << 20).unwrap();
        from = chunk.next();
        bytes += chunk.bytes.len();
        std::hint::black_box(chunk.events(log.contents()).unwrap());
    }
    let read = start.elapsed();
    let start = Instant::now();
    verify(&log).unwrap();
    println!(
        "  {what} open of {events} events ({} bytes each, db {} MiB): {:.2} s, RSS {memory} MiB; read and decoded in {:.2} s, RSS {} MiB; verified in {:.2} s",
        bytes as u64 / events.max(1),
        std::fs::metadata(path.join("sled/db")).unwrap().len() >> 20,
        opened.as_secs_f64(),
        read.as_secs_f64(),
        rss_mib(),
        start.elapsed().as_secs_f64(),
    );
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_ascii_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        >> 10
}

fn main() {
    let args: Vec<_> = std::env::args().collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[1..] {
        ["open", what, path, ..] => return open(what, Path::new(path)),
        ["append", size, path, ..] => {
            let log = SledLog::open(Path::new(path), &OpenOptions::default()).unwrap();
            println!("{:?}", append_rate(&log, size.parse().unwrap()));
            return;
        }
        ["make", size, events, path, ..] => {
            return make(
                Path::new(path),
                size.parse().unwrap(),
                events.parse().unwrap(),
            );
        }
        _ => {}
    }
    let number = std::env::var("CREWLOG_BENCH_EVENTS")
        .ok()
        .and_then(|number| number.parse().ok());
    let parent = std::env::var_os("CREWLOG_BENCH_DIR").unwrap_or_else(|| "target".into());
    let dir = tempfile::tempdir_in(parent).unwrap();
    disk(dir.path());
    appends(dir.path());
    opens(dir.path(), number.unwrap_or(100_000));
}
