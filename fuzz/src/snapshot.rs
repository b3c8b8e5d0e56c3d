//! Snapshots. The first byte chooses: a file as it is, or a sound file around any state.

use std::cell::RefCell;
use std::io::Read;

use crewlog::model::ids::Sequence;
use crewlog::model::state::State;
use crewlog::queue::ChainHash;
use crewlog::queue::snapshot::{self, Snapshot, Stored, ValidSnapshot};
use sha2::{Digest, Sha256};

use super::take::Take;
use super::{fold, useful};

/// Where the sequence is in a file.
const SEQUENCE_AT: usize = 16;

thread_local! {
    static FILE: RefCell<Option<tempfile::NamedTempFile>> = const { RefCell::new(None) };
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    if take.byte() % 2 == 0 {
        file(take.0);
        return;
    }
    let ours = Snapshot {
        sequence: Sequence(u64::from(take.short())),
        chain_hash: ChainHash([take.byte(); 32]),
        state_version: u32::from(take.byte()),
        bytes: take.0.to_vec(),
    };
    assert_eq!(read(&layout(&ours)), Ok(ours), "our own file is refused");
    state(take.0);
}

fn file(bytes: &[u8]) {
    match read(bytes) {
        Ok(read) => assert!(layout(&read) == bytes, "{read:?} is laid out differently"),
        Err(error) => useful(&error),
    }
}

/// What is read of a file with these bytes, under the name that they say.
fn read(bytes: &[u8]) -> Result<Snapshot, String> {
    let sequence = bytes.get(SEQUENCE_AT..).and_then(<[u8]>::first_chunk);
    let sequence = Sequence(u64::from_le_bytes(*sequence.unwrap_or(&[0; 8])));
    FILE.with_borrow_mut(|file| {
        let file = file.get_or_insert_with(|| tempfile::NamedTempFile::new().expect("a file"));
        let path = file.path().to_owned();
        std::fs::write(&path, bytes).expect("written");
        let sound = snapshot::check(&Stored { sequence, path });
        sound.map(whole).map_err(|passed_over| passed_over.why)
    })
}

fn whole(mut sound: ValidSnapshot) -> Snapshot {
    let mut bytes = Vec::new();
    let mut state = sound.state().expect("readable");
    state.read_to_end(&mut bytes).expect("readable");
    drop(state);
    assert_eq!(bytes.len() as u64, sound.bytes);
    Snapshot {
        sequence: sound.sequence,
        chain_hash: sound.chain_hash,
        state_version: sound.state_version,
        bytes,
    }
}

/// The file of a snapshot as its documentation has it, written a second time on purpose.
fn layout(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = b"CREWSNAP\x01\0\0\0".to_vec();
    bytes.extend(snapshot.state_version.to_le_bytes());
    bytes.extend(snapshot.sequence.0.to_le_bytes());
    bytes.extend(snapshot.chain_hash.0);
    bytes.extend((snapshot.bytes.len() as u64).to_le_bytes());
    bytes.extend(&snapshot.bytes);
    let hash = Sha256::digest(&bytes);
    bytes.extend(hash);
    bytes
}

/// A state that reads can be used, whatever it says.
fn state(bytes: &[u8]) {
    match State::from_bytes(bytes) {
        Ok(mut state) => {
            state.settle();
            fold::stored(&state);
            fold::plans(&state);
        }
        Err(error) => useful(&error.to_string()),
    }
}
