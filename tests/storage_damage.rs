//! Damage on the disk: found by the next start, or harmless, and never a silently shorter log.

mod storage_common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crewlog::model::ids::Sequence;
use crewlog::queue::log::{EventLog, Head};
use crewlog::queue::{Error, encoding, verify};
use storage_common::dirs::{closed, copy_dir, open, reopened};
use storage_common::{big, smalls};

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
