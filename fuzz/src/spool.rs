//! Spool files. The first byte chooses: a file as it is, or any text under a checksum that fits.

use crewlog::model::ids::ContentHash;
use crewlog::worker::spool::{decode, encode};
use sha2::{Digest, Sha256};

use super::take::Take;
use super::useful;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    if take.byte() % 2 == 0 {
        return file(take.0);
    }
    let hash = ContentHash(Sha256::digest(take.0).into());
    let mut whole = format!("crewlog-spool-1 {hash}\n").into_bytes();
    whole.extend_from_slice(take.0);
    file(&whole);
}

fn file(bytes: &[u8]) {
    let entry = match decode(bytes) {
        Ok(entry) => entry,
        Err(error) => return useful(&error.to_string()),
    };
    let again = encode(&entry).expect("what was read can be written");
    assert_eq!(decode(&again).expect("our own bytes"), entry);
    assert_eq!(encode(&entry).expect("again"), again);
}
