//! What waits for a person.

use serde::Serialize;

use crate::model::ending::refusal_advice;
use crate::model::event::RunOutcome;
use crate::model::feature::Status;
use crate::model::ids::FeatureId;
use crate::model::state::{Feature, State};

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What it is.
    pub kind: NeedKind,
    /// The feature that it concerns, if any.
    pub feature: Option<FeatureId>,
    /// Name of that feature; empty without one.
    pub name: String,
    /// The question, the failure or the provider's words, not cleaned.
    pub text: String,
    /// What to do about it, with the exact command or key.
    pub next: String,
}

/// What waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedKind {
    /// An agent asked a question.
    Question,
    /// A feature has used up its tries.
    Parked,
    /// A feature passed before and no longer does.
    Regressed,
    /// The provider refuses until a person changes something.
    Provider,
    /// A problem of the machine holds up every attempt.
    Machine,
    /// The budget is spent.
    Budget,
    /// A person has paused the run, or must look at it.
    Paused,
    /// The branch is checked out, so that nothing is merged.
    MergesHeld,
}

impl NeedKind {
    /// The kind as a word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Parked => "parked",
            Self::Regressed => "regressed",
            Self::Provider => "provider",
            Self::Machine => "machine",
            Self::Budget => "budget",
            Self::Paused => "paused",
            Self::MergesHeld => "merges held",
        }
    }
}

/// What waits for a person in `state`: first the run as a whole, then features by number.
pub fn needs(state: &State) -> Vec<Need> {
    let mut needs = of_run(state);
    let mut features: Vec<Need> = state.features().filter_map(of_feature).collect();
    features.sort_by_key(|need| (need.kind, need.feature));
    needs.extend(features);
    needs
}

fn of_run(state: &State) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut add = |kind: NeedKind, text: &str, next: &str| {
        needs.push(Need {
            kind,
            feature: None,
            name: String::new(),
            text: text.to_owned(),
            next: next.to_owned(),
        });
    };
    for (profile, outage) in state.outages().filter(|(_, outage)| !outage.ends()) {
        let text = format!("{profile}: {}", outage.reason);
        add(
            NeedKind::Provider,
            &text,
            &refusal_advice(profile, outage.kind),
        );
    }
    if let Some(trouble) = &state.troubled {
        add(NeedKind::Machine, &trouble.reason, trouble.kind.advice());
    }
    let spent = |run: &crate::model::state::Run| match &run.finished {
        Some((outcome, _)) => *outcome == RunOutcome::BudgetSpent,
        None => run.budget_reached,
    };
    if state.run.as_ref().is_some_and(spent) {
        let next =
            "raise `run.budget_usd` or `run.budget_tokens`, then continue with `scheduler run`";
        add(NeedKind::Budget, "the budget is spent", next);
    }
    if let Some(reason) = &state.paused {
        let next = "continue with `scheduler resume`";
        add(NeedKind::Paused, reason, next);
    }
    if !state.notices.held.is_empty() {
        let text = format!("the branch is checked out at {}", state.notices.held);
        add(NeedKind::MergesHeld, &text, "run `git switch -` there");
    }
    needs
}

fn of_feature(feature: &Feature) -> Option<Need> {
    let id = feature.id.0;
    let last = || feature.words.recent_failures.last().cloned();
    let (kind, text, next) = match feature.status {
        Status::NeedsInput => (
            NeedKind::Question,
            feature.words.question.clone().unwrap_or_default(),
            format!("`scheduler answer {id} TEXT`"),
        ),
        Status::Parked => (
            NeedKind::Parked,
            last().unwrap_or_default(),
            format!("`scheduler why {id}` explains it, `scheduler retry {id}` tries again"),
        ),
        Status::Regressed => (
            NeedKind::Regressed,
            last()
                .or_else(|| feature.words.broken.as_ref().map(|it| it.reason.clone()))
                .unwrap_or_default(),
            format!("`scheduler why {id}` explains it; a run repairs it"),
        ),
        _ => return None,
    };
    Some(Need {
        kind,
        feature: Some(feature.id),
        name: feature.spec.name.clone(),
        text,
        next,
    })
}
