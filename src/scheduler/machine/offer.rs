//! From an attempt in the state to the job that is sent to its worker.

use super::{Machine, Now};
use crate::model::feature::FeatureSpec;
use crate::model::ids::AttemptId;
use crate::model::report::JobFeature;
use crate::model::state::{Attempt, Feature, State};
use crate::protocol::{JobOffer, SchedulerMessage};

impl Machine {
    /// Sends an open attempt to its worker, also again to one that has never received it.
    pub(super) fn offer(&mut self, now: Now, attempt: AttemptId) {
        let Some(open) = self.core.state().attempts().get(&attempt) else {
            return;
        };
        let offer = offer(self.core.state(), attempt, open);
        let worker = open.job.worker;
        self.not_ready(worker);
        if let Some(link) = self.links.get_mut(&worker) {
            link.phase = None;
            link.activity.clear();
            link.active_at = now.wall;
            link.heard_ms = now.mono_ms;
            link.cancelled_ms = None;
        }
        self.send(worker, SchedulerMessage::Job(Box::new(offer)));
    }
}

fn offer(state: &State, attempt: AttemptId, open: &Attempt) -> JobOffer {
    let features = open.job.features.iter();
    let known = features.filter_map(|&id| state.feature(id));
    JobOffer {
        job: open.job.id,
        attempt,
        kind: open.job.kind,
        attempt_number: open.job.attempt_number,
        base: open.job.base.clone(),
        branch: state.branch.clone(),
        features: known.map(job_feature).collect(),
        settings: state.settings.clone(),
        acknowledged: state.sequence,
    }
}

fn job_feature(feature: &Feature) -> JobFeature {
    let spec: FeatureSpec = feature.spec.clone();
    JobFeature {
        id: feature.id,
        spec,
        regressed: feature.regressed,
        previous_failures: feature.recent_failures.clone(),
        answers: feature.answers.clone(),
    }
}
