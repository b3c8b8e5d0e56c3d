//! What a period cost, and on what it was spent.

use serde::Serialize;

use crate::model::evidence::Usage;
use crate::model::ids::FeatureId;

/// Tokens and money by what became of the attempts that used them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// All of it.
    pub total: Usage,
    /// Coding attempts that were merged.
    pub passed: Usage,
    /// Coding attempts that failed.
    pub failed: Usage,
    /// Coding attempts that ended with a question.
    pub asked: Usage,
    /// Attempts that were given back: limits, stops, problems of the machine.
    pub given_back: Usage,
    /// Attempts that were lost with their worker.
    pub lost: Usage,
    /// Testing attempts.
    pub tests: Usage,
    /// Attempts that are not over.
    pub open: Usage,
    /// Number of features that passed.
    pub features: u32,
}

impl Spent {
    pub(super) fn add(&mut self, end: End, usage: Usage) {
        self.total = self.total.plus(usage);
        let part = match end {
            End::Open => &mut self.open,
            End::Passed => &mut self.passed,
            End::Tested => &mut self.tests,
            End::Asked => &mut self.asked,
            End::Failed => &mut self.failed,
            End::GivenBack => &mut self.given_back,
            End::Lost => &mut self.lost,
        };
        *part = part.plus(usage);
    }

    /// What led to nothing: failed, lost and given back.
    pub fn wasted(&self) -> Usage {
        self.failed.plus(self.lost).plus(self.given_back)
    }

    /// The total cost of each feature that passed, in millionths of a US dollar; `None` if none did
    /// or the cost is not known.
    pub fn microusd_per_feature(&self) -> Option<u64> {
        let cost = self.total.cost_microusd;
        (cost > 0)
            .then(|| cost.checked_div(u64::from(self.features)))
            .flatten()
    }
}

/// What became of an attempt. Of several features, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Open,
    Passed,
    Tested,
    Lost,
    GivenBack,
    Asked,
    Failed,
}

/// Splits what an attempt used between its features; the first gets what does not divide.
pub(super) struct Split;

impl Split {
    pub(super) fn of(features: &[FeatureId], usage: Usage) -> Vec<(FeatureId, Usage)> {
        let count = features.len().max(1) as u64;
        let parts = |total: u64| (total / count, total % count);
        let (input, more_input) = parts(usage.input_tokens);
        let (output, more_output) = parts(usage.output_tokens);
        let (cost, more_cost) = parts(usage.cost_microusd);
        let share = |(place, &id): (usize, &FeatureId)| {
            let first = u64::from(place == 0);
            let usage = Usage {
                input_tokens: input + first * more_input,
                output_tokens: output + first * more_output,
                cost_microusd: cost + first * more_cost,
            };
            (id, usage)
        };
        features.iter().enumerate().map(share).collect()
    }
}

/// Splits the time that an attempt took between its features.
pub(super) fn worked(features: &[FeatureId], ms: u64) -> impl Iterator<Item = (FeatureId, u64)> {
    let share = ms / features.len().max(1) as u64;
    features.iter().map(move |&id| (id, share))
}
