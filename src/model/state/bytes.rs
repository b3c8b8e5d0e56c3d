//! The state as bytes, for snapshots.

use bincode::Options;

use super::State;

impl State {
    /// The state as bytes, the same for the same events.
    pub fn to_bytes(&self) -> Result<Vec<u8>, bincode::Error> {
        bincode::serialize(self)
    }

    /// Decodes what [`State::to_bytes`] wrote, and computes what is not stored.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, bincode::Error> {
        Self::from_reader(bytes, bytes.len() as u64)
    }

    /// Like `from_bytes`, from a reader, so that the bytes are never all in memory. `bytes_max` is
    /// their number: no length in them makes this take more memory at once.
    pub fn from_reader(bytes: impl std::io::Read, bytes_max: u64) -> Result<Self, bincode::Error> {
        let options = bincode::DefaultOptions::new()
            .with_fixint_encoding()
            .allow_trailing_bytes()
            .with_limit(bytes_max);
        let mut state: Self = options.deserialize_from(bytes)?;
        state.rebuild();
        Ok(state)
    }
}
