//! Damage on the disk: found by the next start, or harmless, and never a silently shorter log.

mod storage_common;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crewlog::model::ids::Sequence;
use crewlog::queue::log::{EventLog, Head, hash_at};
use crewlog::queue::snapshot::{self, Snapshot};
use crewlog::queue::{Error, encoding, verify};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage_common::dirs::{closed, copy_dir, open, reopened};
use storage_common::{big, smalls};

/// The version of the state's shape in the snapshots here.
const STATE: u32 = 1;

/// What can happen to bytes that nobody writes to.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// One bit is another.
    Flip,
    /// A sector is all zeros, or a run of them: a hole.
    Zeros(usize),
    /// A sector has what another one should have.
    Misplaced,
    /// Everything from there on is gone: a torn tail.
    Cut,
    /// Everything from there on is zeros, as where a file got its length and not its bytes.
    Blank,
}

const DAMAGES: [Damage; 6] = [
    Damage::Flip,
    Damage::Zeros(512),
    Damage::Zeros(4_096),
    Damage::Misplaced,
    Damage::Cut,
    Damage::Blank,
];

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>, at: usize, dice: &mut StdRng) {
        let sector = at / 512 * 512;
        let end = |count: usize| (sector + count).min(bytes.len());
        match self {
            Self::Flip => bytes[at] ^= 1 << dice.random_range(0..8),
            Self::Zeros(count) => {
                let end = end(count);
                bytes[sector..end].fill(0);
            }
            Self::Misplaced => {
                let end = end(512);
                let from = dice.random_range(0..=bytes.len() - (end - sector)) / 512 * 512;
                bytes.copy_within(from..from + (end - sector), sector);
            }
            Self::Cut => bytes.truncate(at),
            Self::Blank => bytes[at..].fill(0),
        }
    }
}

/// What comes of a damaged copy: it is found by the start or by `verify`, or everything is there.
/// Anything else is a lie. True if it was found.
fn found_or_harmless(dir: &Path, head: Head, what: &str) -> bool {
    let log = match open(dir) {
        Err(Error::Damaged { .. }) => return true,
        Err(error) => panic!("{what}: {error}"),
        Ok(log) => log,
    };
    assert_eq!(log.head(), head, "{what}: silently another log");
    let (found, _) = snapshot::latest(&dir.join("snapshots"), &log, STATE).expect("snapshots");
    let mut found = found.unwrap_or_else(|| panic!("{what}: no snapshot"));
    let mut state = Vec::new();
    found.state().unwrap().read_to_end(&mut state).unwrap();
    assert_eq!(state, state_at(found.sequence), "{what}: another snapshot");
    let verified = verify(&log).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    assert_eq!(verified.head, head, "{what}");
    // Bodies that have files of their own are not looked at by the start.
    let found = !verified.lost.is_empty();
    assert!(!found || what.contains("/content/"), "{what}: {verified:?}");
    found
}

fn state_at(sequence: Sequence) -> Vec<u8> {
    vec![sequence.0 as u8; 5_000]
}

/// A closed log with long bodies, and snapshots beside it.
fn with_all_files(dir: &Path) -> Head {
    closed(dir, 500);
    let log = open(dir).unwrap();
    let epoch = log.lead().unwrap();
    let bigs: Vec<_> = (501..=506).map(|next| big(next, epoch, 6_000)).collect();
    log.append(&bigs, Sequence(500), epoch).unwrap();
    for sequence in [100, 300, 506].map(Sequence) {
        let taken = Snapshot {
            sequence,
            chain_hash: hash_at(&log, sequence).unwrap().unwrap(),
            state_version: STATE,
            bytes: state_at(sequence),
        };
        snapshot::write(&dir.join("snapshots"), &taken).unwrap();
    }
    let head = log.head();
    log.close().unwrap();
    head
}

fn files_in(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_in(&path, found),
            false => found.push(path),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn damage_of_any_kind_in_any_file_is_found_or_harms_nothing() {
    let seed = number("CREWLOG_SEED").unwrap_or_else(rand::random);
    let mut dice = StdRng::seed_from_u64(seed);
    let original = tempfile::tempdir().unwrap();
    let head = with_all_files(original.path());
    let mut files = Vec::new();
    files_in(original.path(), &mut files);
    files.sort();
    let db = files
        .iter()
        .position(|path| path.ends_with("sled/db"))
        .unwrap();
    // One of sled's snapshots, its conf, our head, lock and snapshots, six contents.
    assert!(files.len() > 12, "{files:?}");
    let (began, time) = (
        Instant::now(),
        number("CREWLOG_POWER_LOSS_SECONDS").unwrap_or(0),
    );
    let (mut done, mut found) = (0, 0);
    let place = tempfile::tempdir().unwrap();
    while done < 260 || began.elapsed().as_secs() < time {
        // Every other time where nearly all the bytes are.
        let path = match done % 2 {
            0 => &files[db],
            _ => &files[done / 2 % files.len()],
        };
        let damage = DAMAGES[dice.random_range(0..DAMAGES.len())];
        let name = path.strip_prefix(original.path()).unwrap();
        let mut bytes = fs::read(path).unwrap();
        // The end of the database is space for later.
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if used == 0 {
            done += 1;
            continue;
        }
        let at = dice.random_range(0..used);
        damage.apply(&mut bytes, at, &mut dice);
        let copy = place.path().join(done.to_string());
        copy_dir(original.path(), &copy);
        fs::write(copy.join(name), &bytes).unwrap();
        let what = format!(
            "CREWLOG_SEED={seed}: /{}, {damage:?} at {at}",
            name.display()
        );
        found += usize::from(found_or_harmless(&copy, head, &what));
        fs::remove_dir_all(&copy).unwrap();
        done += 1;
    }
    println!("{done} damages in {} files, {found} found", files.len());
    assert!(
        found > done / 4,
        "only {found} of {done} hit anything: it looks elsewhere"
    );
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
                error.to_string().contains("had at least 300 events"),
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
            .contains("event 120 is different than before"),
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
        // One letter of the first event's text, and the checksum made to fit.
        let mut value = value.to_vec();
        let text = &value[..length - 4];
        let letter = text.iter().rposition(u8::is_ascii_lowercase);
        value[letter.expect("a text")] ^= 1;
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
