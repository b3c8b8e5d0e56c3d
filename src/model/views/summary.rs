//! What a run came to, in a few numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::event::RunOutcome;
use crate::model::evidence::Usage;
use crate::model::feature::Status;
use crate::model::ids::{CommitId, Timestamp};
use crate::model::state::State;

/// The numbers. Attempts and failures are those since the log began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How the run ended, if it did.
    pub outcome: Option<RunOutcome>,
    /// Why, in words.
    pub reason: String,
    /// The integration branch.
    pub branch: String,
    /// Where it is.
    pub head: CommitId,
    /// Features by status; only those that there are.
    pub features: BTreeMap<&'static str, u32>,
    /// Coding attempts.
    pub coding_attempts: u64,
    /// Testing attempts.
    pub testing_attempts: u64,
    /// Attempts lost with their worker, or given back.
    pub unfinished_attempts: u64,
    /// Merges.
    pub merged: u64,
    /// Failures by kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// Regressions that tests found.
    pub regressions: u64,
    /// Tests that found nothing.
    pub tests_passed: u64,
    /// What was used.
    pub spent: Usage,
    /// From the run's beginning to the last event, in milliseconds.
    pub wall_ms: u64,
}

const STATUSES: [Status; 7] = [
    Status::Passing,
    Status::Regressed,
    Status::Running,
    Status::Pending,
    Status::NeedsInput,
    Status::Parked,
    Status::Skipped,
];

/// Adds it up. `since` is when this run began to be watched; the run's own beginning otherwise.
pub fn summary(state: &State, since: Option<Timestamp>) -> Summary {
    let run = state.run.as_ref();
    let jumped_ms = run.map_or(state.jumped_ms, |run| run.jumped_ms);
    let since = since.or(run.map(|run| run.started_at)).unwrap_or(state.at);
    let finished = run.and_then(|run| run.finished.clone());
    let (outcome, reason) = match finished {
        Some((outcome, reason)) => (Some(outcome), reason),
        None => (None, String::new()),
    };
    let features = STATUSES.map(|status| (status.word(), state.count(status)));
    let tally = &state.tally;
    let failures = tally
        .failures
        .iter()
        .map(|(kind, &count)| (kind.word(), count));
    Summary {
        outcome,
        reason,
        branch: state.branch.clone(),
        head: state.head.clone(),
        features: features
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect(),
        coding_attempts: tally.coding,
        testing_attempts: tally.testing,
        unfinished_attempts: tally.lost + tally.released,
        merged: tally.merged,
        failures: failures.collect(),
        regressions: tally.regressions,
        tests_passed: tally.tests_passed,
        spent: state.spent,
        wall_ms: state.ran_ms(since, jumped_ms, state.at),
    }
}
