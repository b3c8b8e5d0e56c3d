//! Describes each event as one line.

mod troubles;

use super::{EventLine, Label, Timeline};
use crate::model::branch::NamedCommit;
use crate::model::config;
use crate::model::event::{
    AttemptReleased, BranchMoved, CommandRefused, ConfigRecorded, Event, FeatureAssigned,
    FeatureFailed, FeaturePassed, MergeStarted, RankTerms, Recorded, RegressionFound, RunFinished,
    RunOutcome, TestAssigned, TestTerms,
};
use crate::model::evidence::{Basis, Failure};
use crate::model::format;
use crate::model::ids::{AttemptId, FeatureId};
use crate::model::settings::WorkerKind;

/// Describes an event from the names known before it, and says who caused it if it was a person.
pub fn line(timeline: &Timeline, recorded: &Recorded) -> EventLine {
    let line = told(timeline, recorded);
    // The person is left out for imported features (the JSON has it), and is part of a refusal.
    if matches!(line.label, Label::Add | Label::Deny) {
        return line;
    }
    EventLine {
        note: recorded.actor.signed(&line.note),
        ..line
    }
}

fn told(timeline: &Timeline, recorded: &Recorded) -> EventLine {
    let fold = EntryFold { timeline, recorded };
    match &recorded.event {
        Event::FeatureAdded(it) => {
            let line = fold.about(Label::Add, it.feature, waits(&it.spec.depends_on));
            EventLine {
                name: it.spec.name.clone(),
                ..line
            }
        }
        Event::FeatureEdited(it) => {
            let line = fold.about(Label::Edit, it.feature, "");
            EventLine {
                name: it.spec.name.clone(),
                ..line
            }
        }
        Event::FeatureRemoved(it) => fold.about(Label::Drop, it.feature, ""),
        Event::FeatureSkipped(it) => fold.about(Label::Skip, it.feature, &it.reason),
        Event::DependenciesSet(it) => fold.about(Label::Depends, it.feature, waits(&it.depends_on)),
        Event::RetryRequested(it) => fold.about(Label::Retry, it.feature, "by request"),
        Event::InputAnswered(it) => fold.about(Label::Reply, it.feature, &it.answer),
        Event::FeatureParked(it) => {
            let note = format!(
                "after {}; `scheduler retry {}` tries again",
                times(it.failures, "failure"),
                it.feature.0
            );
            fold.about(Label::Park, it.feature, note)
        }
        Event::FeatureAssigned(it) => fold.assigned(it),
        Event::TestAssigned(it) => fold.test_assigned(it),
        _ => attempts(&fold),
    }
}

/// Describes events of attempts.
fn attempts(fold: &EntryFold<'_>) -> EventLine {
    match &fold.recorded.event {
        Event::AttemptStarted(it) => fold.started(it.job),
        Event::JobCancelled(it) => {
            fold.attempt(Label::Cancel, it.attempt, None, it.reason.to_string())
        }
        Event::AttemptReleased(it) => fold.attempt(Label::Release, it.attempt, None, released(it)),
        Event::AttemptLost(it) => {
            fold.attempt(Label::Lost, it.attempt, None, it.reason.to_string())
        }
        Event::LateResultIgnored(it) => {
            let note = format!(
                "{:?} came after the attempt had ended, and was ignored",
                it.report
            );
            fold.attempt(Label::Late, it.attempt, None, note)
        }
        Event::MergeStarted(it) => fold.attempt(Label::Merge, it.attempt, None, merge(it)),
        Event::MergeAborted(it) => {
            let note = format!(
                "the branch moved to {}; rebasing and checking again",
                it.head.short()
            );
            fold.attempt(Label::Rebase, it.attempt, None, note)
        }
        Event::FeaturePassed(it) => fold.passed(it),
        Event::FeatureFailed(it) => fold.failed(it),
        Event::RegressionFound(it) => fold.regression(it),
        Event::TestPassed(it) => {
            let note = format!(
                "at {}{}",
                it.evidence.commit.short(),
                word_of(it.evidence.basis)
            );
            fold.attempt(Label::Test, it.attempt, Some(it.feature), note)
        }
        Event::TestInconclusive(it) => fold.attempt(
            Label::Unsure,
            it.attempt,
            Some(it.feature),
            failure(&it.failure),
        ),
        Event::InputRequested(it) => {
            let note = format!("{} (`scheduler answer {} TEXT`)", it.question, it.feature.0);
            fold.attempt(Label::Ask, it.attempt, Some(it.feature), note)
        }
        Event::AttemptNoted(it) => fold.attempt(Label::Note, it.attempt, None, &it.note),
        Event::UsageRecorded(it) => {
            fold.attempt(Label::Used, it.attempt, None, format::usage(it.usage))
        }
        other => match troubles::told(other, fold.recorded.at) {
            Some((label, attempt, note)) => fold.attempt(label, attempt, None, note),
            None => run(fold),
        },
    }
}

/// Describes events of the run.
fn run(fold: &EntryFold<'_>) -> EventLine {
    match &fold.recorded.event {
        Event::HeadMoved(it) => fold.plain(
            Label::Head,
            format!("somebody moved the branch to {}", it.head.short()),
        ),
        Event::RunPaused(it) => fold.plain(Label::Pause, &it.reason),
        Event::RunResumed(_) => fold.plain(Label::Resume, ""),
        Event::BudgetReached(it) => {
            let spent = format::usage(it.spent);
            fold.plain(Label::Spent, format!("the budget is spent: {spent}"))
        }
        Event::RunStarted(it) => {
            let head = it.head.short();
            fold.plain(
                Label::Run,
                format!("on {} at {head}, seed {}", it.branch, it.seed),
            )
        }
        Event::WorkerJoined(it) => {
            let process = &it.process;
            let note = format!(
                "{}, process {} on {}",
                kind(it.kind),
                process.pid,
                process.host
            );
            let worker = it.name.clone();
            EventLine {
                worker,
                ..fold.plain(Label::Join, note)
            }
        }
        Event::WorkerLeft(it) => {
            let worker = fold.timeline.worker(it.worker);
            EventLine {
                worker,
                ..fold.plain(Label::Left, it.reason.to_string())
            }
        }
        Event::ClockJumped(it) => {
            let by = format::duration(it.by_ms);
            fold.plain(
                Label::Run,
                format!("the clock jumped forward by {by}; durations do not count this"),
            )
        }
        Event::SettingsChanged(it) => {
            let changes = fold.timeline.settings.changes_to(&it.settings);
            fold.plain(Label::Config, format!("the settings changed: {changes}"))
        }
        Event::CommandRefused(it) => fold.refused(it),
        Event::ConfigRecorded(it) => fold.plain(Label::Config, configured(it)),
        Event::ProfilesSet(it) => fold.plain(Label::Config, it.profiles.to_string()),
        Event::BranchMoved(it) => fold.plain(Label::Head, moved(it)),
        Event::WorkLost(it) => {
            let commit = it.commit.short();
            let note =
                format!("its commit {commit} is no longer on the branch, so it must be done again");
            fold.about(Label::Regression, it.feature, note)
        }
        Event::MergesHeld(it) => fold.plain(Label::Head, format::held(&it.at)),
        Event::RunFinished(it) => fold.plain(Label::End, ended(it)),
        // The functions above describe all other events.
        _ => fold.plain(Label::Run, fold.recorded.event.name()),
    }
}

/// Describes how the config differs from the previous run.
fn configured(it: &ConfigRecorded) -> String {
    match it.changes_total {
        0 => format!("the config is recorded as {}", it.content),
        total => {
            let changes = config::words(&it.changes, total);
            format!("the config changed since the last run: {changes}")
        }
    }
}

struct EntryFold<'a> {
    timeline: &'a Timeline,
    recorded: &'a Recorded,
}

impl EntryFold<'_> {
    fn plain(&self, label: Label, note: impl Into<String>) -> EventLine {
        EventLine {
            sequence: self.recorded.sequence,
            at: self.recorded.at,
            label,
            elapsed_ms: None,
            features: Vec::new(),
            name: String::new(),
            worker: String::new(),
            note: note.into(),
        }
    }

    /// A refused command of an agent, as a line about its attempt.
    fn refused(&self, it: &CommandRefused) -> EventLine {
        let note = format!("{} tried to {}", self.recorded.actor, it.command);
        match it.attempt {
            Some(attempt) => self.attempt(Label::Deny, attempt, None, note),
            None => self.plain(Label::Deny, note),
        }
    }

    fn about(&self, label: Label, feature: FeatureId, note: impl Into<String>) -> EventLine {
        EventLine {
            features: vec![feature],
            name: self.timeline.name(feature).to_owned(),
            ..self.plain(label, note)
        }
    }

    /// A line about an attempt, or about one of its features.
    fn attempt(
        &self,
        label: Label,
        attempt: AttemptId,
        feature: Option<FeatureId>,
        note: impl Into<String>,
    ) -> EventLine {
        let told = self.timeline.told(attempt);
        let features = match (feature, told) {
            (Some(feature), _) => vec![feature],
            (None, Some(told)) => told.features.clone(),
            (None, None) => Vec::new(),
        };
        let first = features.first().copied().unwrap_or_default();
        EventLine {
            elapsed_ms: told.map(|told| {
                self.timeline
                    .steady(self.recorded.at)
                    .since_ms(told.started)
            }),
            name: self.timeline.name(first).to_owned(),
            features,
            worker: told.map(|told| told.worker.clone()).unwrap_or_default(),
            ..self.plain(label, note)
        }
    }

    fn job(&self, label: Label, worker: String, features: &[FeatureId], note: String) -> EventLine {
        let first = features.first().copied().unwrap_or_default();
        EventLine {
            features: features.to_owned(),
            name: self.timeline.name(first).to_owned(),
            worker,
            ..self.plain(label, note)
        }
    }

    fn assigned(&self, it: &FeatureAssigned) -> EventLine {
        let mut note = format!("of {} ready: {}", it.ready, rank(&it.terms));
        if let Some((next, terms)) = it.runners_up.first() {
            note.push_str(&format!("; next {next}: {}", rank(terms)));
        }
        self.job(
            Label::Pick,
            self.timeline.worker(it.worker),
            &it.features,
            note,
        )
    }

    fn test_assigned(&self, it: &TestAssigned) -> EventLine {
        let mut note = test(&it.terms);
        if it.last {
            note = format!("at the end of the run; {note}");
        }
        self.job(
            Label::Draw,
            self.timeline.worker(it.worker),
            &it.features,
            note,
        )
    }

    fn started(&self, job: crate::model::ids::JobId) -> EventLine {
        let known = self.timeline.job.as_ref().filter(|(id, _)| *id == job);
        let Some((_, told)) = known else {
            return self.plain(Label::Start, job.to_string());
        };
        let note = match (told.kind, told.number) {
            (WorkerKind::Testing, _) => "test".to_owned(),
            (WorkerKind::Coding, 0 | 1) => String::new(),
            (WorkerKind::Coding, number) => format!("try {number}"),
        };
        self.job(Label::Start, told.worker.clone(), &told.features, note)
    }

    fn passed(&self, it: &FeaturePassed) -> EventLine {
        let mut notes = Vec::new();
        let number = self.timeline.told(it.attempt).map_or(1, |told| told.number);
        if self.timeline.broken.contains(&it.feature) {
            notes.push("fixed".to_owned());
        }
        if number > 1 {
            notes.push(format!("try {number}"));
        }
        if it.evidence.basis == Basis::AgentWord {
            notes.push("on the agent's word".to_owned());
        }
        self.attempt(Label::Pass, it.attempt, Some(it.feature), notes.join(", "))
    }

    fn failed(&self, it: &FeatureFailed) -> EventLine {
        self.attempt(
            Label::Fail,
            it.attempt,
            Some(it.feature),
            failure(&it.failure),
        )
    }

    fn regression(&self, it: &RegressionFound) -> EventLine {
        let mut note = failure(&it.failure);
        // The newest suspects are the most likely ones, and three fill a line.
        let suspects = it.suspects.iter().rev().take(3);
        let names: Vec<String> = suspects.map(|(feature, _)| feature.to_string()).collect();
        if !names.is_empty() {
            let more = if it.suspects.len() > 3 { ", …" } else { "" };
            note.push_str(&format!("; suspects: {}{more}", names.join(", ")));
        }
        self.attempt(Label::Regression, it.attempt, Some(it.feature), note)
    }
}

/// Describes what somebody else did to the branch.
pub fn moved(it: &BranchMoved) -> String {
    let mut parts = Vec::new();
    for (commits, total, what) in [
        (&it.added, it.added_total, "added"),
        (&it.lost, it.lost_total, "lost"),
    ] {
        if total > 0 {
            let named = commits.iter().take(3).map(NamedCommit::words);
            let named = named.collect::<Vec<_>>().join("; ");
            let more = if total > 3 { "; ..." } else { "" };
            parts.push(format!("{total} {what} ({named}{more})"));
        }
    }
    match parts.is_empty() {
        true => "the recorded head no longer exists".to_owned(),
        false => format!("commits of somebody else: {}", parts.join(", ")),
    }
}

/// Why an attempt was given back, and what failed because of that.
fn released(event: &AttemptReleased) -> String {
    match event.detail.as_str() {
        "" => event.reason.to_string(),
        detail => format!("{}: {detail}", event.reason),
    }
}

/// A failure's kind and the first line of its reason.
fn failure(failure: &Failure) -> String {
    let first = failure.reason.trim().split('\n').next().unwrap_or_default();
    match first {
        "" => failure.kind.as_str().to_owned(),
        first => format!("{}: {first}", failure.kind.as_str()),
    }
}

/// A rank as text.
pub fn rank(terms: &RankTerms) -> String {
    let mut words = String::new();
    if terms.regressed {
        words.push_str("regressed, ");
    }
    let chain = format::duration(terms.chain_ms);
    words.push_str(&format!("chain {chain}, unblocks {}", terms.unblocks));
    if terms.priority != 0 {
        words.push_str(&format!(", priority {}", terms.priority));
    }
    words
}

/// A test's weight as text.
pub fn test(terms: &TestTerms) -> String {
    format!(
        "weight {}: {} changed, {}, untested for {}",
        terms.weight,
        times(terms.touched_since, "file"),
        times(terms.dependents, "dependent"),
        format::duration(terms.untested_ms),
    )
}

fn merge(it: &MergeStarted) -> String {
    format!(
        "{} onto {}, {}",
        it.commit.short(),
        it.onto.short(),
        times(it.touched_total, "file")
    )
}

fn waits(on: &[FeatureId]) -> String {
    // A feature may depend on thousands; ten are shown.
    let words: Vec<String> = on.iter().take(10).map(ToString::to_string).collect();
    match on.len() {
        0 => String::new(),
        1..=10 => format!("after {}", words.join(" ")),
        more => format!("after {} and {} more", words.join(" "), more - 10),
    }
}

fn ended(it: &RunFinished) -> String {
    let word = match it.outcome {
        RunOutcome::AllPassing => "all features pass",
        RunOutcome::SomeFailed => "some features failed",
        RunOutcome::WaitingForPerson => "waiting for a person",
        RunOutcome::BudgetSpent => "budget spent",
    };
    match it.reason.as_str() {
        "" => word.to_owned(),
        reason => reason.to_owned(),
    }
}

fn kind(kind: WorkerKind) -> &'static str {
    match kind {
        WorkerKind::Coding => "coding",
        WorkerKind::Testing => "testing",
    }
}

fn word_of(basis: Basis) -> &'static str {
    match basis {
        Basis::Checks => "",
        Basis::AgentWord => ", on the agent's word",
    }
}

/// A number and what it counts: `1 file`, `2 files`.
pub fn times(number: u32, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
