//! The view behind `scheduler report` and the end of a run: what a period brought, what it cost, and
//! what waits for a person. A pure fold of recorded events, joined with the state after the last.

mod fold;
mod needs;
mod spent;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::fold::{Begin, ReportFold};
pub use self::needs::{Need, NeedKind, needs};
pub use self::spent::Spent;
use crate::model::event::RunOutcome;
use crate::model::evidence::{Basis, Usage};
use crate::model::feature::Status;
use crate::model::ids::{AttemptId, CommitId, FeatureId, Timestamp};

/// A period of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Wall-clock time of the period's begin.
    pub since: Timestamp,
    /// Wall-clock time of the period's end.
    pub until: Timestamp,
    /// Length of the period in milliseconds, without jumps of the clock.
    pub wall_ms: u64,
    /// Number of runs that began in the period.
    pub runs: u32,
    /// How the last run ended; `None` while it is open, or if it was interrupted.
    pub outcome: Option<RunOutcome>,
    /// Why it ended; empty while it is open.
    pub reason: String,
    /// The integration branch.
    pub branch: String,
    /// Number of features in the backlog at the period's end.
    pub features: u32,
    /// Number of those that pass.
    pub passing: u32,
    /// Features whose work was merged and proven in the period, in that order.
    pub passed: Vec<PassedFeature>,
    /// Features with a failure in the period that do not pass at its end, by number.
    pub failed: Vec<FailedFeature>,
    /// Regressions that tests found in the period, in that order.
    pub regressions: Vec<Regression>,
    /// Number of coding attempts that began.
    pub coding_attempts: u32,
    /// Number of testing attempts that began.
    pub testing_attempts: u32,
    /// Number of failed attempts by kind of failure.
    pub failures: BTreeMap<&'static str, u32>,
    /// Number of attempts that were given back, by reason.
    pub given_back: BTreeMap<&'static str, u32>,
    /// Number of attempts that were lost with their worker.
    pub lost: u32,
    /// Number of regression tests that passed.
    pub tests_passed: u32,
    /// Number of commits on the branch.
    pub merged: u32,
    /// What was spent, and on what.
    pub spent: Spent,
    /// What waits for a person at the period's end.
    pub needs: Vec<Need>,
}

/// A feature that passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedFeature {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Name of the feature.
    pub name: String,
    /// The commit that was merged.
    pub commit: CommitId,
    /// The attempt that merged it.
    pub attempt: AttemptId,
    /// Checks, or only an agent's word.
    pub basis: Basis,
    /// True if it had passed before and was repaired.
    pub repaired: bool,
    /// Number of coding attempts in the period, at least 1.
    pub attempts: u32,
    /// Milliseconds that these attempts took together.
    pub worked_ms: u64,
    /// What these attempts used, also those that failed.
    pub spent: Usage,
}

/// A feature that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedFeature {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Name of the feature.
    pub name: String,
    /// Its status at the period's end.
    pub status: Status,
    /// Number of failures in the period, since it last passed.
    pub failures: u32,
    /// Class of the last one.
    pub kind: &'static str,
    /// Reason of the last one, not cleaned: agents and programs wrote it.
    pub reason: String,
    /// What its attempts in the period used.
    pub spent: Usage,
}

/// A passing feature that a test found broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Regression {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Name of the feature.
    pub name: String,
    /// Wall-clock time of the event.
    pub at: Timestamp,
    /// What the test found, not cleaned.
    pub reason: String,
    /// Merges that may have caused it, oldest first.
    pub suspects: Vec<(FeatureId, CommitId)>,
    /// Whether it passes again at the period's end.
    pub repaired: bool,
}

#[cfg(test)]
mod tests;
