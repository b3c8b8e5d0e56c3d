//! The terms that rank jobs: an assignment records them, so that its choice can be explained.

use serde::{Deserialize, Serialize};

/// The order of ready features: a higher value goes first, field by field, then the lower id. A
/// regressed feature comes before everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RankTerms {
    /// It passed before and no longer does.
    pub regressed: bool,
    /// Expected time of the longest chain that begins with it, in milliseconds.
    pub chain_ms: u64,
    /// Number of features that wait behind it, each counted once.
    pub unblocks: u32,
    /// The user's priority; a higher number goes first.
    pub priority: i32,
}

/// The weight of a passing feature in the draw of what to test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestTerms {
    /// Files of this feature that merges have touched since it was last tested.
    pub touched_since: u32,
    /// Number of features that depend on it, directly or not.
    pub dependents: u32,
    /// Milliseconds since it was last tested or merged.
    pub untested_ms: u64,
    /// The weight that follows.
    pub weight: u64,
}
