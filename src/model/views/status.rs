//! A run and its backlog at a glance.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::config::ConfigChange;
use crate::model::derived_status::{Chain, DerivedStatus, DerivedStatuses};
use crate::model::event::{BranchMoved, RankTerms, RunOutcome};
use crate::model::evidence::Usage;
use crate::model::ids::{AttemptId, CommitId, FeatureId, Sequence, Timestamp};
use crate::model::remaining::{unverified_count, unverified_words};
use crate::model::settings::WorkerKind;
use crate::model::state::{Feature, Refused, State, Tally};
use crate::model::trouble::TroubleKind;

/// How many of the ready features are listed with their terms.
const NEXT_MAX: usize = 5;

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// The event up to which this holds.
    pub sequence: Sequence,
    /// When it happened.
    pub at: Timestamp,
    /// The integration branch; empty before the first run.
    pub branch: String,
    /// Where it is.
    pub head: CommitId,
    /// The present or last run.
    pub run: Option<RunView>,
    /// How often processes of attempts were refused what only people may do, and the last time.
    pub refused: Option<(u32, Refused)>,
    /// How many values this run is told otherwise than the one before, and the first few.
    pub config: (u32, Vec<ConfigChange>),
    /// Where the branch is checked out, so that nothing is merged; empty when it is free.
    pub held: String,
    /// What somebody else last did to the branch in this run, and when.
    pub moved: Option<(Timestamp, BranchMoved)>,
    /// Why the run is paused, if it is.
    pub paused: Option<String>,
    /// The provider's words and the end of its limit, if there is one.
    pub limited: Option<(Timestamp, String)>,
    /// The machine's trouble that keeps the crew back, if there is one.
    pub troubled: Option<TroubleView>,
    /// How many passing features were not verified at `head`.
    pub unverified: u32,
    /// What is to be said of them.
    pub unverified_note: Option<String>,
    /// How many features stand where.
    pub counts: BTreeMap<DerivedStatus, u32>,
    /// The open attempts, the oldest first.
    pub attempts: Vec<AttemptView>,
    /// The ready features that come next.
    pub next: Vec<NextView>,
    /// Every feature.
    pub features: Vec<FeatureView>,
    /// Workers that are there: their names and what they take.
    pub workers: Vec<(String, WorkerKind)>,
    /// Those of them that are given no more jobs, because they give back whatever they take.
    pub unfit: Vec<String>,
    /// What was used since the log began.
    pub spent: Usage,
    /// What happened since the log began.
    pub tally: Tally,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// When it began.
    pub started_at: Timestamp,
    /// For how long it has gone on, without jumps of the clock, in milliseconds.
    pub ran_ms: u64,
    /// The seed of all that is drawn.
    pub seed: u64,
    /// How it ended, if it did.
    pub outcome: Option<RunOutcome>,
    /// Why it ended so.
    pub reason: String,
}

/// A trouble of the machine.
#[derive(Clone, Debug, Serialize)]
pub struct TroubleView {
    /// What the machine lacks.
    pub kind: TroubleKind,
    /// What failed and why.
    pub reason: String,
    /// What a person can do about it.
    pub advice: &'static str,
    /// When the first attempt met it.
    pub began: Timestamp,
    /// When the next attempt may start.
    pub until: Timestamp,
    /// Attempts in a row that met it.
    pub streak: u32,
}

/// An open attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptView {
    /// Which.
    pub attempt: AttemptId,
    /// Who.
    pub worker: String,
    /// Coding or testing.
    pub kind: WorkerKind,
    /// On what.
    pub features: Vec<FeatureId>,
    /// The first one's name.
    pub name: String,
    /// Since when.
    pub started: Timestamp,
    /// For how long it has gone on, without jumps of the clock, in milliseconds.
    pub ran_ms: u64,
    /// Which try, from 1.
    pub number: u32,
}

/// A ready feature and the terms of its place in the order.
#[derive(Clone, Debug, Serialize)]
pub struct NextView {
    /// Which.
    pub feature: FeatureId,
    /// Its name.
    pub name: String,
    /// By what it is ordered.
    pub terms: RankTerms,
}

/// A feature in a table.
#[derive(Clone, Debug, Serialize)]
pub struct FeatureView {
    /// Which.
    pub feature: FeatureId,
    /// Its name.
    pub name: String,
    /// Its category.
    pub category: String,
    /// Where it stands.
    pub status: DerivedStatus,
    /// It passed before and does not any more.
    pub regressed: bool,
    /// It passes, and its last tests came to no verdict.
    pub unproven: bool,
    /// Tries that failed since it last passed or was last forgiven.
    pub failures: u32,
    /// Attempts in all.
    pub tries: u32,
    /// What it waits for.
    pub chain: Chain,
    /// What a person wants to know: the last failure, the question, the chain in words.
    pub note: String,
    /// Not to be tried before; 0 when at any time.
    pub not_before: Timestamp,
}

/// Puts the view together.
pub fn status(state: &State, now: Timestamp) -> StatusView {
    let now = state.time(now);
    let statuses = DerivedStatuses::of(state, now);
    let mut counts = BTreeMap::new();
    let mut features = Vec::new();
    for feature in state.features() {
        let view = feature_view(state, &statuses, feature);
        *counts.entry(view.status).or_default() += 1;
        features.push(view);
    }
    features.sort_by_key(|view| (view.status, view.feature));
    StatusView {
        sequence: state.sequence,
        at: state.at,
        branch: state.branch.clone(),
        head: state.head.clone(),
        run: state.run.as_ref().map(|run| RunView {
            started_at: run.started_at,
            ran_ms: state.ran_ms(run.started_at, run.jumped_ms, now),
            seed: run.seed,
            outcome: run.finished.as_ref().map(|(outcome, _)| *outcome),
            reason: run
                .finished
                .clone()
                .map(|(_, reason)| reason)
                .unwrap_or_default(),
        }),
        refused: state.notices.refused.clone(),
        config: state.notices.config.clone(),
        held: state.notices.held.clone(),
        moved: state.notices.moved.clone(),
        paused: state.paused.clone(),
        limited: state
            .limited
            .as_ref()
            .filter(|limited| limited.until > now)
            .map(|limited| (limited.until, limited.reason.clone())),
        troubled: state.troubled.as_ref().map(|trouble| TroubleView {
            kind: trouble.kind,
            reason: trouble.reason.clone(),
            advice: trouble.kind.advice(),
            began: trouble.began,
            until: trouble.until,
            streak: trouble.streak,
        }),
        unverified: unverified_count(state),
        unverified_note: unverified_words(state),
        counts,
        attempts: attempts(state, now),
        next: next(state),
        features,
        workers: state
            .workers()
            .values()
            .map(|it| (it.name.clone(), it.kind))
            .collect(),
        unfit: (state.workers().values())
            .filter(|it| it.is_suspended())
            .map(|it| it.name.clone())
            .collect(),
        spent: state.spent,
        tally: state.tally.clone(),
    }
}

fn attempts(state: &State, now: Timestamp) -> Vec<AttemptView> {
    let view = |(&attempt, open): (&AttemptId, &crate::model::state::Attempt)| {
        let job = &open.job;
        let worker = state.workers().get(&job.worker);
        AttemptView {
            attempt,
            worker: worker.map_or_else(|| job.worker.to_string(), |it| it.name.clone()),
            kind: job.kind,
            name: job
                .features
                .first()
                .map(|&id| name(state, id))
                .unwrap_or_default(),
            features: job.features.clone(),
            started: open.started,
            ran_ms: state.ran_ms(open.started, open.jumped_ms, now),
            number: job.attempt_number,
        }
    };
    state.attempts().iter().map(view).collect()
}

fn next(state: &State) -> Vec<NextView> {
    let view = |(feature, terms)| NextView {
        feature,
        name: name(state, feature),
        terms,
    };
    state.ready().take(NEXT_MAX).map(view).collect()
}

fn name(state: &State, feature: FeatureId) -> String {
    let feature = state.feature(feature);
    feature.map(|it| it.spec.name.clone()).unwrap_or_default()
}

fn feature_view(state: &State, statuses: &DerivedStatuses<'_>, feature: &Feature) -> FeatureView {
    let status = statuses.of_feature(feature);
    let chain = match status {
        DerivedStatus::Blocked | DerivedStatus::Unreachable => statuses.chain(feature.id),
        _ => Chain::default(),
    };
    let last_failure = || {
        feature
            .words
            .recent_failures
            .last()
            .cloned()
            .unwrap_or_default()
    };
    let note = match status {
        DerivedStatus::Blocked | DerivedStatus::Unreachable => statuses.chain_words(&chain),
        DerivedStatus::NeedsInput => feature.words.question.clone().unwrap_or_default(),
        DerivedStatus::Skipped => feature.words.skipped.clone(),
        DerivedStatus::Passing if state.is_unproven(feature) => {
            "its last tests came to no verdict".to_owned()
        }
        DerivedStatus::Passing => String::new(),
        DerivedStatus::Running
        | DerivedStatus::Parked
        | DerivedStatus::Ready
        | DerivedStatus::Delayed => last_failure(),
    };
    FeatureView {
        feature: feature.id,
        name: feature.spec.name.clone(),
        category: feature.spec.category.clone(),
        status,
        regressed: feature.regressed,
        unproven: state.is_unproven(feature),
        failures: feature.failures,
        tries: feature.tries,
        chain,
        note,
        not_before: feature.not_before,
    }
}
