//! What lies beside the log: content files, snapshots, portable logs; and `verify`.

mod storage_common;

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crewlog::model::event::*;
use crewlog::model::evidence::{Basis, CheckEnd, CheckRun, Evidence};
use crewlog::model::ids::*;
use crewlog::queue::content::{self, CONTENT_BYTES_MAX, Contents, MemoryContents};
use crewlog::queue::log::{EventLog, Head};
use crewlog::queue::memory::Fault;
use crewlog::queue::portable::{read_portable, write_portable};
use crewlog::queue::snapshot::{self, PassedOver, Snapshot};
use crewlog::queue::{
    ChainHash, Error, FileContents, LostText, MemoryLog, OpenOptions, SledLog, Text, verify,
};
use storage_common::{big, commit, record, small, smalls};

fn contents(dir: &Path) -> Vec<Box<dyn Contents>> {
    let files = FileContents::open(&dir.join("content")).unwrap();
    vec![Box::new(files), Box::new(MemoryContents::default())]
}

#[test]
fn content_is_named_by_its_hash_and_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    for store in contents(dir.path()) {
        let missing = content::hash(b"nothing");
        assert!(matches!(store.get(&missing), Err(Error::ContentMissing(hash)) if hash == missing));
        for bytes in [&b""[..], b"hello\n", &[0; 100_000]] {
            let hash = store.put(bytes).unwrap();
            assert_eq!(store.put(bytes).unwrap(), hash);
            assert_eq!(hash, content::hash(bytes));
            assert_eq!(store.get(&hash).unwrap(), bytes);
        }
        let too_long = vec![0; CONTENT_BYTES_MAX + 1];
        assert!(matches!(store.put(&too_long), Err(Error::Oversized { .. })));
        store.put(&too_long[1..]).unwrap();
    }
    let hash = content::hash(b"hello\n");
    let digits = hash.to_string();
    let path = dir
        .path()
        .join("content")
        .join(&digits[..2])
        .join(&digits[2..]);
    assert_eq!(fs::read(path).unwrap(), b"hello\n");
}

#[test]
fn content_is_found_by_the_first_digits_of_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileContents::open(&dir.path().join("content")).unwrap();
    let hash = store.put(b"hello\n").unwrap();
    let digits = hash.to_string();
    let shelf = dir.path().join("content").join(&digits[..2]);
    let other = format!("{}{}", &digits[2..12], "0".repeat(52));
    fs::write(shelf.join(&other), b"").unwrap();
    fs::write(shelf.join(format!("{}.1.1.unfinished", &digits[2..])), b"").unwrap();
    assert_eq!(store.find(&digits).unwrap(), [hash]);
    assert_eq!(store.find(&digits[..13]).unwrap(), [hash]);
    assert_eq!(store.find(&digits[..12]).unwrap().len(), 2);
    for nothing in ["", "0", "zz", "ä", "000000000000"] {
        assert_eq!(store.find(nothing).unwrap(), [], "{nothing:?}");
    }
}

#[test]
fn altered_content_is_never_given_out_and_can_be_put_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileContents::open(dir.path()).unwrap();
    let hash = store.put(b"evidence").unwrap();
    for altered in [&b"evidenc"[..], b"evidencf", b"evidence ", b""] {
        fs::write(store.path(&hash), altered).unwrap();
        assert!(matches!(store.get(&hash), Err(Error::ContentAltered(_))));
        assert_eq!(store.put(b"evidence").unwrap(), hash);
        assert_eq!(store.get(&hash).unwrap(), b"evidence");
    }
    let parent = store.path(&hash).parent().unwrap().to_owned();
    let unfinished = parent.join("x.1.2.unfinished");
    fs::write(&unfinished, b"half").unwrap();
    store.remove_abandoned().unwrap();
    assert!(unfinished.exists(), "a living worker may be writing it");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    fs::File::options()
        .write(true)
        .open(&unfinished)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    store.remove_abandoned().unwrap();
    assert!(!unfinished.exists() && store.get(&hash).is_ok());
}

/// A led log with small and big events.
fn filled(count: u64) -> MemoryLog {
    let log = MemoryLog::new();
    let epoch = log.lead().unwrap();
    for sequence in 1..=count {
        let event = match sequence % 10 {
            0 => big(sequence, epoch, 5_000),
            _ => small(sequence, epoch),
        };
        log.append(&[event], Sequence(sequence - 1), epoch).unwrap();
    }
    log
}

fn at(log: &dyn EventLog, sequence: u64, bytes: &[u8]) -> Snapshot {
    let sequence = Sequence(sequence);
    let chain_hash = crewlog::queue::log::hash_at(log, sequence)
        .unwrap()
        .unwrap();
    Snapshot {
        sequence,
        chain_hash,
        state_version: 4,
        bytes: bytes.to_vec(),
    }
}

/// What `snapshot::latest` says, the state read.
fn latest(dir: &Path, log: &dyn EventLog, version: u32) -> (Option<Snapshot>, Vec<PassedOver>) {
    let (sound, passed_over) = snapshot::latest(dir, log, version).unwrap();
    let read = sound.map(|mut sound| {
        let mut bytes = Vec::new();
        sound.state().unwrap().read_to_end(&mut bytes).unwrap();
        Snapshot {
            sequence: sound.sequence,
            chain_hash: sound.chain_hash,
            state_version: sound.state_version,
            bytes,
        }
    });
    (read, passed_over)
}

#[test]
fn the_newest_good_snapshot_of_this_log_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("snapshots");
    let log = filled(50);
    assert_eq!(latest(&dir, &log, 4), (None, vec![]));
    let written: Vec<_> = [10, 20, 30, 40]
        .map(|sequence| at(&log, sequence, &[sequence as u8; 500]))
        .into();
    for snapshot in &written {
        fs::create_dir_all(&dir).unwrap();
        fs::write(
            dir.join("00000000000000000099.snapshot.7.1.unfinished"),
            b"half",
        )
        .unwrap();
        snapshot::write(&dir, snapshot).unwrap();
        assert_eq!(latest(&dir, &log, 4), (Some(snapshot.clone()), vec![]));
    }
    let kept: Vec<_> = snapshot::all(&dir)
        .unwrap()
        .iter()
        .map(|stored| stored.sequence.0)
        .collect();
    assert_eq!(kept, [40, 30, 20], "the newest three");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 3);

    let newest = snapshot::all(&dir).unwrap()[0].path.clone();
    let bytes = fs::read(&newest).unwrap();
    for offset in (0..bytes.len()).step_by(13).chain([bytes.len() - 1]) {
        let mut altered = bytes.clone();
        altered[offset] ^= 0x10;
        fs::write(&newest, &altered).unwrap();
        assert_passed_over(&dir, &log, &written[2], &newest);
    }
    for length in [0, 63, 64, 95, 96, bytes.len() - 1] {
        fs::write(&newest, &bytes[..length]).unwrap();
        assert_passed_over(&dir, &log, &written[2], &newest);
    }
    fs::write(&newest, [&bytes[..], b"x"].concat()).unwrap();
    assert_passed_over(&dir, &log, &written[2], &newest);
    // Under another's name.
    fs::write(
        &newest,
        fs::read(&snapshot::all(&dir).unwrap()[2].path).unwrap(),
    )
    .unwrap();
    assert_passed_over(&dir, &log, &written[2], &newest);
}

fn assert_passed_over(dir: &Path, log: &dyn EventLog, expected: &Snapshot, damaged: &Path) {
    let (found, passed_over) = latest(dir, log, 4);
    assert_eq!(found.as_ref(), Some(expected));
    assert_eq!(passed_over.len(), 1);
    assert_eq!(passed_over[0].path, damaged);
}

#[test]
fn snapshots_of_other_logs_futures_and_shapes_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(50);
    let good = at(&log, 10, b"state");
    let other = Snapshot {
        chain_hash: ChainHash([1; 32]),
        ..at(&log, 40, b"other")
    };
    let future = Snapshot {
        sequence: Sequence(51),
        ..at(&log, 50, b"future")
    };
    for snapshot in [&good, &other, &future] {
        snapshot::write(dir.path(), snapshot).unwrap();
    }
    let (found, passed_over) = latest(dir.path(), &log, 4);
    assert_eq!(found, Some(good));
    let reasons: Vec<_> = passed_over
        .iter()
        .map(|passed| passed.why.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "it is newer than the end of the log",
            "it belongs to another log"
        ]
    );
    let (found, passed_over) = latest(dir.path(), &log, 5);
    assert_eq!((found, passed_over.len()), (None, 3));
}

#[test]
fn verify_names_every_lost_text_and_keeps_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let log = SledLog::open(dir.path(), &OpenOptions::default()).unwrap();
    let epoch = log.lead().unwrap();
    let output = log.contents().put(b"ok 1 - greets\n").unwrap();
    let run = |output| CheckRun {
        command: "sh t".into(),
        end: CheckEnd::Exited(0),
        duration_ms: 5,
        output,
    };
    let checks = vec![
        run(output),
        run(ContentHash([7; 32])),
        run(ContentHash::default()),
        run(output),
    ];
    let evidence = Evidence {
        basis: Basis::Checks,
        commit: commit('a'),
        tree: commit('b'),
        checks,
    };
    let passed = TestPassed {
        feature: FeatureId(1),
        attempt: AttemptId(1),
        evidence,
    };
    let mut batch = smalls(1, 9, epoch);
    batch.push(record(10, epoch, passed));
    batch.push(big(11, epoch, 9_000));
    log.append(&batch, Sequence(0), epoch).unwrap();

    let verified = verify(&log).unwrap();
    let counts = (
        verified.events,
        verified.long_bodies,
        verified.outputs,
        verified.outputs_missing,
    );
    assert_eq!((counts, verified.head), ((11, 1, 1, 1), log.head()));

    fs::write(log.files().path(&output), b"ok 2 - greets\n").unwrap();
    // Every event stays; the text is named.
    let verified = verify(&log).unwrap();
    let missing = |lost: &&LostText| lost.content == ContentHash([7; 32]);
    let found: Vec<_> = verified.lost.iter().filter(|it| !missing(it)).collect();
    let what = Text::Output {
        feature: FeatureId(1),
        attempt: AttemptId(1),
        check: 1,
    };
    let expected = LostText {
        content: output,
        altered: true,
        event: Sequence(10),
        what,
    };
    assert_eq!(found, [&expected]);
    assert!(expected.is_damage());
    assert_eq!((verified.outputs, verified.outputs_missing), (0, 1));
    assert_eq!(verified.head, log.head());
    fs::write(log.files().path(&output), b"ok 1 - greets\n").unwrap();

    let mut bytes = Vec::new();
    crewlog::queue::encoding::encode_body(&batch[10].event, &mut bytes).unwrap();
    fs::remove_file(log.files().path(&content::hash(&bytes))).unwrap();
    let verified = verify(&log).unwrap();
    let lost = verified.lost.last().unwrap();
    assert_eq!((lost.event, lost.altered), (Sequence(11), false));
    assert_eq!(lost.what, Text::Body("FeatureAdded"));
    assert!(lost.is_damage());
    assert_eq!((verified.events, verified.long_bodies), (11, 0));
}

fn exported(log: &dyn EventLog) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(write_portable(log, &mut bytes).unwrap(), log.head());
    bytes
}

#[test]
fn a_log_moves_between_engines_with_its_hashes() {
    let source = filled(300);
    let later = source.lead().unwrap();
    source
        .append(&smalls(301, 9_000, later), Sequence(300), later)
        .unwrap();
    let file = exported(&source);

    let dir = tempfile::tempdir().unwrap();
    let sled = SledLog::open(dir.path(), &OpenOptions::default()).unwrap();
    let epoch = sled.lead().unwrap();
    assert_eq!(
        read_portable(Cursor::new(&file), &sled, epoch).unwrap(),
        source.head()
    );
    assert_eq!(verify(&sled).unwrap().head, source.head());
    assert_eq!(exported(&sled), file, "and back, to the byte");
    let head = sled.head().sequence;
    assert!(sled.lead().unwrap() > later);
    let error = read_portable(Cursor::new(&file), &sled, Epoch(9)).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    assert_eq!(sled.head().sequence, head);

    let empty = exported(&MemoryLog::new());
    let log = MemoryLog::new();
    let epoch = log.lead().unwrap();
    assert_eq!(
        read_portable(Cursor::new(empty), &log, epoch).unwrap(),
        Head::default()
    );
}

#[test]
fn a_broken_portable_log_imports_nothing() {
    let file = exported(&filled(25));
    let log = MemoryLog::new();
    let epoch = log.lead().unwrap();
    let refused = |bytes: &[u8], what: &str| {
        let error = read_portable(Cursor::new(bytes), &log, epoch).expect_err(what);
        assert!(matches!(error, Error::Import(_)), "{what}: {error}");
        assert_eq!(log.head(), Head::default(), "{what}");
    };
    for length in (0..file.len()).step_by(11).chain([file.len() - 1]) {
        refused(&file[..length], &format!("cut at {length}"));
    }
    for bit in (0..file.len() * 8).step_by(37) {
        let mut altered = file.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        refused(&altered, &format!("bit {bit}"));
    }
    refused(&[&file[..], b"x"].concat(), "something follows");
    refused(b"{\"sequence\":1}\n", "JSON lines");
    // One event less, and a well-formed end: the chain's hash in it is another.
    assert_eq!(
        read_portable(Cursor::new(&file), &log, epoch)
            .unwrap()
            .sequence,
        Sequence(25)
    );
}

/// A file that is another one when it is read again.
struct Shifty(Cursor<Vec<u8>>, Vec<u8>);

impl std::io::Read for Shifty {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl std::io::Seek for Shifty {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        if matches!(to, std::io::SeekFrom::Start(_)) {
            self.0 = Cursor::new(std::mem::take(&mut self.1));
        }
        self.0.seek(to)
    }
}

#[test]
fn a_file_that_changes_while_it_is_imported_is_noticed() {
    let (one, other) = (exported(&filled(25)), exported(&filled(24)));
    let log = MemoryLog::new();
    let epoch = log.lead().unwrap();
    let error = read_portable(Shifty(Cursor::new(one), other), &log, epoch).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("changed while it was being read"),
        "{error}"
    );
}

#[test]
fn a_memory_log_can_die_in_the_middle() {
    for (fault, survivors) in [(Fault::Lost, 5), (Fault::Kept, 8)] {
        let log = Arc::new(MemoryLog::new());
        let epoch = log.lead().unwrap();
        log.append(&smalls(1, 5, epoch), Sequence(0), epoch)
            .unwrap();
        log.fail_next_append(fault);
        let error = log
            .append(&smalls(6, 3, epoch), Sequence(5), epoch)
            .unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
        assert_eq!(log.head().sequence, Sequence(5), "nobody was told");
        assert_eq!(log.read(Sequence(1), usize::MAX).unwrap().count, 5);
        assert!(log.lead().is_err());
        let next = log.restart();
        assert_eq!(next.head().sequence, Sequence(survivors));
        assert_eq!(verify(&next).unwrap().events, survivors);
        assert!(next.lead().unwrap() > epoch);
    }
}

#[test]
fn exporting_to_a_full_disk_says_so() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = write_portable(&filled(5), Full).unwrap_err();
    assert!(
        error.to_string().contains("cannot write the portable log"),
        "{error}"
    );
}
