//! Whether the run is over, and how it ended.

use std::collections::VecDeque;

use super::testing::unverified;
use super::{World, coding_remains};
use crate::model::command::Command;
use crate::model::event::RunOutcome;
use crate::model::feature::Status;
use crate::model::ids::FeatureId;
use crate::model::state::{Feature, State};

/// Unreachable features that are named in the reason; `why` tells it of each.
const NAMED_MAX: usize = 3;

/// Features that are named of one chain, from its beginning; and its end.
const LINKS_MAX: usize = 4;

pub fn finish(state: &State, world: &World) -> Option<Command> {
    if world.stay {
        return None;
    }
    let (outcome, reason) = due(state)?;
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
    let chains = Chains::of(state);
    let unreachable = chains.behind(&[Status::Parked, Status::Skipped]);
    let held = waiting - u32::try_from(unreachable).unwrap_or(waiting).min(waiting);
    let mut reasons = Vec::new();
    let mut note = |count: u32, what: &str| {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    };
    note(parked, "parked after their last try");
    note(unproven, "without a verdict from their last tests");
    note(asking, "waiting for an answer");
    note(held, "waiting behind those");
    note(waiting - held, "unreachable");
    reasons.extend(chains.told().take(NAMED_MAX));
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

/// For every feature that waits, the shortest way to one that nobody will bring to pass without
/// help: parked or skipped, and otherwise waiting for an answer. One walk for all of them.
struct Chains<'a> {
    state: &'a State,
    /// By slot: the next slot of the way, the slot at its end, and how many lie between.
    ways: Vec<Option<Way>>,
}

#[derive(Clone, Copy)]
struct Way {
    next: u32,
    end: u32,
    length: u32,
}

impl<'a> Chains<'a> {
    fn of(state: &'a State) -> Self {
        let mut chains = Self {
            state,
            ways: vec![None; state.graph().len()],
        };
        // What is parked or skipped is in the way for good, so its ways are found first.
        chains.walk(&[Status::Parked, Status::Skipped]);
        chains.walk(&[Status::NeedsInput]);
        chains
    }

    /// Breadth first, from everything in one of these statuses up to all that wait for it.
    fn walk(&mut self, from: &[Status]) {
        let mut queue = VecDeque::new();
        for slot in (0..).take(self.ways.len()) {
            if self
                .status(slot)
                .is_some_and(|status| from.contains(&status))
            {
                queue.push_back((slot, slot, 0));
            }
        }
        while let Some((slot, end, length)) = queue.pop_front() {
            for &dependent in self.state.graph().dependents(slot) {
                let waits = self.status(dependent).is_some_and(waits);
                if let Some(way @ None) = self.ways.get_mut(dependent as usize)
                    && waits
                {
                    let next = slot;
                    *way = Some(Way { next, end, length });
                    queue.push_back((dependent, end, length + 1));
                }
            }
        }
    }

    fn status(&self, slot: u32) -> Option<Status> {
        Some(self.state.in_slot(slot)?.status)
    }

    fn way(&self, slot: u32) -> Option<Way> {
        self.ways.get(slot as usize).copied().flatten()
    }

    /// How many features wait behind one in such a status.
    fn behind(&self, statuses: &[Status]) -> usize {
        let ends = self.ways.iter().flatten().map(|way| way.end);
        let behind = ends.filter_map(|end| self.status(end));
        behind.filter(|status| statuses.contains(status)).count()
    }

    /// Each chain in words, in order of addition of the features that wait.
    fn told(&self) -> impl Iterator<Item = String> {
        let slots = (0..).take(self.ways.len());
        slots.filter_map(|slot| self.chain(slot))
    }

    fn chain(&self, start: u32) -> Option<String> {
        let way = self.way(start)?;
        let id = |slot: u32| Some(self.state.in_slot(slot)?.id.to_string());
        let mut words = vec![id(start)?];
        let mut at = way.next;
        while at != way.end && words.len() < LINKS_MAX {
            words.push(id(at)?);
            at = self.way(at)?.next;
        }
        let told = words.len() as u32 - 1;
        if told < way.length {
            words.push(format!("{} more", way.length - told));
        }
        words.push(id(way.end)?);
        let status = self.status(way.end)?.word();
        Some(format!("{} ({status})", words.join(" waits for ")))
    }
}

fn waits(status: Status) -> bool {
    matches!(status, Status::Pending | Status::Regressed)
}

/// From a feature down to the first one that nobody will bring to pass without help: parked,
/// skipped, or waiting for an answer. None when there is no such one.
pub fn blocking_chain(state: &State, from: FeatureId) -> Option<Vec<FeatureId>> {
    let slot = state.slot(from)?;
    let id = |slot: u32| Some(state.in_slot(slot)?.id);
    if !waits(state.in_slot(slot)?.status) {
        return None;
    }
    let chains = Chains::of(state);
    let mut chain = vec![from];
    let mut way = chains.way(slot);
    while let Some(step) = way {
        chain.push(id(step.next)?);
        way = chains.way(step.next);
    }
    (chain.len() > 1).then_some(chain)
}
