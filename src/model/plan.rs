//! Plans what the scheduler does next.
//!
//! One command at a time: it is decided like every other, and the next one is planned when its
//! events are applied. Work comes before tests, and the end when both are done.

mod missing_workers;
mod testing;
pub mod trouble;

use std::collections::{BTreeMap, BTreeSet};

pub use self::missing_workers::{Crash, WorkerWait};
use super::command::{Command, RUNNERS_UP_MAX};
use super::ending;
use super::event::RankTerms;
use super::ids::{AttemptId, FeatureId, Sequence, Timestamp, WorkerId};
use super::load::Load;
use super::profile::ProfileName;
use super::remaining::{may_use, starts};
use super::settings::WorkerKind;
use super::state::State;

/// A source of random numbers; the runtime's is seeded.
pub trait Entropy {
    /// A number, each equally likely.
    fn next(&mut self) -> u64;
}

/// What the plan needs to know and the log does not contain.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Connected workers that asked for a job, in the order of asking.
    pub idle: BTreeMap<u64, (WorkerId, WorkerKind)>,
    /// Nothing new may start: the process is ending.
    pub draining: bool,
    /// The run stays open when everything is done, for features that are added later.
    pub stay: bool,
    /// Kinds of workers that work waits for and that are missing.
    pub missing_workers: BTreeMap<WorkerKind, WorkerWait>,
    /// Kinds whose workers fail whenever they are started.
    pub crashing: BTreeMap<WorkerKind, Crash>,
    /// Milliseconds for which only a problem that a person may have to fix has held the workers up;
    /// `None` without one, or while something else does.
    pub troubled_ms: Option<u64>,
    /// Profiles whose agents are let out one at a time, because nobody knows whether they can work.
    pub probing: BTreeMap<ProfileName, Probing>,
}

/// Agents of a profile are let out one at a time.
#[derive(Clone, Debug)]
pub struct Probing {
    /// Attempts that began after this event show it.
    pub since: Sequence,
    /// Those whose agent has shown that it works.
    pub answered: BTreeSet<AttemptId>,
    /// Nobody doubts the provider: only the first agent is to start before the others.
    pub start: bool,
}

impl World {
    /// The agent for a job of this kind: the first in the order of preference that its provider
    /// allows, unless one was let out to see whether it works and has not answered yet.
    fn agent(&self, state: &State, now: Timestamp, kind: WorkerKind) -> Option<ProfileName> {
        for profile in state.profiles.of(kind) {
            let probing = self.probing.get(profile).filter(|probing| {
                let mut open = state.open_agents(profile, probing.since);
                open.any(|attempt| !probing.answered.contains(&attempt))
            });
            match probing {
                // Seconds later it is known, and the others follow with the preferred one.
                Some(probing) if probing.start => return None,
                Some(_) => {}
                None if may_use(state, now, profile) => return Some(profile.clone()),
                None => {}
            }
        }
        None
    }
}

/// The next command, and when to plan again if nothing happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The command; `None` if nothing can be done now.
    pub command: Option<Command>,
    /// Ask again at this time.
    pub wake_at: Option<Timestamp>,
}

/// What to do next. The state must be settled.
pub fn plan(state: &State, now: Timestamp, world: &World, entropy: &mut dyn Entropy) -> Plan {
    let now = state.time(now);
    let wake_at = wake_at(state, now, world);
    let command = next(state, now, world, entropy);
    Plan { command, wake_at }
}

fn next(
    state: &State,
    now: Timestamp,
    world: &World,
    entropy: &mut dyn Entropy,
) -> Option<Command> {
    state.open_run()?;
    if world.draining {
        return None;
    }
    if starts(state, now) {
        if let Some(command) = coding(state, now, world) {
            return Some(command);
        }
        if let Some(command) = testing::testing(state, now, world, entropy) {
            return Some(command);
        }
    }
    finish(state, now, world)
}

fn wake_at(state: &State, now: Timestamp, world: &World) -> Option<Timestamp> {
    state.open_run()?;
    let delayed = state.delayed().next().map(|(at, _)| at);
    let outages = state.outages().filter(|(_, outage)| outage.ends());
    let outages = outages.map(|(_, outage)| outage.until);
    let troubled = state.troubled.as_ref().map(|trouble| trouble.until);
    let idle = world.idle.values();
    let idle = idle.filter_map(|(worker, _)| state.workers().get(worker));
    let rests = idle.filter(|worker| !worker.is_suspended());
    let rests = rests.map(|worker| worker.cooldown_until(&state.settings));
    let later = [delayed, troubled].into_iter().flatten();
    let later = later.chain(outages).chain(rests);
    later.filter(|&at| at > now).min()
}

fn idle(state: &State, now: Timestamp, world: &World, kind: WorkerKind) -> Option<WorkerId> {
    let of_kind = |(worker, its): &(WorkerId, WorkerKind)| {
        let known = state.workers().get(worker);
        let free = known.is_some_and(|known| {
            let rested = !known.is_suspended() && known.cooldown_until(&state.settings) <= now;
            known.kind == kind && known.attempt.is_none() && rested
        });
        (*its == kind && free).then_some(*worker)
    };
    world.idle.values().find_map(of_kind)
}

/// Features that may be tried now, best first: the ready ones, and among them those whose wait
/// has ended since the last event.
fn candidates(state: &State, now: Timestamp, count: usize) -> (Vec<(FeatureId, RankTerms)>, u32) {
    let due: Vec<FeatureId> = state
        .delayed()
        .take_while(|&(at, _)| at <= now)
        .map(|(_, id)| id)
        .collect();
    let total = (state.ready_count() + due.len()) as u32;
    let mut best: Vec<(FeatureId, RankTerms)> = state.ready().take(count).collect();
    best.extend(due.iter().filter_map(|&id| Some((id, state.terms(id)?))));
    best.sort_by_key(|&(id, terms)| (std::cmp::Reverse(terms), id));
    best.truncate(count);
    (best, total)
}

fn coding(state: &State, now: Timestamp, world: &World) -> Option<Command> {
    let full = state.open_attempts(WorkerKind::Coding) >= state.settings.max_concurrency;
    if full {
        return None;
    }
    let profile = world.agent(state, now, WorkerKind::Coding)?;
    let worker = idle(state, now, world, WorkerKind::Coding)?;
    let batch = state.settings.batch_size as usize;
    let (best, ready) = trouble::candidates(state, now, &profile, batch + RUNNERS_UP_MAX);
    let (&(first, terms), others) = best.split_first()?;
    let mut features = vec![first];
    let mut load = Load::default();
    // A feature that failed before is tried by itself, so that it takes no other feature down with
    // it.
    let mut joins = |id: FeatureId| {
        let feature = state.feature(id);
        let fresh = feature.filter(|it| {
            let blank = it.failures == 0 && it.lost_streak == 0 && it.troubled == 0;
            blank && !it.regressed
        });
        fresh.is_some_and(|it| load.add(&it.spec))
    };
    if batch > 1 && joins(first) {
        let fresh = others.iter().map(|&(id, _)| id).filter(|&id| joins(id));
        features.extend(fresh.take(batch - 1));
    }
    let runners_up = others.iter().filter(|(id, _)| !features.contains(id));
    let runners_up = runners_up.take(RUNNERS_UP_MAX).copied().collect();
    Some(Command::Assign {
        worker,
        features,
        profile,
        terms,
        runners_up,
        ready,
    })
}

fn finish(state: &State, now: Timestamp, world: &World) -> Option<Command> {
    if world.stay {
        return None;
    }
    let (outcome, reason) = ending::due(state)
        .or_else(|| missing_workers::due(state, now, world))
        .or_else(|| trouble::due(state, world))?;
    Some(Command::FinishRun { outcome, reason })
}
