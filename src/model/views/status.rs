//! The view behind `scheduler status`: a run and its backlog.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::config::ConfigChange;
use crate::model::derived_status::{Chain, DerivedStatus, DerivedStatuses};
use crate::model::ending::refusal_advice;
use crate::model::event::{BranchMoved, RankTerms, RunOutcome};
use crate::model::evidence::FailureKind;
use crate::model::evidence::Usage;
use crate::model::ids::{AttemptId, CommitId, FeatureId, Sequence, Timestamp};
use crate::model::profile::ProfileName;
use crate::model::remaining::{unverified_count, unverified_words};
use crate::model::settings::WorkerKind;
use crate::model::state::Outage;
use crate::model::state::{Feature, Refused, State, Tally};
use crate::model::trouble::TroubleKind;

/// Ready features listed with their rank.
const NEXT_MAX: usize = 5;

/// A run and its backlog.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// The last event included.
    pub sequence: Sequence,
    /// Time of that event.
    pub at: Timestamp,
    /// The integration branch; empty before the first run.
    pub branch: String,
    /// Head of the branch.
    pub head: CommitId,
    /// The current or last run.
    pub run: Option<RunView>,
    /// Number of refused commands from processes of attempts, and the last one.
    pub refused: Option<(u32, Refused)>,
    /// Number of config values that changed since the previous run, and the first few.
    pub config: (u32, Vec<ConfigChange>),
    /// Where the branch is checked out, which stops merges; empty if it is free.
    pub held: String,
    /// The last change that somebody else made to the branch in this run, and its time.
    pub moved: Option<(Timestamp, BranchMoved)>,
    /// Why the run is paused; `None` if it is not.
    pub paused: Option<String>,
    /// Agents that cannot be used, by name.
    pub outages: Vec<OutageView>,
    /// The machine's problem that stops new attempts, if there is one.
    pub troubled: Option<TroubleView>,
    /// Number of passing features that were not verified at `head`.
    pub unverified: u32,
    /// A note about those features.
    pub unverified_note: Option<String>,
    /// Number of features by status.
    pub counts: BTreeMap<DerivedStatus, u32>,
    /// The open attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// The first ready features, by rank.
    pub next: Vec<NextView>,
    /// Every feature, by status and number.
    pub features: Vec<FeatureView>,
    /// Names and kinds of the connected workers.
    pub workers: Vec<(String, WorkerKind)>,
    /// Workers that get no more jobs, because they gave up several in a row.
    pub unfit: Vec<String>,
    /// Tokens and money used since the start of the log.
    pub spent: Usage,
    /// Counts of what happened since the start of the log.
    pub tally: Tally,
}

/// A run, open or finished.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// Wall-clock time of the start.
    pub started_at: Timestamp,
    /// Milliseconds since the start, without jumps of the clock.
    pub ran_ms: u64,
    /// Seed for all random choices.
    pub seed: u64,
    /// True while it is open and its budget is spent.
    pub budget_reached: bool,
    /// How it ended; `None` while it is open.
    pub outcome: Option<RunOutcome>,
    /// Why it ended; empty while it is open.
    pub reason: String,
}

/// A problem of the machine.
#[derive(Clone, Debug, Serialize)]
pub struct TroubleView {
    /// Kind of the problem.
    pub kind: TroubleKind,
    /// What failed and why.
    pub reason: String,
    /// What a person can do about it.
    pub advice: &'static str,
    /// When the first attempt met it.
    pub began: Timestamp,
    /// When the next probe may start.
    pub until: Timestamp,
    /// Number of attempts in a row that met it.
    pub streak: u32,
}

/// An agent that cannot be used.
#[derive(Clone, Debug, Serialize)]
pub struct OutageView {
    /// Name of its profile.
    pub profile: ProfileName,
    /// Class of the failure.
    pub kind: FailureKind,
    /// What the agent or its provider says.
    pub reason: String,
    /// What a person must do; `None` if it ends by itself.
    pub advice: Option<String>,
    /// When the first attempt met it.
    pub began: Timestamp,
    /// When it is tried again; `None` if a person must act first.
    pub until: Option<Timestamp>,
    /// Number of sessions in a row that failed.
    pub streak: u32,
}

/// An open attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptView {
    /// Number of the attempt.
    pub attempt: AttemptId,
    /// Name of the worker.
    pub worker: String,
    /// Whether the attempt codes or tests.
    pub kind: WorkerKind,
    /// Numbers of its features.
    pub features: Vec<FeatureId>,
    /// Name of the first feature.
    pub name: String,
    /// Wall-clock time of the start.
    pub started: Timestamp,
    /// Milliseconds since the start, without jumps of the clock.
    pub ran_ms: u64,
    /// Number of the try, from 1.
    pub number: u32,
}

/// A ready feature and its rank.
#[derive(Clone, Debug, Serialize)]
pub struct NextView {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Name of the feature.
    pub name: String,
    /// Its rank among the ready features.
    pub terms: RankTerms,
}

/// A feature as a row of the status.
#[derive(Clone, Debug, Serialize)]
pub struct FeatureView {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Name of the feature.
    pub name: String,
    /// Category of the feature; may be empty.
    pub category: String,
    /// Its derived status.
    pub status: DerivedStatus,
    /// True if it passed before and no longer does.
    pub regressed: bool,
    /// True if it passes, but its last tests gave no verdict.
    pub unproven: bool,
    /// Failed tries since it last passed or was forgiven.
    pub failures: u32,
    /// Total number of attempts.
    pub tries: u32,
    /// What it waits for.
    pub chain: Chain,
    /// The last failure, the question or the chain, as text; depends on the status.
    pub note: String,
    /// Earliest time of the next try; 0 if there is none.
    pub not_before: Timestamp,
}

/// The status of `state` at `now`.
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
            budget_reached: run.finished.is_none() && state.budget_spent(),
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
        outages: outages(state),
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

fn outages(state: &State) -> Vec<OutageView> {
    let view = |(profile, outage): (&ProfileName, &Outage)| OutageView {
        profile: profile.clone(),
        kind: outage.kind,
        reason: outage.reason.clone(),
        advice: (!outage.ends()).then(|| refusal_advice(profile, outage.kind)),
        began: outage.began,
        until: outage.ends().then_some(outage.until),
        streak: state.streak(profile),
    };
    state.outages().map(view).collect()
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
            "its last tests gave no verdict".to_owned()
        }
        DerivedStatus::Passing | DerivedStatus::Removed => String::new(),
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
