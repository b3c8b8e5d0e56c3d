//! What a worker reports about an attempt.

use serde::{Deserialize, Serialize};

use super::end_reason::EndReason;
use super::evidence::{CheckRun, Evidence, Failure, Usage};
use super::ids::{AttemptId, CommandId, CommitId, FeatureId, Timestamp};
use super::trouble::Trouble;

/// The result of one attempt, as its worker reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The work is committed on top of `onto`, and every check of every feature of the job exits
    /// with 0 on exactly that tree.
    Mergeable(Mergeable),
    /// It failed. Features of the job that are not named are released without a failure.
    Failed {
        /// The failures, feature by feature.
        failures: Vec<(FeatureId, Failure)>,
        /// When a provider's limit ends, if that was the reason and it is known.
        limited_until: Option<Timestamp>,
    },
    /// The agent needs an answer before it can continue.
    InputNeeded {
        /// Number of the feature.
        feature: FeatureId,
        /// The agent's question.
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
        /// Why.
        reason: EndReason,
        /// What failed because of that, as text for people; empty if nothing did.
        #[serde(default)]
        detail: String,
    },
    /// The machine kept the attempt from its end; nobody failed.
    Troubled(Trouble),
}

/// A report with its id, the same from the worker's spool file to the scheduler's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Identifies this report forever. A repeated report keeps it; a new round of rebasing and
    /// checking has a new one.
    pub command: CommandId,
    /// The attempt, which is also the fencing token.
    ///
    /// Spool files of earlier versions do not repeat it here.
    #[serde(default)]
    pub attempt: AttemptId,
    /// What it came to.
    pub report: Report,
    /// The attempt's total usage so far, earlier reports included. The scheduler records the new
    /// part.
    pub usage: Usage,
    /// Its agent's session has ended, and the agent has finished no step, written no verdict and
    /// changed no file.
    #[serde(default)]
    pub workless: bool,
}

/// Work that may become the head of the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mergeable {
    /// The head that the commit is based on.
    pub onto: CommitId,
    /// The commit; the same as `onto` if there was nothing to change.
    pub commit: CommitId,
    /// Files changed against `onto`, at most `MergeStarted::TOUCHED_MAX`.
    pub touched: Vec<String>,
    /// How many in all.
    pub touched_total: u32,
    /// The proof for each feature of the job.
    pub evidence: Vec<(FeatureId, Evidence)>,
    /// Notes about the attempt for people, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The verdict of a test about one feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestVerdict {
    /// It still passes.
    Passed(Evidence),
    /// It no longer passes.
    Broken(Failure),
    /// The test itself failed and says nothing about the feature.
    Inconclusive(Failure),
}

impl Report {
    /// The job is given back for this reason, and nothing failed because of it.
    pub fn released(reason: EndReason) -> Self {
        let detail = String::new();
        Self::Released { reason, detail }
    }

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
    /// Why the tries since it last passed failed, oldest first, only the newest few.
    pub previous_failures: Vec<String>,
    /// Questions that agents asked about it, and the answers of people.
    pub answers: Vec<(String, String)>,
}

/// How a passing feature was found broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regression {
    /// How often it was found broken since a person last forgave it, this time included.
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
    /// The first of the job's features.
    pub feature: FeatureId,
    /// That feature's name; empty if it was removed from the backlog.
    pub name: String,
    /// Object id of the commit.
    pub commit: CommitId,
}

/// The result of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Merged or accepted as tested.
    Passed,
    /// Recorded as a failure, a question or a release.
    Recorded,
    /// The attempt was already over: recorded as late, nothing changed. Preserve the work.
    Late,
}
