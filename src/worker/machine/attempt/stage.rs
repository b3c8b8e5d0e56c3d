//! The stages of an attempt, each with what it needs and nothing else.

use crate::model::end_reason::EndReason;
use crate::model::evidence::Failure;
use crate::model::ids::{CommitId, FeatureId, Timestamp};
use crate::model::report::{AttemptReport, Report};
use crate::protocol::{JobOffer, Phase, Verdict};
use crate::worker::machine::{HookPoint, StepKind};

/// Work has its time limit, and what comes after it this one: removing a large worktree from a slow
/// disk takes a minute. A worker that hangs there would ask for no job and be waited for in vain.
pub const TIDY_LIMIT_MS: u64 = 600_000;

/// Where an attempt is on its way.
#[derive(Clone, Debug)]
pub enum Stage {
    /// A step is running on whose outcome the result depends.
    Working {
        /// The step.
        step: WorkStep,
        /// Why the step was interrupted, and what follows when it has ended.
        interrupted: Option<Interrupted>,
    },
    /// No step is running; a failure is held back for a moment (`SETTLE_MS`).
    Settling {
        /// The step that failed.
        step: WorkStep,
        /// The failure.
        report: Report,
        /// When it is reported.
        until: Timestamp,
    },
    /// The result is known, and is being made safe.
    Recording {
        /// The result.
        report: AttemptReport,
        /// The step.
        step: RecordStep,
        /// What to do instead of reporting it, once the step has ended.
        ending: Option<Ending>,
        /// When the step has taken so long that it never ends.
        by: Timestamp,
    },
    /// The result is in the spool file, and has been or will be sent.
    Waiting {
        /// The result.
        report: AttemptReport,
    },
    /// Nothing more is reported; what is left of the attempt is put away.
    Over {
        /// The scheduler's last word. `None` if it has not heard of the end, and will learn it from
        /// the end of this process.
        verdict: Option<Verdict>,
        /// The step.
        step: TidyStep,
        /// When the step has taken so long that it never ends.
        by: Timestamp,
    },
}

/// What was decided about a step that is still running.
#[derive(Clone, Debug)]
pub struct Interrupted {
    /// What follows its end.
    pub ending: Ending,
    /// When it has taken so long that it never ends; only where the scheduler does not watch, too.
    pub by: Option<Timestamp>,
}

/// What becomes of an attempt whose step was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Given back: cancelled by a person, or this worker stops.
    Release {
        /// Why.
        reason: EndReason,
    },
    /// Its time was up.
    TimeLimit {
        /// What was under way, and how it ended.
        during: Option<String>,
    },
    /// The scheduler no longer counts on it: nothing is reported.
    Drop {
        /// How we know.
        reason: String,
    },
}

/// A step that belongs to the work itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkStep {
    /// Create the worktree.
    Make,
    /// Run a hook.
    Hook(HookPoint),
    /// Run an agent's session.
    Session {
        /// About these features.
        features: Vec<FeatureId>,
        /// The agent has shown a sign of life.
        begun: bool,
    },
    /// Commit the changes.
    Commit,
    /// Rebase onto this head.
    Rebase(CommitId),
    /// Run the checks of these features, and continue after a failure only when `go_on`.
    Check {
        /// The features.
        features: Vec<FeatureId>,
        /// Whether one feature's failure leaves the others of interest.
        go_on: bool,
    },
}

/// A step that makes the result safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStep {
    /// Keep the work reachable although it will not be merged.
    Preserve,
    /// Write the result into the spool file.
    Spool,
}

/// A step after the attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TidyStep {
    /// Keep the work reachable.
    Preserve,
    /// Remove the worktree and the spool file.
    Clean,
}

impl WorkStep {
    /// A session about these features that is about to begin.
    pub fn session(features: Vec<FeatureId>) -> Self {
        Self::Session {
            features,
            begun: false,
        }
    }

    /// The phase that it belongs to.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Make => Phase::Preparing,
            // Only an agent that runs shows that it can be started.
            Self::Session { begun: false, .. } => Phase::Preparing,
            Self::Hook(HookPoint::AfterRun) | Self::Session { .. } => Phase::Session,
            Self::Hook(_) => Phase::Preparing,
            Self::Commit | Self::Rebase(_) => Phase::Rebasing,
            Self::Check { .. } => Phase::Checking,
        }
    }

    /// The order to carry it out.
    pub fn kind(&self, job: &JobOffer) -> StepKind {
        match self {
            Self::Make => StepKind::Make(Box::new(job.clone())),
            Self::Hook(point) => StepKind::Hook(*point),
            Self::Session { features, .. } => StepKind::Session(features.clone()),
            Self::Commit => StepKind::Commit,
            Self::Rebase(onto) => StepKind::Rebase(onto.clone()),
            Self::Check { features, go_on } => StepKind::Check {
                features: features.clone(),
                go_on: *go_on,
            },
        }
    }
}

impl Stage {
    /// A step of the work that has just begun.
    pub fn working(step: WorkStep) -> Self {
        Self::Working {
            step,
            interrupted: None,
        }
    }

    /// When this stage must be looked at although nothing has happened.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Working { interrupted, .. } => interrupted.as_ref()?.by,
            Self::Settling { until, .. } => Some(*until),
            Self::Recording { by, .. } | Self::Over { by, .. } => Some(*by),
            Self::Waiting { .. } => None,
        }
    }

    /// Whether its step has run for so long that it will never end.
    pub fn is_stuck(&self, now: Timestamp) -> bool {
        !matches!(self, Self::Settling { .. }) && self.due().is_some_and(|by| now >= by)
    }
}

impl Ending {
    /// Whether this one stays when `other` comes after it: what the scheduler no longer counts on
    /// is dropped whatever else happens, and a limit that is reached in the meantime changes nothing.
    pub fn outweighs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Drop { .. }, _) => true,
            (_, other) => matches!(other, Self::TimeLimit { .. }),
        }
    }

    /// What is known of the step that was interrupted is added where it helps: which command did
    /// not come to its end.
    pub fn during(self, step: &WorkStep, failure: Option<Failure>) -> Self {
        match (self, step) {
            (Self::TimeLimit { .. }, WorkStep::Make | WorkStep::Commit | WorkStep::Rebase(_)) => {
                Self::TimeLimit {
                    during: failure.map(|failure| failure.reason),
                }
            }
            (ending, _) => ending,
        }
    }
}
