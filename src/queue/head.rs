//! The end of a log.

use super::encoding::ChainHash;
use crate::model::ids::{Epoch, Sequence};

/// The end of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last event's position; 0 if the log is empty.
    pub sequence: Sequence,
    /// The last event's hash; zeros if the log is empty.
    pub hash: ChainHash,
    /// The last event's epoch; 0 if the log is empty.
    pub epoch: Epoch,
}
