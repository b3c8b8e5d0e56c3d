//! How a run ends.

use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every feature that was not skipped passes, verified at the final commit.
    AllPassing,
    /// Some features are parked, unreachable, or could not be verified.
    SomeFailed,
    /// The run cannot continue without a person.
    WaitingForPerson,
    /// The budget is spent.
    BudgetSpent,
}
