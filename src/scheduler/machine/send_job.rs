//! Builds the job that is sent to a worker from an attempt in the state.

use super::{Machine, Now};
use crate::model::feature::FeatureSpec;
use crate::model::ids::{AttemptId, CommitId, FeatureId};
use crate::model::report::{JobFeature, Regression, Suspect};
use crate::model::state::{Attempt, Feature, State};
use crate::protocol::{JobOffer, SchedulerMessage};

/// Bytes of questions and answers of one feature in a job: two of the longest, or hundreds of usual
/// ones.
const ANSWERS_BYTES_MAX: usize = 256 << 10;

impl Machine {
    /// Sends an open attempt to its worker, even again to one that never received it.
    pub(super) fn offer(&mut self, now: Now, attempt: AttemptId) {
        let Some(open) = self.core.state().attempts().get(&attempt) else {
            return;
        };
        let offer = offer(self.core.state(), attempt, open);
        let worker = open.job.worker;
        let called_off = open.cancelled.clone();
        self.not_ready(worker);
        if let Some(link) = self.peers.links.get_mut(&worker) {
            link.phase = None;
            link.activity.clear();
            link.active_at = now.wall;
            link.heard_ms = now.mono_ms;
            link.since_ms = now.mono_ms;
            link.cancelled = None;
        }
        self.send(worker, SchedulerMessage::Job(Box::new(offer)));
        if let Some(reason) = called_off {
            // It never began, but only its worker can say so.
            self.call_off(now, worker, attempt, reason);
        }
    }
}

fn offer(state: &State, attempt: AttemptId, open: &Attempt) -> JobOffer {
    let features = open.job.features.iter();
    let known = features.filter_map(|&id| state.feature(id));
    JobOffer {
        job: open.job.id,
        attempt,
        kind: open.job.kind,
        profile: open.profile.clone(),
        attempt_number: open.job.attempt_number,
        base: open.job.base.clone(),
        branch: state.branch.clone(),
        features: known.map(|feature| job_feature(state, feature)).collect(),
        settings: state.settings.clone(),
        acknowledged: state.sequence,
    }
}

fn job_feature(state: &State, feature: &Feature) -> JobFeature {
    let spec: FeatureSpec = feature.spec.clone();
    JobFeature {
        id: feature.id,
        spec,
        regressed: feature.regressed,
        regression: regression(state, feature),
        previous_failures: feature.words.recent_failures.clone(),
        answers: latest(&feature.words.answers),
    }
}

/// What the attempt that repairs a regression should know of it.
fn regression(state: &State, feature: &Feature) -> Option<Regression> {
    let broken = feature
        .words
        .broken
        .as_ref()
        .filter(|_| feature.regressed)?;
    let suspect = |(feature, commit): &(FeatureId, CommitId)| Suspect {
        feature: *feature,
        name: state
            .feature(*feature)
            .map(|known| known.spec.name.clone())
            .unwrap_or_default(),
        commit: commit.clone(),
    };
    Some(Regression {
        times: feature.regressions.max(1),
        reason: broken.reason.clone(),
        check: broken.check.clone(),
        suspects: broken.suspects.iter().map(suspect).collect(),
    })
}

/// The latest answers of people, oldest first. Features and messages have limits; what people
/// answer over weeks has none.
fn latest(answers: &[(String, String)]) -> Vec<(String, String)> {
    let mut bytes = 0;
    let fits = |(question, answer): &&(String, String)| {
        bytes += question.len() + answer.len();
        bytes <= ANSWERS_BYTES_MAX
    };
    let mut latest: Vec<_> = answers.iter().rev().take_while(fits).cloned().collect();
    latest.reverse();
    latest
}
