//! The state behind a run's progress: a fold of events and of the workers' activity.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::text::{clean, width};
use crate::model::event::{Event, Recorded};
use crate::model::evidence::Usage;
use crate::model::feature::Status;
use crate::model::ids::{AttemptId, FeatureId, Timestamp};
use crate::model::profile::ProfileName;
use crate::model::settings::WorkerKind;
use crate::model::state::State;
use crate::model::trouble::TroubleKind;
use crate::model::views::timeline::OpenAttempt;
use crate::model::views::{EventLine, Timeline};
use crate::protocol::{Live, LiveAttempt, MissingWorkers, Phase};

/// An open attempt as shown in the progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Name of the worker.
    pub worker: String,
    /// Features that the attempt works on.
    pub features: Vec<FeatureId>,
    /// Name of the first feature.
    pub name: String,
    /// Whether the attempt codes or tests.
    pub kind: WorkerKind,
    /// Start time without clock jumps; see [`View::steady`].
    pub started: Timestamp,
    /// The phase, once the worker has reported it.
    pub phase: Option<Phase>,
    /// The agent's last activity.
    pub activity: String,
    /// When that activity happened.
    pub active_at: Option<Timestamp>,
    /// False when the worker is alive but disconnected.
    pub connected: bool,
}

/// Numbers of features and attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Features that must pass: all except skipped and removed ones.
    pub total: u32,
    /// Features that pass.
    pub passing: u32,
    /// Attempts in progress.
    pub running: u32,
    /// Regression tests that passed since the view started.
    pub tests_passed: u32,
    /// Attempts that failed since the view started.
    pub failed: u32,
    /// Features that passed before and no longer do.
    pub regressed: u32,
    /// Features that failed for good.
    pub parked: u32,
    /// Features that wait for a person's answer.
    pub asking: u32,
}

/// The state behind a run's progress.
#[derive(Clone, Debug, Default)]
pub struct View {
    timeline: Timeline,
    statuses: BTreeMap<FeatureId, Status>,
    /// Number of features per status, kept up to date because counting a long backlog is slow.
    by_status: BTreeMap<Status, u32>,
    active: BTreeMap<AttemptId, Active>,
    tests_passed: u32,
    failed: u32,
    /// True while the branch is checked out somewhere, so that nothing is merged.
    pub merges_held: bool,
    /// Columns of the longest name.
    pub name_columns: usize,
    /// Start of the run, or of this view if that is later.
    pub since: Option<Timestamp>,
    /// Tokens and money used since the view started.
    pub spent: Usage,
    /// True while a person has paused the run.
    pub paused: bool,
    /// Kind of the machine's problem that stops new attempts.
    pub troubled: Option<TroubleKind>,
    /// Agents that cannot be used.
    pub outages: BTreeSet<ProfileName>,
    /// The last attempt that met a problem.
    excused: Option<AttemptId>,
    /// True while the scheduler is ending.
    pub draining: bool,
    /// Workers that the run waits for.
    pub missing_workers: Vec<MissingWorkers>,
}

impl View {
    /// A view that continues from `state`.
    pub fn after(state: &State, now: Timestamp) -> Self {
        let mut view = Self {
            timeline: Timeline::after(state),
            paused: state.paused.is_some(),
            merges_held: !state.notices.held.is_empty(),
            troubled: state.troubled.as_ref().map(|trouble| trouble.kind),
            outages: state.outages().map(|(name, _)| name.clone()).collect(),
            ..Self::default()
        };
        for feature in state.features() {
            view.note_name(&feature.spec.name);
            view.set(feature.id, feature.status);
        }
        view.since = Some(view.steady(now));
        view.refresh();
        view
    }

    /// Folds an event and describes it.
    pub fn event(&mut self, recorded: &Recorded) -> EventLine {
        let line = self.timeline.describe(recorded);
        let at = self.steady(recorded.at);
        self.since.get_or_insert(at);
        match &recorded.event {
            Event::FeatureAdded(it) => {
                self.note_name(&it.spec.name);
                self.set(it.feature, Status::Pending);
            }
            Event::FeatureEdited(it) => self.note_name(&it.spec.name),
            Event::FeatureRemoved(it) => self.set(it.feature, Status::Removed),
            Event::FeatureSkipped(it) => self.set(it.feature, Status::Skipped),
            Event::RetryRequested(it) => self.retry(it.feature),
            Event::FeaturePassed(it) => self.set(it.feature, Status::Passing),
            Event::TestPassed(_) => self.tests_passed += 1,
            Event::FeatureFailed(_) => self.failed += 1,
            Event::MergesHeld(it) => self.merges_held = !it.at.is_empty(),
            Event::RegressionFound(it) => self.set(it.feature, Status::Regressed),
            Event::FeatureParked(it) => self.set(it.feature, Status::Parked),
            Event::InputRequested(it) => self.set(it.feature, Status::NeedsInput),
            Event::InputAnswered(it) => self.set(it.feature, self.retried_status(it.feature)),
            Event::UsageRecorded(it) => self.spent = self.spent.plus(it.usage),
            Event::RunPaused(_) => self.paused = true,
            Event::RunResumed(_) => {
                self.paused = false;
                self.forget_troubles();
            }
            Event::RunStarted(_) => self.forget_troubles(),
            Event::CrewRecovered(_) => self.troubled = None,
            Event::ProviderLimited(it) => {
                self.outages.insert(it.profile.clone());
                self.excused = Some(it.attempt);
            }
            Event::ProfileRecovered(it) => drop(self.outages.remove(&it.profile)),
            Event::CrewTroubled(it) => {
                self.troubled = Some(it.kind);
                self.excused = Some(it.attempt);
            }
            _ => {}
        }
        self.refresh();
        line
    }

    fn forget_troubles(&mut self) {
        self.troubled = None;
        self.outages.clear();
    }

    /// Folds an event, and describes it if it deserves a permanent line: outcomes do. With
    /// `counts_tests`, a passed regression test has none, because the line of totals counts them.
    pub fn news(&mut self, recorded: &Recorded, counts_tests: bool) -> Option<EventLine> {
        let known = self.is_repetition(&recorded.event);
        let counted = counts_tests && matches!(recorded.event, Event::TestPassed(_));
        let line = self.event(recorded);
        (line.label.is_outcome() && !known && !counted).then_some(line)
    }

    /// True for an event that says nothing new during a problem: that the problem
    /// persists, or that an attempt gave up because of it.
    fn is_repetition(&self, event: &Event) -> bool {
        match event {
            Event::CrewTroubled(_) => self.troubled.is_some(),
            Event::ProviderLimited(it) => self.outages.contains(&it.profile),
            Event::AttemptReleased(it) => self.excused == Some(it.attempt),
            _ => false,
        }
    }

    /// Updates the open attempts from the scheduler's activity.
    pub fn live(&mut self, live: &Live) {
        self.draining = live.draining;
        for now in &live.attempts {
            if let Some(active) = self.active.get_mut(&now.attempt) {
                active.update(now, self.timeline.steady(now.active_at));
            }
        }
    }

    /// Converts a wall-clock time to this view's time, which leaves out jumps of the clock.
    pub fn steady(&self, at: Timestamp) -> Timestamp {
        self.timeline.steady(at)
    }

    /// The open attempts, oldest first.
    pub fn active(&self) -> impl Iterator<Item = &Active> {
        self.active.values()
    }

    /// Current numbers of features and attempts.
    pub fn counts(&self) -> Counts {
        let count = |status: Status| self.by_status.get(&status).copied().unwrap_or(0);
        let all: u32 = self.by_status.values().sum();
        Counts {
            total: all - count(Status::Skipped) - count(Status::Removed),
            passing: count(Status::Passing),
            running: self.active.len() as u32,
            tests_passed: self.tests_passed,
            failed: self.failed,
            regressed: count(Status::Regressed),
            parked: count(Status::Parked),
            asking: count(Status::NeedsInput),
        }
    }

    fn retry(&mut self, feature: FeatureId) {
        let waits = [Status::Parked, Status::Skipped, Status::NeedsInput];
        let status = self.statuses.get(&feature);
        if status.is_some_and(|status| waits.contains(status)) {
            self.set(feature, self.retried_status(feature));
        }
    }

    /// The status of a feature that may be tried again.
    fn retried_status(&self, feature: FeatureId) -> Status {
        match self.timeline.is_broken(feature) {
            true => Status::Regressed,
            false => Status::Pending,
        }
    }

    fn set(&mut self, feature: FeatureId, status: Status) {
        if let Some(before) = self.statuses.insert(feature, status)
            && let Some(count) = self.by_status.get_mut(&before)
        {
            *count = count.saturating_sub(1);
        }
        *self.by_status.entry(status).or_default() += 1;
    }

    fn note_name(&mut self, name: &str) {
        self.name_columns = self.name_columns.max(width(&clean(name)));
    }

    /// Updates the open attempts from the timeline.
    fn refresh(&mut self) {
        let open = self.timeline.open();
        self.active.retain(|id, _| open.contains_key(id));
        for (&id, told) in open {
            if !self.active.contains_key(&id) {
                let first = told.features.first().copied().unwrap_or_default();
                let name = self.timeline.name(first).to_owned();
                self.active.insert(id, Active::new(told, name));
            }
        }
    }
}

impl Active {
    fn new(told: &OpenAttempt, name: String) -> Self {
        Self {
            worker: told.worker.clone(),
            features: told.features.clone(),
            name,
            kind: told.kind,
            started: told.started,
            phase: None,
            activity: String::new(),
            active_at: None,
            connected: true,
        }
    }

    fn update(&mut self, now: &LiveAttempt, active_at: Timestamp) {
        self.phase = now.phase.or(self.phase);
        self.activity.clone_from(&now.activity);
        self.active_at = (now.active_at.0 > 0).then_some(active_at);
        self.connected = now.connected;
    }
}
