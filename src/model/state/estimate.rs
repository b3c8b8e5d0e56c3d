//! Expected durations of features, learnt from the log by category.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The expected duration before any feature was finished: ten minutes, a usual session.
pub const PRIOR_MS: u64 = 600_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Estimate {
    samples: u64,
    sum_ms: u64,
    used_ms: u64,
}

/// Expected durations by category. A new figure replaces the present one only if it differs by more
/// than a third, because every change makes all ranks be computed again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimates {
    categories: BTreeMap<String, Estimate>,
}

impl Estimates {
    /// Expected milliseconds for a feature of this category.
    pub fn ms(&self, category: &str) -> u64 {
        let known = self.categories.get(category);
        known.map_or(PRIOR_MS, |estimate| estimate.used_ms)
    }

    /// Learns one duration. True if the figure in use changed.
    pub fn learn(&mut self, category: &str, ms: u64) -> bool {
        if !self.categories.contains_key(category) {
            let fresh = Estimate {
                used_ms: PRIOR_MS,
                ..Estimate::default()
            };
            self.categories.insert(category.to_owned(), fresh);
        }
        let Some(estimate) = self.categories.get_mut(category) else {
            return false;
        };
        estimate.samples += 1;
        estimate.sum_ms = estimate.sum_ms.saturating_add(ms);
        // The prior counts as one sample.
        let mean = estimate.sum_ms.saturating_add(PRIOR_MS) / (estimate.samples + 1);
        let used = estimate.used_ms;
        let (least, most) = (used - used / 4, used.saturating_add(used / 3 + 1));
        if (least..=most).contains(&mean) {
            return false;
        }
        estimate.used_ms = mean;
        true
    }
}
