//! The log as a timeline: one line of text per event.
//!
//! The fold only keeps names, so that it can start at the first event or at any state.

mod describe;

pub use describe::{moved, rank as rank_words, test as test_words, times};

use std::collections::{BTreeMap, VecDeque};

use crate::model::event::{Event, Recorded};
use crate::model::ids::{AttemptId, FeatureId, JobId, Sequence, Timestamp, WorkerId};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;

/// Ended attempts that are remembered for reports that come late. A worker holds one attempt at a
/// time, so this is far more than needed.
const CLOSED_REMEMBERED: usize = 4_096;

/// What happened, as a word of at most [`Label::WIDTH`] letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the word and the event explain each")]
pub enum Label {
    Add,
    Edit,
    Drop,
    Skip,
    Depends,
    Pick,
    Draw,
    Cancel,
    Start,
    Release,
    Lost,
    Late,
    Merge,
    Rebase,
    Head,
    Pass,
    Fail,
    Regression,
    Test,
    Unsure,
    Park,
    Ask,
    Reply,
    Pause,
    Resume,
    Retry,
    Used,
    Note,
    Limit,
    Hold,
    Well,
    Spent,
    Run,
    Join,
    Left,
    Config,
    Deny,
    End,
}

impl Label {
    /// Length of the longest word.
    pub const WIDTH: usize = 7;

    /// The label as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Edit => "EDIT",
            Self::Drop => "DROP",
            Self::Skip => "SKIP",
            Self::Depends => "DEPS",
            Self::Pick => "PICK",
            Self::Draw => "PICK",
            Self::Cancel => "CANCEL",
            Self::Start => "START",
            Self::Release => "RELEASE",
            Self::Lost => "LOST",
            Self::Late => "LATE",
            Self::Merge => "MERGE",
            Self::Rebase => "REBASE",
            Self::Head => "HEAD",
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Regression => "REGR",
            Self::Test => "TEST",
            Self::Unsure => "UNSURE",
            Self::Park => "PARK",
            Self::Ask => "ASK",
            Self::Reply => "REPLY",
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::Retry => "RETRY",
            Self::Used => "USED",
            Self::Note => "NOTE",
            Self::Limit => "LIMIT",
            Self::Hold => "HOLD",
            Self::Well => "OK",
            Self::Spent => "SPENT",
            Self::Run => "RUN",
            Self::Join => "JOIN",
            Self::Left => "LEFT",
            Self::Config => "CONFIG",
            Self::Deny => "DENY",
            Self::End => "END",
        }
    }

    /// True for outcomes, which a run's progress shows; false for details.
    pub fn is_outcome(self) -> bool {
        match self {
            Self::Skip | Self::Release | Self::Lost | Self::Late | Self::Head | Self::Pass => true,
            Self::Fail | Self::Regression | Self::Test | Self::Unsure | Self::Park => true,
            Self::Ask | Self::Reply | Self::Pause | Self::Resume | Self::Retry => true,
            Self::Limit | Self::Hold | Self::Well | Self::Note | Self::Deny => true,
            Self::Spent | Self::Cancel | Self::Drop => true,
            Self::Add | Self::Edit | Self::Depends | Self::Pick | Self::Draw => false,
            Self::Start | Self::Merge | Self::Rebase | Self::Used | Self::Run => false,
            Self::Join | Self::Left | Self::Config | Self::End => false,
        }
    }
}

/// One event as a line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLine {
    /// Number of the event.
    pub sequence: Sequence,
    /// Time of the event.
    pub at: Timestamp,
    /// What happened, as a word.
    pub label: Label,
    /// Milliseconds that the attempt had run, for events of an attempt.
    pub elapsed_ms: Option<u64>,
    /// Features that it concerns; the first is the subject.
    pub features: Vec<FeatureId>,
    /// The subject's name, not cleaned: it may contain anything that the backlog's author wrote.
    pub name: String,
    /// The worker's name; empty if there is none.
    pub worker: String,
    /// Details, not cleaned: they may contain anything that an agent or program wrote.
    pub note: String,
}

/// An attempt that later events may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Its features; the first is the subject.
    pub features: Vec<FeatureId>,
    /// Features without an outcome yet.
    pub remaining: Vec<FeatureId>,
    /// Whether the attempt codes or tests.
    pub kind: WorkerKind,
    /// Name of the worker.
    pub worker: String,
    /// Start time without clock jumps; see [`Timeline::steady`].
    pub started: Timestamp,
    /// Number of the try, from 1.
    pub number: u32,
}

/// A fold of the names that lines need.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    names: BTreeMap<FeatureId, String>,
    /// Features with a regression that have not passed since.
    broken: std::collections::BTreeSet<FeatureId>,
    workers: BTreeMap<WorkerId, String>,
    /// A job whose attempt has not started yet.
    job: Option<(JobId, OpenAttempt)>,
    open: BTreeMap<AttemptId, OpenAttempt>,
    closed: VecDeque<(AttemptId, OpenAttempt)>,
    /// Milliseconds by which the wall clock jumped forward in total.
    jumped_ms: u64,
    /// The settings before the next event.
    settings: Settings,
}

impl Timeline {
    /// A timeline that continues from `state`.
    pub fn after(state: &State) -> Self {
        let names = state.features().map(|it| (it.id, it.spec.name.clone()));
        let broken = state.features().filter(|it| it.regressed).map(|it| it.id);
        let workers: BTreeMap<WorkerId, String> = state
            .workers()
            .iter()
            .map(|(&id, worker)| (id, worker.name.clone()))
            .collect();
        let told = |attempt: &crate::model::state::Attempt| OpenAttempt {
            features: attempt.job.features.clone(),
            remaining: attempt.remaining.clone(),
            kind: attempt.job.kind,
            worker: workers
                .get(&attempt.job.worker)
                .cloned()
                .unwrap_or_default(),
            started: before(attempt.started, attempt.jumped_ms),
            number: attempt.job.attempt_number,
        };
        Self {
            names: names.collect(),
            broken: broken.collect(),
            open: state
                .attempts()
                .iter()
                .map(|(&id, it)| (id, told(it)))
                .collect(),
            job: None,
            closed: VecDeque::new(),
            jumped_ms: state.jumped_ms,
            settings: state.settings.clone(),
            workers,
        }
    }

    /// The name of a feature; empty if it is not known.
    pub fn name(&self, feature: FeatureId) -> &str {
        self.names.get(&feature).map_or("", String::as_str)
    }

    /// True for every feature ever added, even if it was removed.
    pub fn knows(&self, feature: FeatureId) -> bool {
        self.names.contains_key(&feature)
    }

    /// True for a feature with a regression that has not passed since.
    pub fn is_broken(&self, feature: FeatureId) -> bool {
        self.broken.contains(&feature)
    }

    /// A wall-clock time minus the clock's jumps so far. Differences of such times are durations.
    pub fn steady(&self, at: Timestamp) -> Timestamp {
        before(at, self.jumped_ms)
    }

    /// The open attempts by number.
    pub fn open(&self) -> &BTreeMap<AttemptId, OpenAttempt> {
        &self.open
    }

    /// Describes an event and folds it. Events must come in order.
    pub fn describe(&mut self, recorded: &Recorded) -> EventLine {
        let line = describe::line(self, recorded);
        self.fold(recorded);
        line
    }

    /// Folds an event without describing it.
    pub fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::FeatureAdded(it) => {
                self.names.insert(it.feature, it.spec.name.clone());
            }
            Event::FeatureEdited(it) => {
                self.names.insert(it.feature, it.spec.name.clone());
            }
            Event::RunStarted(it) => self.settings.clone_from(&it.settings),
            Event::SettingsChanged(it) => self.settings.clone_from(&it.settings),
            Event::WorkerJoined(it) => {
                let id = WorkerId(recorded.sequence.0);
                self.workers.insert(id, it.name.clone());
            }
            Event::WorkerLeft(it) => {
                self.workers.remove(&it.worker);
            }
            Event::FeatureAssigned(it) => {
                let number = it.attempt_number;
                self.assigned(
                    recorded,
                    WorkerKind::Coding,
                    it.worker,
                    &it.features,
                    number,
                );
            }
            Event::TestAssigned(it) => {
                self.assigned(recorded, WorkerKind::Testing, it.worker, &it.features, 1);
            }
            Event::AttemptStarted(it) => {
                let job = self.job.take_if(|(id, _)| *id == it.job);
                if let Some((_, mut told)) = job {
                    told.started = before(recorded.at, self.jumped_ms);
                    self.open.insert(AttemptId(recorded.sequence.0), told);
                }
            }
            Event::AttemptReleased(it) => self.close(it.attempt),
            Event::AttemptLost(it) => self.close(it.attempt),
            Event::FeaturePassed(it) => {
                self.broken.remove(&it.feature);
                self.concluded(it.attempt, it.feature);
            }
            Event::RegressionFound(it) => {
                self.broken.insert(it.feature);
                self.concluded(it.attempt, it.feature);
            }
            Event::ClockJumped(it) => {
                self.jumped_ms = self.jumped_ms.saturating_add(it.by_ms);
            }
            Event::FeatureFailed(it) => self.concluded(it.attempt, it.feature),
            Event::TestPassed(it) => self.concluded(it.attempt, it.feature),
            Event::TestInconclusive(it) => self.concluded(it.attempt, it.feature),
            Event::InputRequested(it) => self.concluded(it.attempt, it.feature),
            _ => {}
        }
    }

    fn assigned(
        &mut self,
        recorded: &Recorded,
        kind: WorkerKind,
        worker: WorkerId,
        features: &[FeatureId],
        number: u32,
    ) {
        let told = OpenAttempt {
            features: features.to_owned(),
            remaining: features.to_owned(),
            kind,
            worker: self.worker(worker),
            started: before(recorded.at, self.jumped_ms),
            number,
        };
        self.job = Some((JobId(recorded.sequence.0), told));
    }

    fn concluded(&mut self, attempt: AttemptId, feature: FeatureId) {
        let Some(told) = self.open.get_mut(&attempt) else {
            return;
        };
        told.remaining.retain(|&id| id != feature);
        if told.remaining.is_empty() {
            self.close(attempt);
        }
    }

    fn close(&mut self, attempt: AttemptId) {
        if let Some(told) = self.open.remove(&attempt) {
            if self.closed.len() >= CLOSED_REMEMBERED {
                self.closed.pop_front();
            }
            self.closed.push_back((attempt, told));
        }
    }

    fn worker(&self, id: WorkerId) -> String {
        self.workers
            .get(&id)
            .cloned()
            .unwrap_or_else(|| id.to_string())
    }

    fn told(&self, attempt: AttemptId) -> Option<&OpenAttempt> {
        let closed = || self.closed.iter().rev().find(|(id, _)| *id == attempt);
        self.open
            .get(&attempt)
            .or_else(|| closed().map(|(_, told)| told))
    }
}

fn before(at: Timestamp, ms: u64) -> Timestamp {
    Timestamp(at.0.saturating_sub(ms))
}

#[cfg(test)]
mod tests;
