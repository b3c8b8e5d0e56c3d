//! The results of a worker's report.

use super::{merge, trouble};
use crate::model::clip::clip;
use crate::model::command::Rejection;
use crate::model::end_reason::EndReason;
use crate::model::event::{
    AttemptNoted, AttemptReleased, BudgetReached, Event, FeatureFailed, InputRequested,
    LateResultIgnored, RegressionFound, TestInconclusive, TestPassed, UsageRecorded,
};
use crate::model::evidence::{Failure, FailureKind, Usage};
use crate::model::feature::{FeatureSpec, Status};
use crate::model::ids::{AttemptId, CommitId, FeatureId, Timestamp};
use crate::model::report::{Mergeable, Report, TestVerdict};
use crate::model::settings::WorkerKind;
use crate::model::state::{Attempt, Feature, State};
use crate::model::trouble::{Stage, Trouble};

/// Questions are shown to people completely.
const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// More suspects than this tell a person nothing.
const SUSPECTS_MAX: usize = 64;
/// Notes of one report that are kept; a worker has one or two.
const NOTES_MAX: usize = 4;

struct Reported<'a> {
    state: &'a State,
    now: Timestamp,
    attempt: AttemptId,
    open: &'a Attempt,
    jitter: u64,
}

pub fn report(
    state: &State,
    now: Timestamp,
    attempt: AttemptId,
    report: &Report,
    usage: Usage,
    jitter: u64,
) -> Result<Vec<Event>, Rejection> {
    let attempt = match state.attempts.last_key_value() {
        Some((&open, _)) if planted!(NoTokenCheck) => open,
        _ => attempt,
    };
    let Some(open) = state.attempts.get(&attempt) else {
        // It changes nothing, but its cost was spent.
        let mut events = spending(state, attempt, usage);
        let report = report.as_str().to_owned();
        events.push(LateResultIgnored { attempt, report }.into());
        return Ok(events);
    };
    let reported = Reported {
        state,
        now,
        attempt,
        open,
        jitter,
    };
    let outcome = reported.outcome(report)?;
    let forgets = planted!(UseForgotten) && matches!(report, Report::Failed { .. });
    let mut events = match forgets {
        true => Vec::new(),
        false => spending(state, attempt, usage),
    };
    // Whatever its result, the machine allowed it to get there.
    let over = outcome.iter().any(trouble::is_outcome);
    let answered = outcome.iter().any(|event| trouble::is_answer(state, event));
    let recovered = trouble::recover(state, attempt).into_iter();
    events.extend(recovered.filter(|event| match event {
        Event::ProfileRecovered(_) => answered,
        _ => over,
    }));
    events.extend(outcome);
    Ok(events)
}

/// `usage` is the attempt's total; the new part of it is recorded, even after the attempt's end.
/// For an unknown attempt, the new part is unknown.
pub fn spending(state: &State, attempt: AttemptId, usage: Usage) -> Vec<Event> {
    let fresh = state
        .used(attempt)
        .map(|used| match planted!(UseCountedTwice) {
            true => usage,
            false => usage.minus(used),
        });
    let Some(usage) = fresh.filter(|fresh| !fresh.is_zero()) else {
        return Vec::new();
    };
    let mut events = vec![UsageRecorded { attempt, usage }.into()];
    let run = state.open_run().filter(|run| !run.budget_reached);
    let spent = run.map(|run| run.spent.plus(usage));
    if let Some(spent) = spent.filter(|&spent| state.settings.exhausted_by(spent)) {
        events.push(BudgetReached { spent }.into());
    }
    events
}

impl Reported<'_> {
    fn outcome(&self, report: &Report) -> Result<Vec<Event>, Rejection> {
        if let Some(reason) = &self.open.cancelled {
            return Ok(vec![self.released(reason)]);
        }
        if self.merging() {
            // The same work again, or a change of mind when it is too late: git decides.
            return Err(Rejection::MergeOpen);
        }
        match (self.open.job.kind, report) {
            (_, Report::Released { reason, detail }) => {
                Ok(vec![self.given_back(reason.clipped(), detail)])
            }
            (_, Report::Troubled(trouble)) => Ok(self.troubled(trouble)),
            (WorkerKind::Coding, Report::Mergeable(work)) => self.mergeable(work),
            (
                WorkerKind::Coding,
                Report::Failed {
                    failures,
                    limited_until,
                },
            ) => Ok(self.failed(failures, *limited_until)),
            (WorkerKind::Coding, Report::InputNeeded { feature, question }) => {
                Ok(self.input_needed(*feature, question))
            }
            (
                WorkerKind::Testing,
                Report::Tested {
                    verdicts,
                    limited_until,
                },
            ) => Ok(self.tested(verdicts, *limited_until)),
            (
                WorkerKind::Testing,
                Report::Failed {
                    failures,
                    limited_until,
                },
            ) => {
                // No verdict: counted, so that a test that always fails to run ends.
                let inconclusive = |(id, failure): &(FeatureId, Failure)| {
                    (*id, TestVerdict::Inconclusive(failure.clone()))
                };
                let verdicts: Vec<_> = failures.iter().map(inconclusive).collect();
                Ok(self.tested(&verdicts, *limited_until))
            }
            (_, other) => {
                let reason = EndReason::InvalidReport(other.as_str().to_owned());
                Ok(vec![self.released(&reason)])
            }
        }
    }

    fn merging(&self) -> bool {
        let merge = self.state.open_merge();
        merge.is_some_and(|merge| merge.attempt == self.attempt)
    }

    fn released(&self, reason: &EndReason) -> Event {
        self.given_back(reason.clipped(), "")
    }

    /// The attempt ends without a verdict; `detail` says what failed because of that.
    fn given_back(&self, reason: EndReason, detail: &str) -> Event {
        AttemptReleased {
            attempt: self.attempt,
            reason,
            detail: clip(detail.trim(), Failure::REASON_BYTES_MAX).to_owned(),
        }
        .into()
    }

    fn mergeable(&self, work: &Mergeable) -> Result<Vec<Event>, Rejection> {
        let mut lacking = Vec::new();
        for &feature in &self.open.remaining {
            let evidence = work.evidence.iter().find(|(id, _)| *id == feature);
            let evidence = evidence.map(|(_, evidence)| evidence);
            if let Err(why) = merge::proven(self.state, feature, &work.commit, evidence) {
                lacking.push((feature, Failure::new(FailureKind::CheckFailed, why)));
            }
        }
        if lacking.is_empty() {
            let merged = merge::begin(self.state, self.attempt, self.open, work)?;
            // Before what may close the attempt.
            Ok(self.noted(&work.notes).chain(merged).collect())
        } else {
            Ok(self.failed(&lacking, None))
        }
    }

    fn noted(&self, notes: &[String]) -> impl Iterator<Item = Event> {
        let event = |note: &String| AttemptNoted {
            attempt: self.attempt,
            note: clip(note, Failure::REASON_BYTES_MAX).to_owned(),
        };
        notes
            .iter()
            .take(NOTES_MAX)
            .map(move |note| event(note).into())
    }

    fn failed(
        &self,
        failures: &[(FeatureId, Failure)],
        limited_until: Option<Timestamp>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut named = Vec::new();
        for (id, failure) in failures {
            if !self.open.remaining.contains(id) || named.contains(id) {
                continue;
            }
            if let Some(trouble) = Trouble::of(failure, Stage::Report) {
                return self.troubled(&trouble);
            }
            if let Some(limited) = self.limited(failure, limited_until) {
                // One refusal for the whole job, and no feature is to blame for it.
                return vec![
                    limited,
                    self.given_back(EndReason::ProviderLimited, &failure.reason),
                ];
            }
            let Some(feature) = self.state.feature(*id) else {
                continue;
            };
            named.push(*id);
            events.push(self.failure(feature, failure));
        }
        if named.len() < self.open.remaining.len() {
            events.push(self.released(&EndReason::OtherFeatureFailed));
        }
        events
    }

    fn failure(&self, feature: &Feature, failure: &Failure) -> Event {
        let wait = self
            .state
            .settings
            .backoff_ms(feature.failures, self.jitter);
        FeatureFailed {
            feature: feature.id,
            attempt: self.attempt,
            failure: bounded(failure),
            not_before: self.now.plus_ms(wait),
        }
        .into()
    }

    fn limited(&self, failure: &Failure, until: Option<Timestamp>) -> Option<Event> {
        let (state, now, attempt) = (self.state, self.now, self.attempt);
        trouble::refused(state, now, attempt, failure, until, self.jitter)
    }

    /// The machine is to blame, unless all the others get further: then this job is.
    fn troubled(&self, trouble: &Trouble) -> Vec<Event> {
        let failure = trouble.as_failure();
        if trouble::is_own(self.state, self.open, trouble) || planted!(TroubleCounted) {
            let features = self.open.remaining.iter();
            let failures: Vec<_> = features.map(|&id| (id, failure.clone())).collect();
            return match self.open.job.kind {
                WorkerKind::Coding => self.failed(&failures, None),
                WorkerKind::Testing => {
                    let features = failures.into_iter();
                    let verdicts: Vec<_> = features
                        .map(|(id, failure)| (id, TestVerdict::Inconclusive(failure)))
                        .collect();
                    self.tested(&verdicts, None)
                }
            };
        }
        let (attempt, now, jitter) = (self.attempt, self.now, self.jitter);
        vec![
            trouble::troubled(self.state, now, attempt, trouble, jitter),
            self.given_back(EndReason::Trouble(trouble.kind), &failure.reason),
        ]
    }

    fn input_needed(&self, feature: FeatureId, question: &str) -> Vec<Event> {
        if !self.open.remaining.contains(&feature) {
            return vec![self.released(&EndReason::InvalidQuestion)];
        }
        let asked = InputRequested {
            feature,
            attempt: self.attempt,
            question: clip(question, QUESTION_BYTES_MAX).to_owned(),
        };
        let mut events = vec![asked.into()];
        if self.open.remaining.len() > 1 {
            events.push(self.released(&EndReason::OtherFeatureAsks));
        }
        events
    }

    fn tested(
        &self,
        verdicts: &[(FeatureId, TestVerdict)],
        limited_until: Option<Timestamp>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut named = Vec::new();
        for (id, verdict) in verdicts {
            if !self.open.remaining.contains(id) || named.contains(id) {
                continue;
            }
            if let TestVerdict::Inconclusive(failure) = verdict
                && let Some(trouble) = Trouble::of(failure, Stage::Report)
            {
                events.extend(self.troubled(&trouble));
                return events;
            }
            if let TestVerdict::Inconclusive(failure) = verdict
                && let Some(limited) = self.limited(failure, limited_until)
            {
                events.push(limited);
                break;
            }
            if let Some(feature) = self.state.feature(*id).filter(|it| self.still_asked(it)) {
                named.push(*id);
                events.extend(self.verdict(feature, verdict));
            }
        }
        if named.len() < self.open.remaining.len() {
            events.push(self.released(&EndReason::FeatureChanged));
        }
        events
    }

    /// A feature that was found broken, or passed again, since the test began needs no verdict; nor
    /// does one that was verified at a later commit than the tested one.
    fn still_asked(&self, feature: &Feature) -> bool {
        let passing = feature.status == Status::Passing;
        let before = feature.passed.map_or(0, |sequence| sequence.0);
        passing && before < self.attempt.0 && feature.verified <= self.open.job.base_index
    }

    fn verdict(&self, feature: &Feature, verdict: &TestVerdict) -> Vec<Event> {
        let (id, attempt) = (feature.id, self.attempt);
        let base: &CommitId = &self.open.job.base;
        match verdict {
            TestVerdict::Passed(evidence) => {
                let event = match merge::proven(self.state, id, base, Some(evidence)) {
                    Ok(()) => TestPassed {
                        feature: id,
                        attempt,
                        evidence: merge::marked(self.state, id, evidence),
                    }
                    .into(),
                    Err(why) => self.inconclusive(id, Failure::new(FailureKind::Setup, why)),
                };
                vec![event]
            }
            TestVerdict::Inconclusive(failure) => vec![self.inconclusive(id, bounded(failure))],
            TestVerdict::Broken(failure) => {
                let found = RegressionFound {
                    feature: id,
                    attempt,
                    failure: bounded(failure),
                    suspects: self.suspects(feature),
                };
                vec![found.into()]
            }
        }
    }

    fn inconclusive(&self, feature: FeatureId, failure: Failure) -> Event {
        let attempt = self.attempt;
        TestInconclusive {
            feature,
            attempt,
            failure,
        }
        .into()
    }

    fn suspects(&self, feature: &Feature) -> Vec<(FeatureId, CommitId)> {
        let merges = self.state.merges();
        let after = merges.partition_point(|merge| merge.index <= feature.verified);
        let until = merges.partition_point(|merge| merge.index <= self.open.job.base_index);
        let range = merges.get(after..until).unwrap_or_default();
        let newest = range.get(range.len().saturating_sub(SUSPECTS_MAX)..);
        let named = newest.unwrap_or_default().iter();
        named
            .map(|merge| (merge.feature, merge.commit.clone()))
            .collect()
    }
}

/// Failures come from outside, so what is kept of them is limited: the last checks, because the
/// failed one is last.
fn bounded(failure: &Failure) -> Failure {
    let mut bounded = Failure::new(failure.kind, failure.reason.clone());
    let mut bytes = 0;
    let newest = failure.checks.iter().rev().take(FeatureSpec::ITEMS_MAX);
    let fit = newest.take_while(|run| {
        bytes += run.command.len();
        bytes <= FeatureSpec::TEXT_BYTES_MAX
    });
    bounded.checks = fit.cloned().collect();
    bounded.checks.reverse();
    bounded
}
