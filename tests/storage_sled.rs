//! The rules without which sled loses what was acknowledged: each test fails without its rule.

mod storage_common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crewlog::model::ids::{Epoch, Sequence};
use crewlog::queue::log::EventLog;
use crewlog::queue::{ChainHash, Ending, Error, LogReader, OpenOptions, SledLog, encoding};
use storage_common::dirs::{all, closed, open, reopened};
use storage_common::{big, small, smalls};
use tempfile::TempDir;

#[test]
fn a_half_made_snapshot_of_sled_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let head = closed(dir.path(), 100);
    let home = dir.path().join("sled");
    // As a process leaves it that dies while sled writes its snapshot.
    fs::write(home.join("snap.00000000FFFFFFFF.generating"), b"half").unwrap();
    let plain = std::panic::catch_unwind(|| sled::Config::new().path(&home).open().map(drop));
    assert!(
        !matches!(plain, Ok(Ok(()))),
        "sled opens it by itself now: the rule has no reason any more"
    );
    fs::write(home.join("snap.00000000FFFFFFFF.generating"), b"half").unwrap();
    assert_eq!(open(dir.path()).unwrap().head(), head);
}

#[test]
fn a_second_opener_learns_who_holds_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    let Error::Held { pid, since, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*pid, Some(std::process::id()));
    let age = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_millis() as u64
        - since.unwrap().0;
    assert!(age < 60_000, "{age}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}, since 20", std::process::id())),
        "{text}"
    );
    drop(log);
    open(dir.path()).unwrap();
}

/// Not a test by itself: the process that holds the lock in the next test.
#[test]
#[ignore = "started by a_killed_holder_leaves_no_lock"]
fn holder() {
    let dir = std::env::var("CREWLOG_TEST_DIR").unwrap();
    let log = open(Path::new(&dir)).unwrap();
    let epoch = log.lead().unwrap();
    log.append(&smalls(1, 40, epoch), Sequence(0), epoch)
        .unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nholding").unwrap();
    out.flush().unwrap();
    // Until the test kills this process, or ends: then its end of the pipe closes.
    let _ = std::io::stdin().read_line(&mut String::new());
    std::process::exit(0);
}

#[test]
fn a_killed_holder_leaves_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--ignored", "--nocapture"])
        .env("CREWLOG_TEST_DIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "holding"),
        "the holder did not come up"
    );
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(error, Error::Held { pid: Some(pid), .. } if pid == child.id()),
        "{error}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let log = open(dir.path()).unwrap();
    assert_eq!(
        all(&log),
        smalls(1, 40, Epoch(1)),
        "acknowledged before the kill"
    );
}

/// Counts syncs of the database's file, and fails them on demand.
#[derive(Default)]
struct Syncs {
    count: AtomicUsize,
    fail: AtomicBool,
    /// What a reader could see at the moment of each sync.
    visible: Mutex<Vec<u64>>,
    log: Mutex<Option<std::sync::Weak<SledLog>>>,
}

impl Syncs {
    fn options(self: &Arc<Self>) -> OpenOptions {
        let syncs = Arc::clone(self);
        OpenOptions {
            sync: Arc::new(move |file: &File| {
                if syncs.fail.load(Ordering::SeqCst) {
                    return Err(std::io::Error::other("the disk is on fire"));
                }
                if let Some(log) = syncs
                    .log
                    .lock()
                    .unwrap()
                    .as_ref()
                    .and_then(std::sync::Weak::upgrade)
                {
                    assert!(
                        log.read(Sequence(1), usize::MAX).unwrap().next().0
                            == log.head().sequence.0 + 1
                    );
                    syncs.visible.lock().unwrap().push(log.head().sequence.0);
                }
                syncs.count.fetch_add(1, Ordering::SeqCst);
                file.sync_data()
            }),
            ..OpenOptions::default()
        }
    }
}

#[test]
fn an_append_is_acknowledged_after_one_sync_and_not_seen_before() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(Syncs::default());
    let log = Arc::new(SledLog::open(dir.path(), &syncs.options()).unwrap());
    *syncs.log.lock().unwrap() = Some(Arc::downgrade(&log));
    let before = syncs.count.load(Ordering::SeqCst);
    let epoch = log.lead().unwrap();
    assert_eq!(
        syncs.count.load(Ordering::SeqCst),
        before + 1,
        "the epoch is synced"
    );
    let mut next = 1;
    for (index, size) in [1, 1, 7, 64, 300, 1].into_iter().enumerate() {
        log.append(&smalls(next, size, epoch), Sequence(next - 1), epoch)
            .unwrap();
        next += size;
        assert_eq!(syncs.count.load(Ordering::SeqCst), before + 2 + index);
    }
    assert_eq!(*syncs.visible.lock().unwrap(), [0, 0, 1, 2, 9, 73, 373]);
}

#[test]
fn after_a_failed_sync_nothing_is_appended_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(Syncs::default());
    let log = SledLog::open(dir.path(), &syncs.options()).unwrap();
    let epoch = log.lead().unwrap();
    log.append(&smalls(1, 5, epoch), Sequence(0), epoch)
        .unwrap();
    let head = log.head();
    syncs.fail.store(true, Ordering::SeqCst);
    let error = log
        .append(&smalls(6, 5, epoch), Sequence(5), epoch)
        .unwrap_err();
    assert!(error.to_string().contains("the disk is on fire"), "{error}");
    syncs.fail.store(false, Ordering::SeqCst);
    assert!(matches!(
        log.append(&smalls(6, 5, epoch), Sequence(5), epoch),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(
        log.append(&[], Sequence(5), epoch),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(log.lead(), Err(Error::Poisoned { .. })));
    // Nobody was told of the events, and nobody sees them.
    assert_eq!((log.head(), *log.heads().borrow()), (head, head));
    assert_eq!(all(&log), smalls(1, 5, epoch));
    assert!(log.close().is_err());
    // The next process takes what it finds, all of the batch or nothing.
    let found = open(dir.path()).unwrap().head().sequence.0;
    assert!(found == 5 || found == 10, "{found}");
}

/// An envelope that checks in every way but its size.
fn oversized() -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding::encode(&small(1, Epoch(1)), &ChainHash::default(), &mut bytes).unwrap();
    bytes.truncate(bytes.len() - 4);
    bytes.resize(5_000, b' ');
    // The actor is unknown: two bytes.
    let body = (bytes.len() - encoding::HEADER_BYTES - 2) as u32;
    bytes[82..86].copy_from_slice(&body.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn no_value_over_4_kib_reaches_sled() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let epoch = log.lead().unwrap();
    let error = log
        .append_copied(&oversized(), Sequence(0), epoch)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Oversized {
                bytes: 5_004,
                bytes_max: 4_096,
                ..
            }
        ),
        "{error}"
    );
    // It is a refusal: nothing was written, and the log goes on.
    let mut batch = Vec::new();
    for (sequence, bytes) in
        (1..).zip([10, 500, 2_700, 2_790, 3_000, 20_000, 3_900, 100].repeat(12))
    {
        batch.push(big(sequence, epoch, bytes));
    }
    log.append(&batch[..40], Sequence(0), epoch).unwrap();
    for event in &batch[40..] {
        log.append(
            std::slice::from_ref(event),
            Sequence(event.sequence.0 - 1),
            epoch,
        )
        .unwrap();
    }
    assert_eq!(all(&log), batch);
    log.close().unwrap();
    let home = dir.path().join("sled");
    let db = reopened(&home);
    let values: Vec<_> = db
        .open_tree("events")
        .unwrap()
        .iter()
        .values()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(values.iter().all(|value| value.len() <= 4_096));
    let bytes: usize = values.iter().map(|value| value.len()).sum();
    assert!(
        bytes > values.len() * 2_048,
        "{} values hold {bytes} bytes",
        values.len()
    );
    assert_eq!(
        fs::read_dir(home.join("blobs")).unwrap().count(),
        0,
        "sled made files of its own"
    );
}

#[test]
fn only_this_user_may_look_and_leftovers_are_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("a/b/data");
    // What a crash in the middle of the creation leaves.
    fs::create_dir_all(home.join("sled.unfinished/blobs")).unwrap();
    fs::write(home.join("sled.unfinished/conf"), [0; 40]).unwrap();
    fs::write(home.join("head.12.0.unfinished"), b"x").unwrap();
    let fresh = dir.path().join("c/d/data");
    for path in [&home, &fresh] {
        let log = open(path).unwrap();
        let epoch = log.lead().unwrap();
        log.append(&smalls(1, 3, epoch), Sequence(0), epoch)
            .unwrap();
        drop(log);
        open(path).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(&home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["content", "head", "lock", "sled"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in ["", "sled", "content"] {
        assert_eq!(mode(&fresh.join(path)), 0o700, "{path}");
    }
    for path in ["head", "lock"] {
        assert_eq!(mode(&fresh.join(path)), 0o600, "{path}");
    }
}

#[test]
fn a_batch_of_a_whole_backlog_is_one_append() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let epoch = log.lead().unwrap();
    let batch = smalls(1, 20_000, epoch);
    log.append(&batch, Sequence(0), epoch).unwrap();
    drop(log);
    assert_eq!(open(dir.path()).unwrap().head().sequence, Sequence(20_000));
}

/// Sizes of batches: within a value, over several values, and of many.
const SIZES: [u64; 7] = [1, 3, 1, 40, 2, 300, 7];

/// What a reader of the plain files finds: whole batches, all that was acknowledged before it looked,
/// and the very events.
fn assert_reads(dir: &Path, acknowledged: u64, ends: &[u64]) -> u64 {
    let mut reader = LogReader::open(dir, Sequence(1)).unwrap();
    let head = reader.head().sequence.0;
    assert!(head >= acknowledged, "{head} of {acknowledged}");
    assert!(ends.contains(&head), "half a batch: {head}");
    let mut next = 1;
    while next <= head {
        let chunk = reader.read(Sequence(next), 64 << 10).unwrap();
        for recorded in chunk.events(reader.contents()).unwrap() {
            assert_eq!(recorded, small(next, recorded.epoch));
            next += 1;
        }
    }
    head
}

#[test]
fn a_reader_beside_a_writer_sees_whole_batches_and_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let epoch = log.lead().unwrap();
    let mut ends = vec![0];
    for size in SIZES.iter().cycle().take(120) {
        ends.push(ends[ends.len() - 1] + size);
    }
    let acknowledged = AtomicU64::new(0);
    let looks = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for pair in ends.windows(2) {
                let batch = smalls(pair[0] + 1, pair[1] - pair[0], epoch);
                log.append(&batch, Sequence(pair[0]), epoch).unwrap();
                acknowledged.store(pair[1], Ordering::SeqCst);
            }
        });
        let mut looks = 0;
        while !writer.is_finished() {
            assert_reads(dir.path(), acknowledged.load(Ordering::SeqCst), &ends);
            looks += 1;
        }
        looks
    });
    assert!(looks > 3, "only {looks} looks");
    let last = ends[ends.len() - 1];
    assert_eq!(assert_reads(dir.path(), last, &ends), last);
    log.close().unwrap();
    assert_eq!(assert_reads(dir.path(), last, &ends), last);
    let reader = LogReader::open(dir.path(), Sequence(last - 5)).unwrap();
    assert_eq!(reader.ending().unwrap(), Ending::Closed);
    assert_eq!(reader.head().sequence.0, last);
}
