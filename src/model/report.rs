//! What a worker says of an attempt when it is over, or thinks that it is.

use serde::{Deserialize, Serialize};

use super::evidence::{CheckRun, Evidence, Failure, Usage};
use super::ids::{AttemptId, CommandId, CommitId, FeatureId, Timestamp};
use super::trouble::Trouble;

/// The result of one attempt, as its worker reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The work is committed, stands on `onto`, and every check of every feature of the job
    /// exits with 0 on that very tree.
    Mergeable(Mergeable),
    /// It came to nothing. Features of the job that are not named go back without a failure.
    Failed {
        /// Why, feature by feature.
        failures: Vec<(FeatureId, Failure)>,
        /// When a provider's limit ends, if that was the reason and it said so.
        limited_until: Option<Timestamp>,
    },
    /// The agent needs an answer before it can continue.
    InputNeeded {
        /// For which feature.
        feature: FeatureId,
        /// What it asks.
        question: String,
    },
    /// The verdicts of a testing job.
    Tested {
        /// One for each feature of the job.
        verdicts: Vec<(FeatureId, TestVerdict)>,
        /// When a provider's limit ends, if a verdict is missing because of one.
        limited_until: Option<Timestamp>,
    },
    /// The worker released the job; nobody failed.
    Released {
        /// The reason, as text for people.
        reason: String,
    },
    /// The machine kept the attempt from its end; nobody failed.
    Troubled(Trouble),
}

/// A report with its id, the same from the worker's spool file to the scheduler's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Names this report forever. A report that is repeated keeps it; a new round of rebasing and
    /// checking makes a new report.
    pub command: CommandId,
    /// The attempt, which is also the fencing token.
    pub attempt: AttemptId,
    /// What it came to.
    pub report: Report,
    /// What the attempt has used in all so far, reports before this one included. The scheduler
    /// records what is new of it.
    pub usage: Usage,
}

/// Work that may become the head of the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mergeable {
    /// The head that the commit stands on.
    pub onto: CommitId,
    /// The commit; the same as `onto` if there was nothing to change.
    pub commit: CommitId,
    /// Files changed against `onto`, at most `MergeStarted::TOUCHED_MAX`.
    pub touched: Vec<String>,
    /// How many in all.
    pub touched_total: u32,
    /// The proof for each feature of the job.
    pub evidence: Vec<(FeatureId, Evidence)>,
    /// What else people should know of the attempt, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a test says of one feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestVerdict {
    /// It still passes.
    Passed(Evidence),
    /// It does not pass any more.
    Broken(Failure),
    /// The test itself failed and says nothing about the feature.
    Inconclusive(Failure),
}

impl Report {
    /// The report in a word, for the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Mergeable(_) => "mergeable",
            Self::Failed { .. } => "failed",
            Self::InputNeeded { .. } => "input needed",
            Self::Tested { .. } => "tested",
            Self::Released { .. } => "released",
            Self::Troubled(_) => "troubled",
        }
    }
}

/// What a worker needs to know to work on a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFeature {
    /// Number of the feature.
    pub id: FeatureId,
    /// What the backlog says.
    pub spec: super::feature::FeatureSpec,
    /// It passed before and no longer does.
    pub regressed: bool,
    /// What is known of that.
    pub regression: Option<Regression>,
    /// Why the tries since it last passed failed, oldest first, the newest few only.
    pub previous_failures: Vec<String>,
    /// Questions that agents asked about it, and the answers of people.
    pub answers: Vec<(String, String)>,
}

/// How a feature that passed was found broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regression {
    /// How often it has been found broken since a person last forgave it, this time included.
    pub times: u32,
    /// What the test saw.
    pub reason: String,
    /// The check that failed, if it was one.
    pub check: Option<CheckRun>,
    /// Merges since it was last known to pass, oldest first.
    pub suspects: Vec<Suspect>,
}

/// A merge that may have broken a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Whose work it was, the first of the job's features.
    pub feature: FeatureId,
    /// That feature's name; empty when it has left the backlog.
    pub name: String,
    /// Object id of the commit.
    pub commit: CommitId,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Merged or accepted as tested.
    Passed,
    /// Recorded as a failure, a question or a return.
    Recorded,
    /// The attempt was over already; recorded as late, nothing changed. Preserve the work.
    Late,
}
