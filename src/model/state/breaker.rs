//! The breakers: what keeps back a profile whose provider refuses or fails.

use serde::{Deserialize, Serialize};

use super::State;
use crate::model::evidence::FailureKind;
use crate::model::ids::{AttemptId, FeatureId, Sequence, Timestamp};
use crate::model::profile::ProfileName;
use crate::model::settings::WorkerKind;

/// What is known of a profile that has failed and has not been seen to work since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Why nothing starts with it; `None` once an agent has shown that it works again.
    pub outage: Option<Outage>,
    /// Sessions in a row that the provider refused or failed, also those that it answered at first.
    /// Those that ran at the same time count once; work that is judged ends them.
    pub streak: u32,
}

/// A profile cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When it is tried again; [`Timestamp`]`(u64::MAX)` means that a person must fix it.
    pub until: Timestamp,
    /// The event that reported it last. Results of attempts from before it say nothing about its
    /// end.
    pub since: Sequence,
    /// When the first attempt met it.
    pub began: Timestamp,
    /// Class of the failure.
    pub kind: FailureKind,
    /// The provider's words.
    pub reason: String,
    /// Features that met it, each once; at most [`MET_MAX`](crate::model::trouble::MET_MAX).
    pub met: Vec<FeatureId>,
}

impl Outage {
    /// True for an attempt that began after the refusal: what becomes of it shows whether the
    /// provider works again.
    pub fn is_probe(&self, attempt: AttemptId) -> bool {
        attempt.0 > self.since.0
    }

    /// Whether it ends without a person.
    pub fn ends(&self) -> bool {
        self.until.0 < u64::MAX
    }

    /// Whether something fails that nothing limits: it may be the setup, which no time mends.
    pub fn is_failure(&self) -> bool {
        matches!(self.kind, FailureKind::Trouble(_))
    }
}

impl State {
    /// Every profile that cannot be used, by name.
    pub fn outages(&self) -> impl Iterator<Item = (&ProfileName, &Outage)> {
        let breakers = self.breakers.iter();
        breakers.filter_map(|(name, breaker)| Some((name, breaker.outage.as_ref()?)))
    }

    /// Why this profile cannot be used, if so.
    pub fn outage(&self, profile: &ProfileName) -> Option<&Outage> {
        self.breakers.get(profile)?.outage.as_ref()
    }

    /// Sessions in a row that this profile's provider refused or failed.
    pub fn streak(&self, profile: &ProfileName) -> u32 {
        self.breakers.get(profile).map_or(0, |it| it.streak)
    }

    /// True while a profile is kept back at `now`: its wait continues, or an agent that shows whether
    /// it works again is at work already.
    pub fn is_held(&self, profile: &ProfileName, now: Timestamp) -> bool {
        self.outage(profile).is_some_and(|outage| {
            let mut probes = self.open_agents(profile, outage.since);
            outage.until > now || probes.next().is_some()
        })
    }

    /// Open attempts with this profile that began after this event.
    pub fn open_agents<'a>(
        &'a self,
        profile: &'a ProfileName,
        since: Sequence,
    ) -> impl Iterator<Item = AttemptId> + 'a {
        let newer = self.attempts.range(AttemptId(since.0.saturating_add(1))..);
        newer
            .filter(|(_, open)| open.profile.as_ref() == Some(profile))
            .map(|(&id, _)| id)
    }

    /// The profile of an open attempt that starts an agent.
    pub fn profile_of(&self, attempt: AttemptId) -> Option<&ProfileName> {
        self.attempts.get(&attempt)?.profile.as_ref()
    }

    /// Whether a job of this kind starts an agent. A test does only for features that their checks
    /// cannot prove, or if the settings say so.
    pub fn starts_agent(&self, kind: WorkerKind, features: &[FeatureId]) -> bool {
        let unchecked = |id: &FeatureId| {
            let feature = self.feature(*id);
            feature.is_none_or(|feature| feature.spec.checks.is_empty())
        };
        kind == WorkerKind::Coding
            || self.settings.test_with_agent
            || features.iter().any(unchecked)
    }

    /// The work of an open attempt can be judged, so its provider works.
    pub(in crate::model) fn judged(&mut self, attempt: AttemptId) {
        let Some(open) = self.attempts.get(&attempt) else {
            return;
        };
        let Some(profile) = open.profile.clone() else {
            return;
        };
        let answers = |breaker: &Breaker| {
            let outage = breaker.outage.as_ref();
            outage.is_none_or(|outage| outage.ends() && outage.is_probe(attempt))
        };
        if self.breakers.get(&profile).is_some_and(answers) {
            self.breakers.remove(&profile);
        }
        if let Some(run) = &mut self.run {
            run.worked.insert(profile);
        }
    }
}
