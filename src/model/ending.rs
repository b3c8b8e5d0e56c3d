//! Decides whether the run is over, and how it ended.

use super::derived_status::{DerivedStatus, DerivedStatuses};
use super::event::RunOutcome;
use super::evidence::FailureKind;
use super::feature::Status;
use super::ids::FeatureId;
use super::profile::ProfileName;
use super::remaining::{coding_remains, kind_of_rest, unverified, unverified_words};
use super::state::{Feature, State};

/// Features of each kind that the reason names; `status` lists all.
const NAMED_MAX: usize = 3;

/// How and why the run ends now; `None` while it continues. While it continues, this only looks at
/// counts; it walks the whole backlog once, at the end.
pub fn due(state: &State) -> Option<(RunOutcome, String)> {
    if !state.attempts().is_empty() || state.open_merge().is_some() {
        return None;
    }
    let left = if coding_remains(state) {
        "features remain to be implemented"
    } else if state.settings.testing > 0 && unverified(state).next().is_some() {
        "passing features remain to be verified"
    } else {
        return Some(outcome(state));
    };
    if let Some(refusal) = refusal(state) {
        let reason = format!(
            "stopped: {left}, and {refusal}. Settle this, then continue with `scheduler run`"
        );
        return Some((RunOutcome::WaitingForPerson, reason));
    }
    if state.paused.is_some() || !state.budget_spent() {
        return None;
    }
    let reason = format!(
        "stopped: the budget is spent, and {left}. Raise `run.budget_usd` or `run.budget_tokens`, then continue with `scheduler run`"
    );
    Some((RunOutcome::BudgetSpent, reason))
}

/// What a person must settle, if no agent can do the rest until then.
fn refusal(state: &State) -> Option<String> {
    let profiles = state.profiles.of(kind_of_rest(state));
    let refused = profiles.iter().map(|profile| {
        let outage = state.outage(profile)?;
        (!outage.ends()).then_some((profile, outage))
    });
    let refused: Option<Vec<_>> = refused.collect();
    let refused = refused.filter(|refused| !refused.is_empty())?;
    let words = refused.iter().take(NAMED_MAX).map(|(profile, outage)| {
        let reason = outage.reason.trim().trim_end_matches('.');
        let advice = refusal_advice(profile, outage.kind);
        match refused.len() {
            1 => format!("{} cannot be used: {reason} ({advice})", profile.subject()),
            _ => format!("{profile}: {reason} ({advice})"),
        }
    });
    let words = words.collect::<Vec<_>>().join("; ");
    Some(match refused.len() {
        1 => words,
        _ => format!("no agent can be used: {words}"),
    })
}

/// What settles a refusal.
pub fn refusal_advice(profile: &ProfileName, kind: FailureKind) -> String {
    match kind {
        FailureKind::QuotaExhausted => {
            "top up the account, or name another agent in [jobs]".to_owned()
        }
        _ => {
            let key = profile.key("pass_env");
            format!("log in, or name the variable with its key in {key}")
        }
    }
}

fn outcome(state: &State) -> (RunOutcome, String) {
    let parked = state.count(Status::Parked);
    let asking = state.count(Status::NeedsInput);
    let skipped = state.count(Status::Skipped);
    let waiting = state.count(Status::Pending) + state.count(Status::Regressed);
    let passing = state.count(Status::Passing);
    if passing + waiting + asking + parked + skipped == 0 {
        let reason = "the backlog is empty; add features with `scheduler import FILE`";
        return (RunOutcome::WaitingForPerson, reason.to_owned());
    }
    let unproven: Vec<FeatureId> = unproven(state).collect();
    let statuses = DerivedStatuses::of(state, state.at);
    let hopeless = |feature: &&Feature| statuses.of_feature(feature) == DerivedStatus::Unreachable;
    let unreachable = state.features().filter(hopeless).count();
    let held = waiting - u32::try_from(unreachable).unwrap_or(waiting).min(waiting);
    let of = |status: Status| {
        let features = state.features().filter(move |it| it.status == status);
        features.map(|feature| feature.id)
    };
    let mut reasons = Vec::new();
    if parked > 0 {
        let their = if parked == 1 { "its" } else { "their" };
        let which = names(of(Status::Parked));
        reasons.push(format!(
            "{parked} parked after {their} last try ({which}; `scheduler retry` tries again)"
        ));
    }
    if !unproven.is_empty() {
        let (count, which) = (unproven.len(), names(unproven.iter().copied()));
        let their = if count == 1 { "its" } else { "their" };
        reasons.push(format!(
            "{count} without a verdict from {their} last tests ({which}; a testing agent must write one to $CREWLOG_VERDICT, and `scheduler retry` tests again)"
        ));
    }
    if asking > 0 {
        let which = names(of(Status::NeedsInput));
        reasons.push(format!(
            "{asking} waiting for your answer ({which}; `scheduler answer N TEXT`)"
        ));
    }
    if held > 0 {
        reasons.push(format!("{held} waiting for those"));
    }
    if waiting > held {
        reasons.push(format!("{} unreachable", waiting - held));
    }
    let named = state.features().filter(waits).take(NAMED_MAX);
    let chains = named.map(|feature| statuses.chain(feature.id));
    reasons.extend(chains.map(|chain| statuses.chain_words(&chain)));
    let outcome = if parked > 0 || !unproven.is_empty() || waiting > held {
        RunOutcome::SomeFailed
    } else if asking + held > 0 {
        RunOutcome::WaitingForPerson
    } else {
        reasons.push(match passing {
            0 => "no features remain".to_owned(),
            1 => "the only feature passes".to_owned(),
            passing => format!("all {passing} features pass"),
        });
        match skipped {
            0 => {}
            1 => reasons.push("1 was skipped".to_owned()),
            skipped => reasons.push(format!("{skipped} were skipped")),
        }
        RunOutcome::AllPassing
    };
    reasons.extend(unverified_words(state));
    (outcome, reasons.join("; "))
}

/// The first few features, and how many more: `#1, #4, #9 and 2 more`.
fn names(features: impl Iterator<Item = FeatureId>) -> String {
    let all: Vec<FeatureId> = features.collect();
    let first: Vec<String> = all
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    match all.len().saturating_sub(NAMED_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Passing features whose last tests gave no verdict.
fn unproven(state: &State) -> impl Iterator<Item = FeatureId> {
    let features = state.features();
    features.filter(|it| state.is_unproven(it)).map(|it| it.id)
}

/// Whether a feature waits for others. At the end of a run nothing is ready, so every feature that
/// has not started waits.
fn waits(feature: &&Feature) -> bool {
    matches!(feature.status, Status::Pending | Status::Regressed)
}
