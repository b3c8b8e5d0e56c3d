//! Whether the run is over, and how it ended.

use super::testing::unverified;
use super::{World, coding_remains, lacking};
use crate::model::command::Command;
use crate::model::event::RunOutcome;
use crate::model::feature::Status;
use crate::model::ids::Timestamp;
use crate::model::state::{Feature, State};
use crate::model::views::standing::{Standing, Standings};

/// Unreachable features that are named in the reason; `why` tells it of each.
const NAMED_MAX: usize = 3;

pub fn finish(state: &State, now: Timestamp, world: &World) -> Option<Command> {
    if world.stay {
        return None;
    }
    let (outcome, reason) = due(state).or_else(|| lacking::due(state, now, world))?;
    Some(Command::FinishRun { outcome, reason })
}

/// How the run is to end now, and why; none while it is to go on. Only what can be seen at once is
/// looked at while it goes on; the whole backlog once, at its end.
pub fn due(state: &State) -> Option<(RunOutcome, String)> {
    if !state.attempts().is_empty() || state.open_merge().is_some() {
        return None;
    }
    let left = if coding_remains(state) {
        "features are left to do"
    } else if state.settings.testing > 0 && unverified(state).next().is_some() {
        "passing features are left to verify"
    } else {
        return Some(outcome(state));
    };
    if let Some(words) = refused(state) {
        let reason = format!("the provider refuses: {words}; {left}");
        return Some((RunOutcome::WaitingForPerson, reason));
    }
    if state.paused.is_some() || !state.budget_spent() {
        return None;
    }
    let reason = format!("the budget is spent; {left}");
    Some((RunOutcome::BudgetSpent, reason))
}

/// The provider's words, when it will not change its mind by waiting.
fn refused(state: &State) -> Option<&str> {
    let limited = state.limited.as_ref()?;
    (limited.until.0 == u64::MAX).then_some(limited.reason.as_str())
}

fn outcome(state: &State) -> (RunOutcome, String) {
    let parked = state.count(Status::Parked);
    let asking = state.count(Status::NeedsInput);
    let skipped = state.count(Status::Skipped);
    let waiting = state.count(Status::Pending) + state.count(Status::Regressed);
    let passing = state.count(Status::Passing);
    if passing + waiting + asking + parked + skipped == 0 {
        let reason = "the backlog is empty; bring features in with `scheduler import FILE`";
        return (RunOutcome::WaitingForPerson, reason.to_owned());
    }
    let unproven = unproven(state);
    let standings = Standings::of(state, state.at);
    let hopeless = |feature: &&Feature| standings.standing(feature) == Standing::Unreachable;
    let unreachable = state.features().filter(hopeless).count();
    let held = waiting - u32::try_from(unreachable).unwrap_or(waiting).min(waiting);
    let mut reasons = Vec::new();
    let mut note = |count: u32, what: &str| {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    };
    note(parked, "parked after their last try");
    note(
        unproven,
        "without a verdict from their last tests (a testing agent writes one to $CREWLOG_VERDICT; `scheduler retry N` tests again)",
    );
    note(asking, "waiting for an answer");
    note(held, "waiting behind those");
    note(waiting - held, "unreachable");
    let named = state.features().filter(waits).take(NAMED_MAX);
    let chains = named.map(|feature| standings.chain(feature.id));
    reasons.extend(chains.map(|chain| standings.chain_words(&chain)));
    let outcome = if parked + unproven > 0 || waiting > held {
        RunOutcome::SomeFailed
    } else if asking + held > 0 {
        RunOutcome::WaitingForPerson
    } else {
        reasons.push(format!("all {passing} features pass"));
        if skipped > 0 {
            reasons.push(format!("{skipped} were skipped"));
        }
        RunOutcome::AllPassing
    };
    (outcome, reasons.join("; "))
}

/// Passing features that no test could verify at the head.
fn unproven(state: &State) -> u32 {
    let proven = &state.indexes.proven;
    let older = proven.range(..(state.head_index, 0));
    let unproven = older.filter(|&&(_, slot)| state.in_slot(slot).is_some_and(Feature::untestable));
    u32::try_from(unproven.count()).unwrap_or(u32::MAX)
}

/// At the end of a run nothing is ready, so that whoever has not begun waits for somebody.
fn waits(feature: &&Feature) -> bool {
    matches!(feature.status, Status::Pending | Status::Regressed)
}
