//! The rules without which sled loses what was acknowledged: each test fails without its rule.

mod storage_common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crewlog::model::event::Recorded;
use crewlog::model::ids::{Epoch, Sequence};
use crewlog::queue::log::{EventLog, Head};
use crewlog::queue::{ChainHash, Error, OpenOptions, SledLog, encoding, verify};
use storage_common::{big, small, smalls};
use tempfile::TempDir;

fn open(dir: &Path) -> Result<SledLog, Error> {
    SledLog::open(dir, &OpenOptions::default())
}

fn all(log: &dyn EventLog) -> Vec<Recorded> {
    let chunk = log.read(Sequence(1), usize::MAX).unwrap();
    assert_eq!(chunk.count as u64, log.head().sequence.0);
    chunk.events(log.contents()).unwrap()
}

/// A closed log of `count` small events, in batches of changing sizes.
fn closed(dir: &Path, count: u64) -> Head {
    let log = open(dir).unwrap();
    let epoch = log.lead().unwrap();
    let mut next = 1;
    for size in [1, 5, 1, 1, 16, 40, 2].into_iter().cycle() {
        let size = size.min(count + 1 - next);
        if size == 0 {
            break;
        }
        let batch = smalls(next, size, epoch);
        log.append(&batch, Sequence(next - 1), epoch).unwrap();
        next += size;
    }
    let head = log.head();
    log.close().unwrap();
    head
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

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
    let body = (bytes.len() - encoding::HEADER_BYTES) as u32;
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

/// sled without our rules, for looking at what is there.
fn reopened(home: &Path) -> sled::Db {
    loop {
        match sled::Config::new().path(home).open() {
            // Its threads may hold its lock for a moment longer.
            Err(error) if error.to_string().contains("lock") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// What comes of a damaged copy: an error, or everything. Anything else is a lie.
fn found_or_harmless(dir: &Path, head: Head, what: &str) -> bool {
    match open(dir) {
        Err(Error::Damaged { .. }) => true,
        Err(error) => panic!("{what}: {error}"),
        Ok(log) => {
            assert_eq!(log.head(), head, "{what}: silently another log");
            // Harmless at the start; where only a body's content could differ, verify says so.
            let verified = verify(&log).unwrap_or_else(|fault| panic!("{what}: {fault}"));
            assert_eq!(verified.head, head);
            false
        }
    }
}

#[test]
fn a_flipped_bit_is_found_by_the_next_start_or_harms_nothing() {
    let original = tempfile::tempdir().unwrap();
    let head = closed(original.path(), 700);
    let length = fs::metadata(original.path().join("sled/db")).unwrap().len();
    let mut found = 0;
    let flips = 160;
    for index in 0..flips {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(original.path(), copy.path());
        let offset = length * index / flips + index % 7;
        let path = copy.path().join("sled/db");
        flip(&path, offset, 1 << (index % 8));
        found += u64::from(found_or_harmless(
            copy.path(),
            head,
            &format!("db, byte {offset}"),
        ));
    }
    assert!(
        found > flips / 8,
        "only {found} of {flips} flips hit anything: the test looks elsewhere"
    );
}

#[test]
fn flipped_bits_in_the_small_files_are_found_or_harm_nothing() {
    let original = tempfile::tempdir().unwrap();
    let head = closed(original.path(), 60);
    drop(open(original.path()).unwrap());
    let mut files = vec!["head".to_owned(), "sled/conf".to_owned()];
    for entry in fs::read_dir(original.path().join("sled")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("snap.") {
            files.push(format!("sled/{name}"));
        }
    }
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let length = fs::metadata(original.path().join(&file)).unwrap().len();
        for index in 0..20 {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(original.path(), copy.path());
            let offset = length * index / 20;
            flip(&copy.path().join(&file), offset, 1 << (index % 8));
            found_or_harmless(copy.path(), head, &format!("{file}, byte {offset}"));
        }
    }
}

fn flip(path: &Path, offset: u64, mask: u8) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ mask], offset).unwrap();
}

#[test]
fn a_log_that_lost_its_end_is_found_by_the_head_file() {
    let dir = tempfile::tempdir().unwrap();
    let head = closed(dir.path(), 300);
    // What a lost tail looks like: sled opens it without a word.
    let shorten = |dir: &Path, keep: usize| {
        let db = reopened(&dir.join("sled"));
        let events = db.open_tree("events").unwrap();
        let keys: Vec<_> = events.iter().keys().collect::<Result<_, _>>().unwrap();
        for key in &keys[keep.min(keys.len() - 1)..] {
            events.remove(key).unwrap();
        }
        db.flush().unwrap();
    };
    for keep in [0, 3, usize::MAX] {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        shorten(copy.path(), keep);
        for _ in 0..2 {
            let error = open(copy.path()).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            assert!(
                error.to_string().contains("known to have reached 300"),
                "{error}"
            );
        }
    }
    // One slot torn is survived, both or the file gone is not.
    let slots: [(&[u64], bool); 4] = [
        (&[], true),
        (&[20], true),
        (&[4_096 + 20], true),
        (&[20, 4_096 + 20], false),
    ];
    for (offsets, opens) in slots {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        offsets
            .iter()
            .for_each(|&offset| flip(&copy.path().join("head"), offset, 1));
        assert_eq!(
            open(copy.path()).map(|log| log.head()).ok(),
            opens.then_some(head),
            "{offsets:?}"
        );
    }
    fs::remove_file(dir.path().join("head")).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Damaged { .. })));
}

#[test]
fn a_replaced_event_is_found_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 120);
    // Whole and well-formed, but of another history: the same log with one event less at first.
    let other = tempfile::tempdir().unwrap();
    let log = open(other.path()).unwrap();
    let epoch = log.lead().unwrap();
    let mut batch = smalls(1, 120, epoch);
    batch[0] = big(1, epoch, 10);
    log.append(&batch, Sequence(0), epoch).unwrap();
    log.close().unwrap();
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    copy_dir(&other.path().join("sled"), &dir.path().join("sled"));
    let error = open(dir.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("event 120 is another than it was"),
        "{error}"
    );
}

#[test]
fn an_event_rewritten_with_its_checksum_is_found_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 120);
    {
        let db = reopened(&dir.path().join("sled"));
        let events = db.open_tree("events").unwrap();
        let (key, value) = events.iter().next().unwrap().unwrap();
        let length = encoding::decode(&value).unwrap().bytes.len();
        // One byte of the first event's text, and the checksum made to fit.
        let mut value = value.to_vec();
        value[length - 6] ^= 1;
        let crc = crc32fast::hash(&value[..length - 4]);
        value[length - 4..length].copy_from_slice(&crc.to_le_bytes());
        encoding::decode(&value).unwrap().recorded().unwrap();
        events.insert(key, value).unwrap();
        db.flush().unwrap();
    }
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("event 2"), "{error}");
}

#[test]
fn a_format_of_the_future_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 3);
    {
        let db = reopened(&dir.path().join("sled"));
        db.open_tree("meta")
            .unwrap()
            .insert("format", &2_u32.to_le_bytes())
            .unwrap();
        db.flush().unwrap();
    }
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Format {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
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
