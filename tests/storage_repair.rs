//! A damaged log is searched for events without its engine, and made whole of what is proven.

mod storage_common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crewlog::model::ids::{Epoch, Sequence};
use crewlog::queue::log::{EventLog, Head};
use crewlog::queue::repair::{self, Findings, Repaired};
use crewlog::queue::snapshot::{self, Snapshot};
use crewlog::queue::{Error, OpenOptions, directory, encoding, verify};
use storage_common::dirs::{all, closed, copy_dir, open, reopened};
use storage_common::{big, smalls};

const COUNT: u64 = 300;

/// A data directory with a closed log.
struct Place {
    dir: tempfile::TempDir,
    head: Head,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let head = closed(&dir.path().join("log"), COUNT);
        Self { dir, head }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn snapshots(&self) -> PathBuf {
        self.dir.path().join("snapshots")
    }

    fn aside(&self) -> PathBuf {
        self.dir.path().join("log.damaged")
    }

    fn examine(&self) -> Findings {
        repair::examine(&self.log(), &self.snapshots()).unwrap()
    }

    fn repair(&self, findings: Findings) -> Repaired {
        let options = OpenOptions::default();
        let (log, snapshots, aside) = (self.log(), self.snapshots(), self.aside());
        repair::repair(findings, &log, &snapshots, &aside, &options).unwrap()
    }
}

/// Where copies of an event begin in the engine's file. It rewrites values and leaves old copies.
fn copies(db: &Path, sequence: u64) -> Vec<u64> {
    let bytes = fs::read(db).unwrap();
    let begins = |at: &usize| {
        bytes[*at..].starts_with(&encoding::MAGIC)
            && bytes.get(at + 10..at + 18) == Some(&sequence.to_le_bytes())
    };
    (0..bytes.len())
        .filter(begins)
        .map(|at| at as u64)
        .collect()
}

/// Flips a bit in a body.
fn hurt(db: &Path, copies: &[u64]) {
    let file = File::options().read(true).write(true).open(db).unwrap();
    for at in copies {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at + 90).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at + 90).unwrap();
    }
}

#[test]
fn an_event_that_is_lost_for_good_ends_what_is_kept() {
    let place = Place::new();
    let db = place.log().join("sled/db");
    let before = {
        let log = open(&place.log()).unwrap();
        all(&log)
    };
    hurt(&db, &copies(&db, 200));
    let damaged = fs::read(&db).unwrap();

    let findings = place.examine();
    let (bad, why) = findings.bad.clone().unwrap();
    assert_eq!(bad, Sequence(200));
    assert!(why.contains("checksum"), "{why}");
    assert_eq!(findings.head().sequence, Sequence(199));
    assert_eq!(findings.salvage.unlinked_events(), 100);
    assert_eq!(findings.known, Sequence(COUNT));
    let unlinked_events = findings.salvage.first_unlinked(3);
    assert_eq!(
        unlinked_events[..],
        before[200..203],
        "what would be dropped is shown"
    );
    assert_eq!(fs::read(&db).unwrap(), damaged, "examining changes nothing");

    let repaired = place.repair(findings);
    assert_eq!(repaired.head.sequence, Sequence(199));
    assert_eq!(fs::read(place.aside().join("sled/db")).unwrap(), damaged);
    let log = open(&place.log()).unwrap();
    assert_eq!(log.head(), repaired.head);
    assert_eq!(verify(&log).unwrap().events, 199);
    assert_eq!(all(&log)[..], before[..199], "the same events");
    // Nobody who led the damaged log can be taken for who leads this one.
    assert!(log.lead().unwrap() > Epoch(place.head.epoch.0 + 500));
    drop(log);
    assert!(place.examine().is_whole());
    let mut left: Vec<_> = fs::read_dir(place.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["log", "log.damaged"]);
}

#[test]
fn what_the_engine_cuts_off_while_it_opens_is_still_found() {
    let place = Place::new();
    let db = place.log().join("sled/db");
    let copies = copies(&db, 200);
    assert!(copies.len() > 1, "the log has to have old copies for this");
    hurt(&db, &copies[copies.len() - 1..]);
    // sled repairs what it opens, and what is behind the damage is gone from its file.
    for _ in 0..3 {
        assert!(matches!(open(&place.log()), Err(Error::Damaged { .. })));
    }
    let findings = place.examine();
    assert_eq!((findings.head(), findings.bad.clone()), (place.head, None));
    assert!(findings.engine.is_some() && !findings.is_whole());
    assert_eq!(place.repair(findings).head, place.head);
    let log = open(&place.log()).unwrap();
    assert_eq!(verify(&log).unwrap().head, place.head);
}

#[test]
fn damage_anywhere_leaves_a_proven_prefix_and_nothing_else() {
    let original = Place::new();
    let db = original.log().join("sled/db");
    let length = fs::metadata(&db).unwrap().len();
    let mut lost = 0;
    let places = 30;
    for index in 0..places {
        let offset = length * index / places + index;
        let place = Place {
            dir: tempfile::tempdir().unwrap(),
            head: original.head,
        };
        copy_dir(original.dir.path(), place.dir.path());
        let file = File::options()
            .write(true)
            .open(place.log().join("sled/db"));
        match index % 3 {
            0 => hurt(&place.log().join("sled/db"), &[offset.min(length - 91)]),
            1 => file.unwrap().write_all_at(&[0; 4096], offset).unwrap(),
            _ => file.unwrap().set_len(offset).unwrap(),
        }
        let opened = open(&place.log()).map(|log| log.head()).ok();
        assert!(opened.is_none_or(|head| head == original.head), "{offset}");
        let findings = place.examine();
        let head = findings.head();
        assert_eq!(findings.is_whole(), opened.is_some(), "{offset}");
        assert_eq!(findings.known, Sequence(COUNT), "{offset}");
        let bad = findings.bad.as_ref().map(|(sequence, _)| *sequence);
        let whole = head == original.head;
        assert_eq!(bad, (!whole).then(|| head.sequence.next()), "{offset}");
        lost += u64::from(!whole);
        assert_eq!(place.repair(findings).head, head);
        let log = open(&place.log()).unwrap();
        assert_eq!(verify(&log).unwrap().head, head, "{offset}");
    }
    assert!(lost > 2, "only {lost} of {places} lost anything");
}

#[test]
fn without_its_files_only_the_note_tells_what_was_lost() {
    let place = Place::new();
    fs::remove_dir_all(place.log().join("sled")).unwrap();
    let findings = place.examine();
    assert_eq!(findings.head(), Head::default());
    let (bad, why) = findings.bad.clone().unwrap();
    assert_eq!((bad.0, why.as_str()), (1, "it is missing"));
    assert_eq!(findings.known, Sequence(COUNT));
    place.repair(findings);
    assert_eq!(open(&place.log()).unwrap().head(), Head::default());
}

#[test]
fn without_its_note_the_log_is_whole_again_and_nothing_is_dropped() {
    let place = Place::new();
    fs::remove_file(place.log().join("head")).unwrap();
    let findings = place.examine();
    assert!(findings.bad.is_none());
    let said = findings.engine.clone().unwrap();
    assert!(said.contains("`head` is missing"), "{said}");
    assert_eq!(place.repair(findings).head, place.head);
    assert_eq!(open(&place.log()).unwrap().head(), place.head);
}

#[test]
fn a_snapshot_from_beyond_the_end_proves_that_there_was_more() {
    let place = Place::new();
    let snapshot = |sequence, chain_hash| Snapshot {
        sequence: Sequence(sequence),
        chain_hash,
        state_version: 1,
        bytes: b"state".to_vec(),
    };
    snapshot::write(&place.snapshots(), &snapshot(COUNT, place.head.hash)).unwrap();
    assert!(place.examine().is_whole());
    let ahead = snapshot(COUNT + 12, place.head.hash);
    snapshot::write(&place.snapshots(), &ahead).unwrap();
    let findings = place.examine();
    let (bad, _) = findings.bad.clone().unwrap();
    assert_eq!((bad.0, findings.known.0), (COUNT + 1, COUNT + 12));
    place.repair(findings);
    let left = snapshot::all(&place.snapshots()).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].sequence, Sequence(COUNT));
    let kept = snapshot::all(&place.aside().join("snapshots")).unwrap();
    assert_eq!(kept[0].sequence, Sequence(COUNT + 12));
    assert!(place.examine().is_whole());
}

#[test]
fn a_long_body_that_is_altered_costs_its_text_and_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir.path().join("log")).unwrap();
    let epoch = log.lead().unwrap();
    let mut batch = smalls(1, 20, epoch);
    batch[11] = big(12, epoch, 20_000);
    batch[15] = big(16, epoch, 30_000);
    let head = log.append(&batch, Sequence(0), epoch).unwrap();
    let chunk = log.read(Sequence(12), 1).unwrap();
    let hash = chunk.envelopes().next().unwrap().unwrap().content();
    let path = log.files().path(&hash.unwrap());
    log.close().unwrap();
    let place = Place { dir, head };
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, b"other").unwrap();
    // The start does not read bodies; `verify` does.
    drop(open(&place.log()).unwrap());
    let findings = place.examine();
    assert_eq!((findings.head(), findings.bad.clone()), (head, None));
    assert!(findings.has_all_events() && !findings.is_whole());
    let [lost] = findings.lost[..] else {
        panic!("{:?}", findings.lost);
    };
    assert_eq!((lost.event, lost.altered), (Sequence(12), true));
    // It is moved aside, and nothing else is touched.
    let before = fs::read(place.log().join("sled/db")).unwrap();
    let moved = repair::set_texts_aside(&findings, &place.log(), &place.aside());
    assert_eq!(moved.unwrap(), 1);
    drop(findings);
    assert_eq!(fs::read(place.log().join("sled/db")).unwrap(), before);
    let aside = place.aside().join(path.strip_prefix(place.log()).unwrap());
    assert_eq!(fs::read(&aside).unwrap(), b"other");
    let findings = place.examine();
    assert!(findings.is_whole(), "what is missing cannot be repaired");
    assert_eq!((findings.lost.len(), findings.lost[0].altered), (1, false));
    drop(findings);
    // With the bytes back nothing is lost.
    fs::write(&path, bytes).unwrap();
    assert!(place.examine().lost.is_empty());
}

#[test]
fn of_two_histories_the_later_writers_is_the_true_one() {
    let place = Place::new();
    // Events that a power cut took back, and that are still in the file.
    let old = tempfile::tempdir().unwrap();
    copy_dir(&place.log(), old.path());
    let log = open(&place.log()).unwrap();
    let epoch = log.lead().unwrap();
    let lost = smalls(COUNT + 1, 40, epoch);
    log.append(&lost, Sequence(COUNT), epoch).unwrap();
    log.close().unwrap();
    fs::rename(place.log().join("sled/db"), old.path().join("sled/zzz")).unwrap();
    fs::remove_dir_all(place.log()).unwrap();
    copy_dir(old.path(), &place.log());
    let log = open(&place.log()).unwrap();
    let epoch = {
        log.lead().unwrap();
        log.lead().unwrap()
    };
    let head = log.append(&smalls(COUNT + 1, 5, epoch), Sequence(COUNT), epoch);
    let head = head.unwrap();
    log.close().unwrap();
    let findings = place.examine();
    assert_eq!(
        findings.head(),
        head,
        "the shorter one, of the later writer"
    );
    // What there is of the other one is no reason to call the log damaged.
    assert!(findings.is_whole(), "{:?}", findings.bad);
}

#[test]
fn a_log_of_a_newer_build_is_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let head = closed(&dir.path().join("log"), 30);
    {
        let db = reopened(&dir.path().join("log/sled"));
        let events = db.open_tree("events").unwrap();
        let (key, value) = events.iter().last().unwrap().unwrap();
        // An event after the last, of a type that is still to come, its checksum right.
        let mut future = encoding::decode(&value).unwrap().bytes.to_vec();
        future[6..8].copy_from_slice(&999_u16.to_le_bytes());
        future[10..18].copy_from_slice(&31_u64.to_le_bytes());
        future[50..82].copy_from_slice(&head.hash.0);
        let end = future.len() - 4;
        let crc = crc32fast::hash(&future[..end]);
        future[end..].copy_from_slice(&crc.to_le_bytes());
        events.insert(key, [&value[..], &future].concat()).unwrap();
        db.flush().unwrap();
    }
    let examined = repair::examine(&dir.path().join("log"), &dir.path().join("snapshots"));
    let error = examined.err().unwrap().to_string();
    assert!(error.contains("use a newer version of Crewlog"), "{error}");
}

#[test]
fn a_repair_that_died_between_the_renames_is_ended_by_the_next_start() {
    let place = Place::new();
    let repaired = place.dir.path().join("log.repaired");
    fs::rename(place.log(), &repaired).unwrap();
    assert!(directory::exists(&place.log()));
    assert_eq!(open(&place.log()).unwrap().head(), place.head);
    assert!(!repaired.exists());
    // Before the renames there is the damaged log still, and the repair begins again.
    let db = place.log().join("sled/db");
    hurt(&db, &copies(&db, 200));
    fs::create_dir(&repaired).unwrap();
    fs::create_dir(place.dir.path().join("log.repaired.unfinished")).unwrap();
    assert!(open(&place.log()).is_err());
    let findings = place.examine();
    assert_eq!(place.repair(findings).head.sequence, Sequence(199));
    assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 2);
}

#[test]
fn nobody_repairs_a_log_that_is_in_use() {
    let place = Place::new();
    let log = open(&place.log()).unwrap();
    let examined = repair::examine(&place.log(), &place.snapshots());
    assert!(matches!(examined, Err(Error::Held { .. })));
    drop(log);
    let findings = place.examine();
    assert!(matches!(open(&place.log()), Err(Error::Held { .. })));
    drop(findings);
    open(&place.log()).unwrap();
}
