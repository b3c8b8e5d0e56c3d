//! Limits on the size of one job.

use super::feature::FeatureSpec;

/// Bytes of the features' texts in one job, together. One feature may have as much, so the job, its
/// report and its proof fit into a frame and an event whenever those of a single feature do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    features: usize,
    text_bytes: usize,
    checks: usize,
}

impl Load {
    /// Adds a feature if it fits; the first one always does.
    pub fn add(&mut self, spec: &FeatureSpec) -> bool {
        let text_bytes = self.text_bytes + spec.text_bytes();
        let checks = self.checks + spec.checks.len();
        let fits = text_bytes <= FeatureSpec::TEXT_BYTES_MAX && checks <= FeatureSpec::ITEMS_MAX;
        if self.features > 0 && !fits {
            return false;
        }
        *self = Self {
            features: self.features + 1,
            text_bytes,
            checks,
        };
        true
    }
}
