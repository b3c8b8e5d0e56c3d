//! Every call that writes, makes a name or syncs fails once: with EIO, with a disk that has died,
//! with one that is full, and half done. Whoever writes the log says so and ends; the next start
//! finds all that was acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crewlog::model::ids::Sequence;
use crewlog::queue::log::{EventLog, hash_at};
use crewlog::queue::snapshot::{self, Snapshot};
use crewlog::queue::{Error, OpenOptions, SledLog, verify};

use crate::log::event;
use crate::rounds::time_to_go_on;
use crate::run::{self, Watched, marks, open_log, temporary};
use crate::storage_common::dirs::all;
use crate::trace::{self, mark};

pub const MODES: [&str; 4] = ["eio", "full", "dead", "short"];

/// How a child says that it was refused, and ended in good order.
pub const REFUSED: i32 = 3;

#[test]
#[ignore = "started by the tests of this file"]
fn writer() {
    let (dir, trace, how) = run::child();
    let written = write(&dir.join("log"), &trace, how == "dropped");
    if let Err(error) = written {
        println!("\nrefused: {error}");
        std::process::exit(REFUSED);
    }
}

/// Two lives of a log. Ends by dropping the log, as a scheduler does, or without.
fn write(dir: &std::path::Path, trace: &std::path::Path, drops: bool) -> Result<(), Error> {
    for _ in 0..2 {
        let log = SledLog::open(dir, &OpenOptions::default())?;
        let written = append(&log, dir, trace);
        match (written, drops) {
            (Ok(()), _) => log.close()?,
            (failed, true) => return failed,
            (failed, false) => {
                std::mem::forget(log);
                return failed;
            }
        }
    }
    Ok(())
}

fn append(log: &SledLog, dir: &std::path::Path, trace: &std::path::Path) -> Result<(), Error> {
    let epoch = log.lead()?;
    for size in [1, 4, 20, 1] {
        let head = log.head().sequence;
        let next = head.0 + 1..=head.0 + size;
        let batch: Vec<_> = next.map(|sequence| event(sequence, epoch)).collect();
        log.append(&batch, head, epoch)?;
        mark(trace, &format!("{}", log.head().sequence.0));
    }
    let sequence = log.head().sequence;
    let chain_hash = hash_at(log, sequence)?.expect("it is there");
    let (state_version, bytes) = (1, vec![7; 3_000]);
    let taken = Snapshot {
        sequence,
        chain_hash,
        state_version,
        bytes,
    };
    snapshot::write(&dir.join("snapshots"), &taken).map(drop)
}

/// Fails the `call`th call in this way and looks at what is left. True if the child was refused.
fn fail(call: u64, mode: &str, how: &str) -> bool {
    let what = format!("call {call}, {mode}, {how}");
    let dir = temporary();
    let watched = Watched::new(dir.path());
    let output = watched.run("faults::writer", how, Some(&format!("{call},{mode}")));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = match output.status.code() {
        Some(0) => false,
        Some(REFUSED) => true,
        _ => panic!("{what}: it did not end in good order: {output:?}"),
    };
    let (_, records) = watched.recorded();
    let acknowledged = marks(&records)
        .last()
        .map_or(0, |last| last.parse().expect("a number"));
    let log = open_log(&dir.path().join("log"));
    let log = log.unwrap_or_else(|error| panic!("{what}: it does not open: {error}; {said}"));
    let head = log.head().sequence.0;
    assert!(
        head >= acknowledged,
        "{what}: of {acknowledged} events {head} are left; {said}"
    );
    verify(&log).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    for (sequence, found) in (1..).zip(all(&log)) {
        assert_eq!(found, event(sequence, found.epoch), "{what}");
    }
    let epoch = log.lead().expect("an epoch");
    log.append(&[event(head + 1, epoch)], Sequence(head), epoch)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    refused
}

#[test]
fn a_call_that_fails_ends_the_writer_and_loses_nothing() {
    let dir = temporary();
    let watched = Watched::new(dir.path());
    let output = watched.run("faults::writer", "", None);
    assert!(output.status.success(), "{output:?}");
    let calls = watched.calls();
    let (began, time) = (Instant::now(), time_to_go_on(Duration::from_secs(8)));
    // Of each way: how many failed, and how many of them the child could not go on after.
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    // One mode after the other, and of each every few calls first, so that time cuts evenly.
    'all: for offset in 0..8 {
        for (index, mode) in MODES.into_iter().enumerate() {
            for call in (1..=calls).filter(|call| call % 8 == (offset + 2 * index as u64) % 8) {
                if offset > 0 && began.elapsed() > time {
                    break 'all;
                }
                let how = if call.is_multiple_of(3) {
                    "forgotten"
                } else {
                    "dropped"
                };
                let (failed, refused) = counts.entry(mode).or_default();
                *refused += u64::from(fail(call, mode, how));
                *failed += 1;
            }
        }
    }
    println!("of {calls} calls, failed and refused: {counts:?}");
    for mode in ["eio", "full", "dead"] {
        let (failed, refused) = counts[mode];
        // Others are those of the copy that is made before the log is opened, which may fail.
        assert!(refused > failed / 2, "{mode}: {refused} of {failed}");
    }
    assert_eq!(counts["short"].1, 0, "half a write is no error");
}

#[test]
fn marks_are_read_back() {
    let dir = temporary();
    let path = dir.path().join("trace");
    mark(&path, "one");
    mark(&path, "");
    assert_eq!(marks(&trace::read(&path)).collect::<Vec<_>>(), ["one", ""]);
}
