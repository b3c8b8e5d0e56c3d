//! The fold behind a report.

use std::collections::{BTreeMap, VecDeque};

use super::needs::needs;
use super::spent::{End, Spent, Split, worked};
use super::{FailedFeature, PassedFeature, Regression, Report};
use crate::model::event::{Event, FeaturePassed, Recorded};
use crate::model::evidence::{Failure, Usage};
use crate::model::feature::Status;
use crate::model::ids::{AttemptId, FeatureId, JobId, Sequence, Timestamp};
use crate::model::settings::WorkerKind;
use crate::model::state::State;

/// Ended attempts that are remembered for usage that is recorded late. A worker holds one attempt at
/// a time, so this is far more than needed.
const CLOSED_REMEMBERED: usize = 4_096;

/// Where a period begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With this event.
    Event(Sequence),
    /// With the first event at or after this time.
    Time(Timestamp),
}

/// A fold of the events of a period. Its size is that of the backlog, however long the period is.
#[derive(Clone, Debug)]
pub struct ReportFold {
    begin: Begin,
    since: Option<Timestamp>,
    /// Milliseconds by which the clock has jumped: in total, and before the period.
    jumped_ms: (u64, u64),
    /// A job whose attempt has not started yet.
    job: Option<(JobId, WorkerKind, Vec<FeatureId>)>,
    open: BTreeMap<AttemptId, Open>,
    closed: VecDeque<(AttemptId, Open)>,
    features: BTreeMap<FeatureId, FeatureFold>,
    passed: Vec<(FeaturePassed, bool)>,
    regressions: Vec<Regression>,
    merged: u32,
    merge: Option<AttemptId>,
    runs: u32,
    coding: u32,
    testing: u32,
    failures: BTreeMap<&'static str, u32>,
    given_back: BTreeMap<&'static str, u32>,
    lost: u32,
    tests_passed: u32,
    spent: Spent,
}

/// An attempt as far as its cost is concerned.
#[derive(Clone, Debug)]
struct Open {
    kind: WorkerKind,
    features: Vec<FeatureId>,
    remaining: Vec<FeatureId>,
    /// Start time without jumps of the clock.
    started: Timestamp,
    /// Counted as an attempt of the period.
    counted: bool,
    spent: Usage,
    end: End,
}

impl Open {
    /// What its cost counts as.
    fn end_of_kind(&self) -> End {
        match (self.kind, self.end) {
            (WorkerKind::Testing, End::Passed | End::Asked | End::Failed) => End::Tested,
            (_, end) => end,
        }
    }
}

/// What the period brought for one feature.
#[derive(Clone, Debug, Default)]
struct FeatureFold {
    attempts: u32,
    worked_ms: u64,
    spent: Usage,
    failures: u32,
    last: Option<Failure>,
    broken: bool,
}

impl ReportFold {
    /// A fold that gets every event from the first on, and reports those of the period.
    pub fn new(begin: Begin) -> Self {
        Self {
            begin,
            since: None,
            jumped_ms: (0, 0),
            job: None,
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            features: BTreeMap::new(),
            passed: Vec::new(),
            regressions: Vec::new(),
            merged: 0,
            merge: None,
            runs: 0,
            coding: 0,
            testing: 0,
            failures: BTreeMap::new(),
            given_back: BTreeMap::new(),
            lost: 0,
            tests_passed: 0,
            spent: Spent::default(),
        }
    }

    /// A fold of everything after `state`.
    pub fn after(state: &State) -> Self {
        let mut fold = Self::new(Begin::Event(state.sequence.next()));
        fold.jumped_ms = (state.jumped_ms, state.jumped_ms);
        for (&id, attempt) in state.attempts() {
            let started = attempt.started.0.saturating_sub(attempt.jumped_ms);
            fold.open.insert(
                id,
                Open {
                    kind: attempt.job.kind,
                    features: attempt.job.features.clone(),
                    remaining: attempt.remaining.clone(),
                    started: Timestamp(started),
                    counted: false,
                    spent: Usage::default(),
                    end: End::Open,
                },
            );
        }
        let broken = state.features().filter(|feature| feature.regressed);
        for id in broken.map(|feature| feature.id) {
            fold.features.entry(id).or_default().broken = true;
        }
        fold
    }

    /// Folds the next event; events come in order.
    pub fn event(&mut self, recorded: &Recorded) {
        let begun = match self.begin {
            Begin::Event(sequence) => recorded.sequence >= sequence,
            Begin::Time(at) => recorded.at >= at,
        };
        if begun && self.since.is_none() {
            self.since = Some(match self.begin {
                Begin::Event(_) => recorded.at,
                Begin::Time(at) => at,
            });
            self.jumped_ms.1 = self.jumped_ms.0;
        }
        self.follow(recorded);
        if self.since.is_some() {
            self.count(recorded);
        }
        self.close(recorded);
    }

    /// Follows the attempts and what is broken, also before the period.
    fn follow(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::FeatureAssigned(it) => {
                let job = JobId(recorded.sequence.0);
                self.job = Some((job, WorkerKind::Coding, it.features.clone()));
            }
            Event::TestAssigned(it) => {
                let job = JobId(recorded.sequence.0);
                self.job = Some((job, WorkerKind::Testing, it.features.clone()));
            }
            Event::AttemptStarted(it) => {
                let job = self.job.take_if(|(job, ..)| *job == it.job);
                if let Some((_, kind, features)) = job {
                    let attempt = Open {
                        kind,
                        remaining: features.clone(),
                        features,
                        started: self.steady(recorded.at),
                        counted: self.since.is_some(),
                        spent: Usage::default(),
                        end: End::Open,
                    };
                    self.open.insert(AttemptId(recorded.sequence.0), attempt);
                }
            }
            Event::ClockJumped(it) => {
                self.jumped_ms.0 = self.jumped_ms.0.saturating_add(it.by_ms);
            }
            Event::MergeStarted(it) => self.merge = Some(it.attempt),
            _ => {}
        }
    }

    /// Counts an event of the period.
    fn count(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::RunStarted(_) => self.runs += 1,
            Event::AttemptStarted(_) => {
                let attempt = self.open.get(&AttemptId(recorded.sequence.0));
                match attempt.map(|attempt| (attempt.kind, attempt.features.clone())) {
                    Some((WorkerKind::Coding, features)) => {
                        self.coding += 1;
                        for id in features {
                            self.features.entry(id).or_default().attempts += 1;
                        }
                    }
                    Some((WorkerKind::Testing, _)) => self.testing += 1,
                    None => {}
                }
            }
            Event::UsageRecorded(it) => self.used(it.attempt, it.usage),
            Event::FeaturePassed(it) => {
                if self.merge.take_if(|merge| *merge == it.attempt).is_some() {
                    self.merged += 1;
                }
                let broken = self.features.get(&it.feature).is_some_and(|it| it.broken);
                self.passed.push((it.clone(), broken));
            }
            Event::FeatureFailed(it) => {
                *self.failures.entry(it.failure.kind.as_str()).or_default() += 1;
                let feature = self.features.entry(it.feature).or_default();
                feature.failures += 1;
                feature.last = Some(it.failure.clone());
            }
            Event::RegressionFound(it) => self.regressions.push(Regression {
                feature: it.feature,
                name: String::new(),
                at: recorded.at,
                reason: it.failure.reason.clone(),
                suspects: it.suspects.clone(),
                repaired: false,
            }),
            Event::TestPassed(_) => self.tests_passed += 1,
            Event::AttemptReleased(it) => {
                *self.given_back.entry(it.reason.kind()).or_default() += 1;
            }
            Event::AttemptLost(_) => self.lost += 1,
            _ => {}
        }
    }

    /// Ends attempts, and updates what is broken.
    fn close(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            Event::FeaturePassed(it) => {
                if let Some(feature) = self.features.get_mut(&it.feature) {
                    feature.broken = false;
                    (feature.failures, feature.last) = (0, None);
                }
                self.concluded(at, it.attempt, it.feature, End::Passed);
            }
            Event::RegressionFound(it) => {
                self.features.entry(it.feature).or_default().broken = true;
                self.concluded(at, it.attempt, it.feature, End::Tested);
            }
            Event::WorkLost(it) => self.features.entry(it.feature).or_default().broken = true,
            Event::FeatureFailed(it) => {
                self.concluded(at, it.attempt, it.feature, End::Failed);
            }
            Event::InputRequested(it) => {
                self.concluded(at, it.attempt, it.feature, End::Asked);
            }
            Event::TestPassed(it) => self.concluded(at, it.attempt, it.feature, End::Tested),
            Event::TestInconclusive(it) => {
                self.concluded(at, it.attempt, it.feature, End::Tested);
            }
            Event::AttemptReleased(it) => self.ended(at, it.attempt, End::GivenBack),
            Event::AttemptLost(it) => self.ended(at, it.attempt, End::Lost),
            _ => {}
        }
    }

    /// Usage is recorded before or after an attempt's outcome, so it is assigned when that is known.
    fn used(&mut self, attempt: AttemptId, usage: Usage) {
        let closed = &mut self.closed;
        let known = self.open.get_mut(&attempt).or_else(|| {
            let mut late = closed.iter_mut().rev();
            late.find(|(id, _)| *id == attempt).map(|(_, open)| open)
        });
        let Some(known) = known else {
            // Its end is not known any more.
            return self.spent.add(End::Lost, usage);
        };
        known.spent = known.spent.plus(usage);
        if known.end != End::Open {
            self.spent.add(known.end_of_kind(), usage);
        }
        if known.kind == WorkerKind::Coding {
            for (id, share) in Split::of(&known.features, usage) {
                let feature = self.features.entry(id).or_default();
                feature.spent = feature.spent.plus(share);
            }
        }
    }

    fn concluded(&mut self, at: Timestamp, attempt: AttemptId, feature: FeatureId, end: End) {
        let Some(open) = self.open.get_mut(&attempt) else {
            return;
        };
        open.remaining.retain(|id| *id != feature);
        // Of a batch, one failure or question outweighs what became of the others.
        open.end = open.end.max(end);
        if open.remaining.is_empty() {
            let end = open.end;
            self.ended(at, attempt, end);
        }
    }

    fn ended(&mut self, at: Timestamp, attempt: AttemptId, end: End) {
        let Some(mut open) = self.open.remove(&attempt) else {
            return;
        };
        open.end = open.end.max(end);
        self.spent.add(open.end_of_kind(), open.spent);
        if self.since.is_some() && open.kind == WorkerKind::Coding {
            let ms = self.steady(at).since_ms(open.started);
            for (id, share) in worked(&open.features, ms) {
                let feature = self.features.entry(id).or_default();
                feature.worked_ms = feature.worked_ms.saturating_add(share);
                // It began before the period, so that its start was not counted.
                feature.attempts += u32::from(!open.counted);
            }
        }
        if self.closed.len() >= CLOSED_REMEMBERED {
            self.closed.pop_front();
        }
        self.closed.push_back((attempt, open));
    }

    fn steady(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_sub(self.jumped_ms.0))
    }

    /// The report, with the state after the last event. The period ends at `now`, or with the last
    /// event if that is later.
    pub fn report(mut self, state: &State, now: Option<Timestamp>) -> Report {
        for open in self.open.values() {
            self.spent.add(End::Open, open.spent);
        }
        let until = now.unwrap_or(state.at).max(state.at);
        let since = self.since.unwrap_or(match self.begin {
            Begin::Time(at) => at.min(until),
            Begin::Event(_) => until,
        });
        let jumped = self.jumped_ms.0 - self.jumped_ms.1;
        let run = state.run.as_ref();
        let finished = run.and_then(|run| run.finished.clone());
        let (outcome, reason) = finished.map_or((None, String::new()), |(outcome, reason)| {
            (Some(outcome), reason)
        });
        let passed = self.passed(state);
        self.spent.features = passed.len() as u32;
        let failed = self.failed(state);
        Report {
            since,
            until,
            wall_ms: until.since_ms(since).saturating_sub(jumped),
            runs: self.runs,
            outcome,
            reason,
            branch: state.branch.clone(),
            features: state.features().count() as u32,
            passing: state.count(Status::Passing),
            passed,
            failed,
            regressions: (self.regressions.into_iter())
                .map(|found| Regression {
                    name: name(state, found.feature),
                    repaired: status(state, found.feature) == Status::Passing,
                    ..found
                })
                .collect(),
            coding_attempts: self.coding,
            testing_attempts: self.testing,
            failures: self.failures,
            given_back: self.given_back,
            lost: self.lost,
            tests_passed: self.tests_passed,
            merged: self.merged,
            spent: self.spent,
            needs: needs(state),
        }
    }

    /// Each feature once, at its last pass.
    fn passed(&self, state: &State) -> Vec<PassedFeature> {
        let mut passed: Vec<PassedFeature> = Vec::new();
        for (event, repaired) in &self.passed {
            passed.retain(|it| it.feature != event.feature);
            let feature = self.features.get(&event.feature).cloned();
            let feature = feature.unwrap_or_default();
            passed.push(PassedFeature {
                feature: event.feature,
                name: name(state, event.feature),
                commit: event.evidence.commit.clone(),
                attempt: event.attempt,
                basis: event.evidence.basis,
                repaired: *repaired,
                attempts: feature.attempts.max(1),
                worked_ms: feature.worked_ms,
                spent: feature.spent,
            });
        }
        passed
    }

    fn failed(&self, state: &State) -> Vec<FailedFeature> {
        let failed = self.features.iter().filter_map(|(&id, feature)| {
            let last = feature.last.as_ref()?;
            let status = status(state, id);
            let over = matches!(status, Status::Passing | Status::Removed);
            (!over).then(|| FailedFeature {
                feature: id,
                name: name(state, id),
                status,
                failures: feature.failures,
                kind: last.kind.as_str(),
                reason: last.reason.clone(),
                spent: feature.spent,
            })
        });
        failed.collect()
    }
}

fn name(state: &State, feature: FeatureId) -> String {
    let feature = state.feature(feature);
    feature.map(|it| it.spec.name.clone()).unwrap_or_default()
}

fn status(state: &State, feature: FeatureId) -> Status {
    let feature = state.feature(feature);
    feature.map_or(Status::Removed, |feature| feature.status)
}
