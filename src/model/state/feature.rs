//! A feature and its history.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use super::{INCONCLUSIVE_MAX, LOST_MAX};
use crate::model::evidence::{Basis, CheckRun};
use crate::model::feature::{FeatureSpec, Status};
use crate::model::ids::{AttemptId, CommitId, FeatureId, Sequence, Timestamp};

/// A feature and its history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Number of the feature.
    pub id: FeatureId,
    /// What the backlog says.
    pub spec: FeatureSpec,
    /// Its stored status.
    pub status: Status,
    /// Failed tries since it last passed or was last forgiven.
    pub failures: u32,
    /// Attempts at it that started, tests not counted.
    pub tries: u32,
    /// Times that it was found broken since it was last forgiven.
    pub regressions: u32,
    /// Not to be tried before.
    pub not_before: Timestamp,
    /// It passed before and no longer does.
    pub regressed: bool,
    /// The event with which it last passed.
    pub passed: Option<Sequence>,
    /// The commit that last brought its work onto the branch.
    pub merged: Option<CommitId>,
    /// Why it last passed.
    pub basis: Option<Basis>,
    /// The position of the head at which it was last verified.
    pub verified: u32,
    /// When it was last proven.
    pub verified_at: Timestamp,
    /// Tests without a verdict since it was last verified.
    pub inconclusive: u32,
    /// Consecutive attempts whose worker was lost; see [`LOST_MAX`].
    pub lost_streak: u32,
    /// Consecutive problems of the machine that it met alone while others got further; see
    /// [`OWN_MAX`](crate::model::trouble::OWN_MAX).
    pub troubled: u32,
    /// Attempts that work on it or test it.
    pub attempts: Vec<AttemptId>,
    /// What was said about it.
    pub words: Words,
    /// Files that its merges touched, by number, ascending.
    pub(in crate::model) files: Vec<u32>,
}

impl Feature {
    /// Its status while nobody works on it.
    pub(in crate::model) fn rest(&self) -> Status {
        if self.regressed {
            Status::Regressed
        } else {
            Status::Pending
        }
    }

    /// True if nothing counts against it since it was last forgiven.
    pub fn is_unblemished(&self) -> bool {
        let counts = [
            self.failures,
            self.regressions,
            self.inconclusive,
            self.lost_streak,
            self.troubled,
        ];
        counts == [0; 5] && self.not_before == Timestamp(0)
    }

    /// True if its tests had no verdict so often that it is not tested any more: trying forever
    /// would not fix them.
    pub fn untestable(&self) -> bool {
        self.inconclusive >= INCONCLUSIVE_MAX || self.lost_streak >= LOST_MAX
    }
}

/// What agents and people said about a feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureWords {
    /// The last failures, oldest first, at most
    /// [`FAILURES_REMEMBERED`](super::FAILURES_REMEMBERED).
    pub recent_failures: Vec<String>,
    /// The agent's open question.
    pub question: Option<String>,
    /// Agents' questions, and people's answers.
    pub answers: Vec<(String, String)>,
    /// Why it was skipped.
    pub skipped: String,
    /// How it was found broken, until it passes again.
    pub broken: Option<Broken>,
}

/// What is known of the test that found a feature broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// What it saw.
    pub reason: String,
    /// The check that failed, if it was one.
    pub check: Option<CheckRun>,
    /// Merges since the feature was last known to pass, oldest first.
    pub suspects: Vec<(FeatureId, CommitId)>,
}

/// [`FeatureWords`], which takes no room for the many features that have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Words(Option<Box<FeatureWords>>);

static NOTHING: FeatureWords = FeatureWords {
    recent_failures: Vec::new(),
    question: None,
    answers: Vec::new(),
    skipped: String::new(),
    broken: None,
};

impl Words {
    /// Removes the open question.
    pub(in crate::model) fn settle_question(&mut self) {
        if self.question.is_some() {
            self.question = None;
            self.shrink();
        }
    }

    /// It passed, so its failures are of no more use.
    pub(in crate::model) fn forget_failures(&mut self) {
        if !self.recent_failures.is_empty() || self.broken.is_some() {
            self.recent_failures = Vec::new();
            self.broken = None;
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if **self == NOTHING {
            self.0 = None;
        }
    }
}

impl Deref for Words {
    type Target = FeatureWords;

    fn deref(&self) -> &FeatureWords {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Words {
    fn deref_mut(&mut self) -> &mut FeatureWords {
        self.0.get_or_insert_default()
    }
}
