//! Where a log ends.

use super::encoding::ChainHash;
use crate::model::ids::{Epoch, Sequence};

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last event's position; 0 when there is none.
    pub sequence: Sequence,
    /// The last event's hash; zeros when there is none.
    pub hash: ChainHash,
    /// The last event's epoch; 0 when there is none.
    pub epoch: Epoch,
}
