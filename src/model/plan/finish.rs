//! Whether the run is over, and how it ended.

use super::testing::{INCONCLUSIVE_MAX, unverified};
use super::{World, coding_remains};
use crate::model::command::Command;
use crate::model::event::RunOutcome;
use crate::model::feature::Status;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::state::{Feature, State};

/// Unreachable features that are named in the reason; `status` lists them all.
const NAMED_MAX: usize = 3;

pub fn finish(state: &State, _now: Timestamp, world: &World) -> Option<Command> {
    if !state.attempts().is_empty() || state.open_merge().is_some() || world.stay {
        return None;
    }
    let (outcome, reason) = if let Some(limited) = refused(state) {
        let reason = format!("the provider refuses: {limited}");
        (RunOutcome::WaitingForPerson, reason)
    } else if coding_remains(state) {
        if state.paused.is_some() || !state.budget_spent() {
            return None;
        }
        let reason = "the budget is spent; features are left to do".to_owned();
        (RunOutcome::BudgetSpent, reason)
    } else if state.settings.testing > 0 && unverified(state).next().is_some() {
        if state.paused.is_some() || !state.budget_spent() {
            return None;
        }
        let reason = "the budget is spent; passing features are left to verify".to_owned();
        (RunOutcome::BudgetSpent, reason)
    } else {
        outcome(state)
    };
    Some(Command::FinishRun { outcome, reason })
}

/// The provider's words, when it will not change its mind by waiting.
fn refused(state: &State) -> Option<&str> {
    let limited = state.limited.as_ref()?;
    (limited.until.0 == u64::MAX).then_some(limited.reason.as_str())
}

fn outcome(state: &State) -> (RunOutcome, String) {
    let parked = state.count(Status::Parked);
    let asking = state.count(Status::NeedsInput);
    let waiting = state.count(Status::Pending) + state.count(Status::Regressed);
    let passing = state.count(Status::Passing);
    let unproven = |feature: &&Feature| {
        feature.status == Status::Passing && feature.inconclusive >= INCONCLUSIVE_MAX
    };
    let unproven = state.features().filter(unproven).count();
    if passing + waiting + asking + parked + state.count(Status::Skipped) == 0 {
        let reason = "the backlog is empty; bring features in with `scheduler import FILE`";
        return (RunOutcome::WaitingForPerson, reason.to_owned());
    }
    let mut reasons = Vec::new();
    let mut note = |count: usize, what: &str| {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    };
    note(parked as usize, "parked after their last try");
    note(unproven, "without a verdict from their last tests");
    note(asking as usize, "waiting for an answer");
    note(waiting as usize, "unreachable");
    reasons.extend(unreachable(state).into_iter().take(NAMED_MAX));
    let outcome = if parked > 0 || unproven > 0 {
        RunOutcome::SomeFailed
    } else if asking > 0 || waiting > 0 {
        RunOutcome::WaitingForPerson
    } else {
        return (
            RunOutcome::AllPassing,
            format!("all {passing} features pass"),
        );
    };
    (outcome, reasons.join("; "))
}

/// For each feature that can never start: the chain from it to what is in its way.
pub fn unreachable(state: &State) -> Vec<String> {
    let waiting = |feature: &&Feature| {
        matches!(feature.status, Status::Pending | Status::Regressed) && state.unmet(feature.id) > 0
    };
    let features = state.features().filter(waiting);
    let chains = features.filter_map(|feature| blocking_chain(state, feature.id));
    let told = chains.map(|chain| {
        let words: Vec<String> = chain.iter().map(ToString::to_string).collect();
        let last = chain.last().and_then(|&id| state.feature(id));
        let status = last.map_or("gone", |feature| feature.status.word());
        format!("{} ({status})", words.join(" waits for "))
    });
    told.collect()
}

/// From a feature down to the first one that nobody will bring to pass without help: parked,
/// skipped, or waiting for an answer. None when there is no such one.
pub fn blocking_chain(state: &State, from: FeatureId) -> Option<Vec<FeatureId>> {
    let start = state.slot(from)?;
    let mut came_from = std::collections::BTreeMap::from([(start, start)]);
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(slot) = queue.pop_front() {
        let feature = state.in_slot(slot)?;
        if matches!(
            feature.status,
            Status::Parked | Status::Skipped | Status::NeedsInput
        ) {
            return Some(path(state, &came_from, slot));
        }
        if feature.status == Status::Passing {
            continue;
        }
        for &on in state.graph().dependencies(slot) {
            came_from.entry(on).or_insert_with(|| {
                queue.push_back(on);
                slot
            });
        }
    }
    None
}

fn path(
    state: &State,
    came_from: &std::collections::BTreeMap<u32, u32>,
    end: u32,
) -> Vec<FeatureId> {
    let mut slots = vec![end];
    let mut at = end;
    while let Some(&before) = came_from.get(&at)
        && before != at
    {
        slots.push(before);
        at = before;
    }
    let ids = slots.iter().rev();
    ids.filter_map(|&slot| Some(state.in_slot(slot)?.id))
        .collect()
}
