//! The log, and what lies beside it: content files, snapshots, the note of the head.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crewlog::model::event::Recorded;
use crewlog::model::ids::{Epoch, Sequence};
use crewlog::queue::content;
use crewlog::queue::log::{EventLog, hash_at};
use crewlog::queue::snapshot::{self, Snapshot};
use crewlog::queue::{OpenOptions, SledLog, verify};

use crate::disk::Luck;
use crate::rounds::{Cut, cut, cut_everywhere, time_to_go_on};
use crate::run::{self, Watched, marks, must_be_complete, open_log, temporary};
use crate::storage_common::{big, dirs::all, small};
use crate::trace::{Record, mark};

/// The version of the state's shape in the snapshots here.
const STATE: u32 = 3;
/// How many events one life of the log appends at a time.
const BATCHES: [u64; 9] = [1, 3, 1, 17, 1, 1, 40, 2, 1];
/// How many times as much it is that fills some of sled's segments of 512 KiB, so that it begins
/// to use them again.
const LONG: usize = 12;

/// What stands at a position, whoever writes it.
pub fn event(sequence: u64, epoch: Epoch) -> Recorded {
    match sequence % 19 {
        7 => big(sequence, epoch, 6_000),
        11 => big(sequence, epoch, 2_500),
        _ => small(sequence, epoch),
    }
}

fn text(number: u64) -> Vec<u8> {
    format!("the output of check {number}\n").repeat(100).into()
}

/// A writer's two lives: everything that it was told is done is marked.
#[test]
#[ignore = "started by the tests of this file"]
fn writer() {
    let (dir, trace, how) = run::child();
    let mut options = OpenOptions::default();
    if how == "flush only" {
        options.sync = Arc::new(|_| Ok(()));
    }
    let batches = BATCHES.repeat(if how == "long" { LONG } else { 1 });
    for is_last in [false, true] {
        let log = SledLog::open(&dir.join("log"), &options).expect("the log");
        live(&log, &dir, &trace, &batches);
        match is_last {
            false => log.close().expect("closed"),
            // As a killed process leaves it: its note is not written.
            true => std::mem::forget(log),
        }
    }
}

fn live(log: &SledLog, dir: &Path, trace: &Path, batches: &[u64]) {
    let epoch = log.lead().expect("an epoch");
    mark(trace, &format!("epoch {}", epoch.0));
    let mut head = log.head().sequence.0;
    for size in batches {
        let next = head + 1..=head + size;
        let batch: Vec<_> = next.map(|sequence| event(sequence, epoch)).collect();
        log.append(&batch, Sequence(head), epoch)
            .expect("an append");
        head += size;
        mark(trace, &format!("event {head}"));
    }
    log.contents().put(&text(head)).expect("a content file");
    mark(trace, &format!("content {head}"));
    let chain_hash = hash_at(log, Sequence(head)).expect("a read");
    let taken = Snapshot {
        sequence: Sequence(head),
        chain_hash: chain_hash.expect("it is there"),
        state_version: STATE,
        bytes: text(head),
    };
    snapshot::write(&dir.join("snapshots"), &taken).expect("a snapshot");
    mark(trace, &format!("snapshot {head}"));
}

/// The last number that was told of this kind.
fn told(cut: &Cut<'_>, what: &str) -> u64 {
    let mut numbers = marks(cut.before).rev().filter_map(|text| {
        let number = text.strip_prefix(what)?.strip_prefix(' ')?;
        number.parse().ok()
    });
    numbers.next().unwrap_or_default()
}

/// Everything that was acknowledged is there, unaltered, and the log goes on from it.
fn must_be_kept(cut: &Cut<'_>) {
    let dir = cut.dir.join("log");
    let log = open_log(&dir).expect("it opens");
    let (head, acknowledged) = (log.head().sequence.0, told(cut, "event"));
    assert!(
        head >= acknowledged,
        "event {acknowledged} was acknowledged, and the log ends at {head}"
    );
    verify(&log).expect("all of it checks");
    for (sequence, found) in (1..).zip(all(&log)) {
        assert_eq!(found, event(sequence, found.epoch), "another event");
    }
    for text in marks(cut.before) {
        if let Some(number) = text.strip_prefix("content ") {
            let expected = self::text(number.parse().expect("a number"));
            let kept = log.contents().get(&content::hash(&expected));
            assert_eq!(kept.expect("a content file"), expected);
        }
    }
    let (found, _) = snapshot::latest(&cut.dir.join("snapshots"), &log, STATE).expect("read");
    let newest = found.map_or(0, |found| found.sequence.0);
    let written = told(cut, "snapshot");
    assert!(
        newest >= written,
        "snapshot {written} is gone, {newest} is the newest"
    );
    if cut.number.is_multiple_of(5) {
        must_go_on(log, &dir, told(cut, "epoch"));
    }
}

fn must_go_on(log: SledLog, dir: &Path, led: u64) {
    let epoch = log.lead().expect("an epoch");
    assert!(epoch.0 > led, "epoch {led} was given out before");
    let head = log.head().sequence;
    let next = event(head.0 + 1, epoch);
    log.append(&[next], head, epoch).expect("an append");
    drop(log);
    let log = open_log(dir).expect("it opens again");
    assert_eq!(log.head().sequence.0, head.0 + 1);
}

/// A log of some lives; the second one in the same place begins where a kill left the first.
fn recorded(how: &str, lives: usize) -> (tempfile::TempDir, Watched) {
    let dir = temporary();
    let watched = Watched::new(dir.path());
    for _ in 0..lives {
        let output = watched.run("log::writer", how, None);
        assert!(output.status.success(), "{output:?}");
    }
    (dir, watched)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    let (dir, watched) = recorded("", 2);
    let root = watched.root.clone();
    let (disk, records) = watched.recorded();
    let mut whole = disk.clone();
    records.iter().for_each(|record| whole.apply(record));
    must_be_complete(&whole, &root);
    drop(dir);
    let time = time_to_go_on(Duration::from_secs(5));
    let cuts = cut_everywhere(&disk, &records, 1, time, must_be_kept);
    println!("{cuts} cuts of {} records", records.len());
    let told = marks(&records).count();
    assert!(told > 2 * BATCHES.len() && cuts > 2 * records.len());
}

#[test]
fn a_log_of_many_segments_survives_a_power_cut_at_any_moment() {
    let (_dir, watched) = recorded("long", 2);
    let db = std::fs::metadata(watched.root.join("log/sled/db")).expect("the database");
    assert!(db.len() > 4 << 19, "only {} bytes", db.len());
    let (disk, records) = watched.recorded();
    let step = records.len() / 60;
    let time = time_to_go_on(Duration::from_secs(5));
    let cuts = cut_everywhere(&disk, &records, step, time, must_be_kept);
    println!("{cuts} cuts of {} records", records.len());
}

/// A process that is killed leaves names that nobody has synced. The next one must not build on
/// them.
#[test]
fn what_a_killed_process_left_is_not_built_on() {
    let calls = {
        let (_dir, watched) = recorded("", 1);
        watched.calls()
    };
    let (began, time) = (Instant::now(), time_to_go_on(Duration::from_secs(4)));
    let first = rand::random_range(0..calls);
    let mut cuts = 0;
    for step in 0..calls {
        if step > 30 && began.elapsed() > time {
            break;
        }
        // In an order that has seen something of everything early on.
        let call = 1 + (first + step * 37) % calls;
        let dir = temporary();
        let watched = Watched::new(dir.path());
        let killed = watched.run("log::writer", "", Some(&format!("{call},kill")));
        assert!(!killed.status.success(), "call {call}: {killed:?}");
        let before = watched.recorded_so_far().len();
        let output = watched.run("log::writer", "", None);
        assert!(output.status.success(), "call {call}: {output:?}");
        let place = temporary();
        let place = place.path().join("left");
        let (mut disk, records) = watched.recorded();
        for (at, record) in records.iter().enumerate() {
            disk.apply(record);
            if at < before || !matches!(record, Record::Mark(_)) {
                continue;
            }
            let looked = cut(&place, &disk, Luck::None, || {
                let before = &records[..=at];
                must_be_kept(&Cut {
                    dir: &place,
                    before,
                    number: 1,
                });
            });
            assert!(
                looked.is_ok(),
                "killed at call {call}, cut after {record:?}"
            );
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
}

/// Our own sync is what keeps it: with sled's `flush` alone, which says that all is durable, a
/// power cut right after an acknowledgement takes the event away.
#[test]
fn flush_without_our_sync_loses_what_was_acknowledged() {
    let (_dir, watched) = recorded("flush only", 1);
    let (mut disk, records) = watched.recorded();
    let place = temporary();
    let place = place.path().join("left");
    let mut losses = 0;
    for record in &records {
        disk.apply(record);
        let Record::Mark(text) = record else {
            continue;
        };
        let acknowledged = text
            .strip_prefix("event ")
            .map_or(0, |n| n.parse().expect("a number"));
        let looked = cut(&place, &disk, Luck::None, || {
            let log = open_log(&place.join("log"));
            let head = log.map_or(0, |log| log.head().sequence.0);
            losses += usize::from(head < acknowledged);
        });
        looked.expect("counted");
    }
    assert!(
        losses > BATCHES.len(),
        "only {losses} events were lost: is flush a sync now?"
    );
}
