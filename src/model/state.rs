//! All that is known: a fold of the log.

/// Twice the largest backlog that is measured.
pub const FEATURES_MAX: usize = 200_000;
