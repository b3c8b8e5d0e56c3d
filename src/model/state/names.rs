//! Finds features by name.

use std::collections::BTreeSet;

/// The slots of features by a hash of their names. The names themselves are in the features; a
/// second copy of them would be a tenth of the state.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<(u64, u32)>);

impl Names {
    /// Records that the feature in `slot` has this name.
    pub fn insert(&mut self, name: &str, slot: u32) {
        self.0.insert((hash(name), slot));
    }

    /// Records that the feature in `slot` no longer has it.
    pub fn remove(&mut self, name: &str, slot: u32) {
        self.0.remove(&(hash(name), slot));
    }

    /// The slots of features that may have this name: those whose names have its hash.
    pub fn slots(&self, name: &str) -> impl Iterator<Item = u32> {
        let hash = hash(name);
        let range = self.0.range((hash, 0)..=(hash, u32::MAX));
        range.map(|&(_, slot)| slot)
    }
}

/// FNV-1a, because it is short and the same on every machine.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
