//! A run's result in a few numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::event::RunOutcome;
use crate::model::evidence::Usage;
use crate::model::feature::Status;
use crate::model::ids::{CommitId, Timestamp};
use crate::model::state::State;

/// A run's result. Attempts and failures are counted since the start of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How the run ended; `None` while it is open.
    pub outcome: Option<RunOutcome>,
    /// Why it ended; empty while it is open.
    pub reason: String,
    /// The integration branch.
    pub branch: String,
    /// Head of the branch.
    pub head: CommitId,
    /// Number of features by status, without zeros.
    pub features: BTreeMap<&'static str, u32>,
    /// Number of coding attempts.
    pub coding_attempts: u64,
    /// Number of testing attempts.
    pub testing_attempts: u64,
    /// Number of attempts that were lost with their worker or given up.
    pub unfinished_attempts: u64,
    /// Number of merges.
    pub merged: u64,
    /// Number of failures by kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// Number of regressions found by tests.
    pub regressions: u64,
    /// Number of tests that passed.
    pub tests_passed: u64,
    /// Tokens and money used.
    pub spent: Usage,
    /// Milliseconds from the start of the run to the last event.
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

/// The summary of `state`. The wall time counts from `since`, or else from the start of the run.
pub fn summary(state: &State, since: Option<Timestamp>) -> Summary {
    let run = state.run.as_ref();
    let jumped_ms = run.map_or(state.jumped_ms, |run| run.jumped_ms);
    let since = since.or(run.map(|run| run.started_at)).unwrap_or(state.at);
    let finished = run.and_then(|run| run.finished.clone());
    let (outcome, reason) = match finished {
        Some((outcome, reason)) => (Some(outcome), reason),
        None => (None, String::new()),
    };
    let features = STATUSES.map(|status| (status.as_str(), state.count(status)));
    let tally = &state.tally;
    let failures = tally
        .failures
        .iter()
        .map(|(kind, &count)| (kind.as_str(), count));
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
