//! What a reader of the log notes down: plain facts, one event at a time. It is written without
//! the crate's own fold, so that the two can disagree.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::event::{Event, ProcessIdentity, Recorded};
use crate::model::feature::FeatureSpec;
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Sequence, Timestamp, WorkerId};
use crate::model::profile::{ProfileName, Profiles};
use crate::model::settings::{Settings, WorkerKind};

/// What is known of a feature.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub depends_on: BTreeSet<FeatureId>,
    pub passing: bool,
    /// Why nobody is to work on it: parked, skipped, removed, or a question.
    pub held: Option<&'static str>,
    /// Failures that count against it.
    pub failures: u32,
    /// The commit at which it was last proven, until its proof is another.
    pub proven: Option<CommitId>,
    /// The commit by which it passed, if that had to be merged.
    pub merged: Option<CommitId>,
    pub spec: FeatureSpec,
}

/// Whether what proves one text proves the other: the same checks or, without any, the same words.
fn same_proof(one: &FeatureSpec, other: &FeatureSpec) -> bool {
    let words = |spec: &FeatureSpec| {
        (
            spec.name.clone(),
            spec.description.clone(),
            spec.steps.clone(),
        )
    };
    one.checks == other.checks && (!one.checks.is_empty() || words(one) == words(other))
}

#[derive(Clone, Debug)]
pub struct Open {
    pub kind: WorkerKind,
    pub worker: WorkerId,
    pub features: Vec<FeatureId>,
    /// Those whose outcome is not known.
    pub left: Vec<FeatureId>,
    pub base: CommitId,
    /// The agent that it starts.
    pub profile: Option<ProfileName>,
}

impl Open {
    /// Whether it starts an agent: a test does for features that no check can prove.
    pub fn starts_agent(&self, book: &Book) -> bool {
        let unchecked = |id: &FeatureId| {
            let facts = book.features.get(id);
            facts.is_none_or(|facts| facts.spec.checks.is_empty())
        };
        self.kind == WorkerKind::Coding
            || book.settings.test_with_agent
            || self.features.iter().any(unchecked)
    }
}

/// The reader's notes.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub last: Sequence,
    pub features: BTreeMap<FeatureId, Facts>,
    pub open: BTreeMap<AttemptId, Open>,
    pub ended: BTreeSet<AttemptId>,
    pub workers: BTreeMap<WorkerId, (WorkerKind, ProcessIdentity)>,
    pub merge: Option<(AttemptId, CommitId)>,
    pub head: CommitId,
    pub settings: Settings,
    pub paused: bool,
    /// A run is open.
    pub running: bool,
    /// Tokens since the run began.
    pub tokens: u64,
    /// The agents of the run.
    pub profiles: Profiles,
    /// Profiles that are refused, and the earliest end of that since an agent last worked.
    pub limited: BTreeMap<ProfileName, Timestamp>,
    job: Option<(JobId, Open)>,
}

impl Book {
    /// The next event.
    pub fn note(&mut self, recorded: &Recorded) {
        self.last = recorded.sequence;
        match &recorded.event {
            Event::FeatureAdded(event) => {
                let facts = self.features.entry(event.feature).or_default();
                facts.depends_on = event.spec.depends_on.iter().copied().collect();
                facts.spec.clone_from(&event.spec);
            }
            Event::FeatureEdited(event) => {
                let facts = self.features.entry(event.feature).or_default();
                if !same_proof(&facts.spec, &event.spec) {
                    facts.proven = None;
                }
                facts.spec.clone_from(&event.spec);
            }
            Event::DependenciesSet(event) => {
                let facts = self.features.entry(event.feature).or_default();
                facts.depends_on = event.depends_on.iter().copied().collect();
            }
            Event::FeatureRemoved(event) => {
                for facts in self.features.values_mut() {
                    facts.depends_on.remove(&event.feature);
                }
                self.hold(event.feature, Some("removed"));
            }
            Event::FeatureSkipped(event) => self.hold(event.feature, Some("skipped")),
            Event::FeatureParked(event) => self.hold(event.feature, Some("parked")),
            Event::InputAnswered(event) => self.hold(event.feature, None),
            Event::RetryRequested(event) => {
                let facts = self.features.entry(event.feature).or_default();
                (facts.held, facts.failures) = (None, 0);
            }
            Event::ProfilesSet(event) => self.profiles.clone_from(&event.profiles),
            Event::ProfileRecovered(event) => drop(self.limited.remove(&event.profile)),
            Event::RunPaused(_) => self.paused = true,
            Event::RunResumed(_) => {
                self.paused = false;
                self.limited.clear();
            }
            Event::RunStarted(event) => {
                (self.running, self.tokens) = (true, 0);
                self.limited.clear();
                self.head.clone_from(&event.head);
                self.settings.clone_from(&event.settings);
            }
            Event::RunFinished(_) => self.running = false,
            Event::SettingsChanged(event) => self.settings.clone_from(&event.settings),
            Event::WorkerJoined(event) => {
                let worker = (event.kind, event.process.clone());
                self.workers.insert(WorkerId(recorded.sequence.0), worker);
            }
            Event::WorkerLeft(event) => drop(self.workers.remove(&event.worker)),
            Event::UsageRecorded(event) => self.tokens += event.usage.tokens(),
            Event::ProviderLimited(event) => {
                let until = self.limited.entry(event.profile.clone());
                let until = until.or_insert(event.until);
                *until = event.until.min(*until);
            }
            _ => self.note_attempt(recorded),
        }
    }

    fn hold(&mut self, feature: FeatureId, held: Option<&'static str>) {
        let facts = self.features.entry(feature).or_default();
        if facts.held != Some("removed") {
            facts.held = held;
        }
        if held == Some("removed") {
            facts.passing = false;
        }
    }

    fn note_attempt(&mut self, recorded: &Recorded) {
        let id = JobId(recorded.sequence.0);
        let open = |kind, worker, features: &Vec<FeatureId>, base: &CommitId| Open {
            kind,
            worker,
            features: features.clone(),
            left: features.clone(),
            base: base.clone(),
            profile: None,
        };
        match &recorded.event {
            Event::FeatureAssigned(event) => {
                let job = open(
                    WorkerKind::Coding,
                    event.worker,
                    &event.features,
                    &event.base,
                );
                self.job = Some((id, job));
            }
            Event::TestAssigned(event) => {
                let job = open(
                    WorkerKind::Testing,
                    event.worker,
                    &event.features,
                    &event.base,
                );
                self.job = Some((id, job));
            }
            Event::AttemptStarted(event) => {
                if let Some((_, mut job)) = self.job.take_if(|(job, _)| *job == event.job) {
                    job.profile.clone_from(&event.profile);
                    self.open.insert(AttemptId(id.0), job);
                }
            }
            Event::AttemptReleased(event) => self.end(event.attempt),
            Event::AttemptLost(event) => self.end(event.attempt),
            Event::MergeStarted(event) => {
                self.merge = Some((event.attempt, event.commit.clone()));
            }
            Event::MergeAborted(event) => (self.merge, self.head) = (None, event.head.clone()),
            Event::HeadMoved(event) => self.head.clone_from(&event.head),
            event => self.note_outcome(event),
        }
    }

    fn note_outcome(&mut self, event: &Event) {
        match event {
            Event::FeaturePassed(event) => {
                let merge = self.merge.as_ref();
                let merged = merge.filter(|(its, _)| *its == event.attempt);
                let merged = merged.map(|(_, commit)| commit.clone());
                if let Some(commit) = &merged {
                    self.head.clone_from(commit);
                }
                let head = self.head.clone();
                let facts = self.features.entry(event.feature).or_default();
                (facts.passing, facts.failures, facts.held) = (true, 0, None);
                (facts.proven, facts.merged) = (Some(head), merged);
                self.outcome(event.attempt, event.feature);
            }
            Event::FeatureFailed(event) => {
                self.features.entry(event.feature).or_default().failures += 1;
                self.outcome(event.attempt, event.feature);
            }
            Event::InputRequested(event) => {
                self.outcome(event.attempt, event.feature);
                self.hold(event.feature, Some("waiting for an answer"));
            }
            Event::WorkLost(event) => {
                let facts = self.features.entry(event.feature).or_default();
                (facts.passing, facts.failures, facts.proven) = (false, 0, None);
            }
            Event::RegressionFound(event) => {
                let facts = self.features.entry(event.feature).or_default();
                (facts.passing, facts.failures) = (false, 0);
                self.outcome(event.attempt, event.feature);
            }
            Event::TestPassed(event) => {
                let base = self.open.get(&event.attempt).map(|open| open.base.clone());
                self.features.entry(event.feature).or_default().proven = base;
                self.outcome(event.attempt, event.feature);
            }
            Event::TestInconclusive(event) => self.outcome(event.attempt, event.feature),
            _ => {}
        }
    }

    fn outcome(&mut self, attempt: AttemptId, feature: FeatureId) {
        let Some(open) = self.open.get_mut(&attempt) else {
            return;
        };
        open.left.retain(|&id| id != feature);
        if open.left.is_empty() {
            self.end(attempt);
        }
    }

    fn end(&mut self, attempt: AttemptId) {
        self.open.remove(&attempt);
        self.ended.insert(attempt);
        self.merge.take_if(|(its, _)| *its == attempt);
    }

    /// Whose process holds an attempt.
    pub fn holder(&self, attempt: AttemptId) -> Option<&ProcessIdentity> {
        let worker = self.open.get(&attempt)?.worker;
        self.workers.get(&worker).map(|(_, process)| process)
    }

    /// The job whose attempt is about to start.
    pub fn assigned(&self, job: JobId) -> Option<&Open> {
        let assigned = self.job.as_ref().filter(|(id, _)| *id == job);
        assigned.map(|(_, open)| open)
    }
}
