//! Indexes that follow from the state: computed once when a snapshot is read, then kept up to date.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;
use super::{Feature, State};
use crate::model::event::RankTerms;
use crate::model::feature::Status;
use crate::model::graph::Graph;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::rank::Ranks;

/// The order of the ready features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadyKey {
    pub terms: Reverse<RankTerms>,
    pub id: FeatureId,
    pub slot: u32,
}

/// The place of a feature in the ordered sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the set of features that can be worked on now.
    Ready(ReadyKey),
    /// In the set of those that only wait for their next try.
    Delayed((Timestamp, u32)),
    /// In the set of passing features.
    Proven((u32, u32)),
    /// In none of the indexes.
    Nowhere,
}

/// Everything that can be computed from the rest of the state.
#[derive(Clone, Debug, Default)]
pub struct Indexes {
    /// Slots by number, which is small enough for a vector; [`Indexes::NONE`] for a missing one.
    by_id: Vec<u32>,
    pub names: Names,
    pub graph: Graph,
    pub ranks: Ranks,
    /// The graph or an estimate has changed since the ranks were computed.
    pub ranks_stale: bool,
    pub ready: BTreeSet<ReadyKey>,
    pub delayed: BTreeSet<(Timestamp, u32)>,
    pub counts: BTreeMap<Status, u32>,
    /// Passing features in no order, for drawing one at random; and the position of each.
    pub passing: Vec<u32>,
    passing_at: Vec<u32>,
    /// Passing features by the position of the head at which they were last verified.
    pub proven: BTreeSet<(u32, u32)>,
    unmet: Vec<u32>,
}

impl Indexes {
    const NONE: u32 = u32::MAX;

    /// The slot of the feature with this number.
    pub fn slot(&self, id: FeatureId) -> Option<u32> {
        let slot = self.by_id.get(id.0 as usize).copied();
        slot.filter(|&slot| slot != Self::NONE)
    }

    fn number(&mut self, id: FeatureId, slot: u32) {
        let at = id.0 as usize;
        if at >= self.by_id.len() && id.0 <= FeatureId::MAX {
            self.by_id.resize(at + 1, Self::NONE);
        }
        if let Some(place) = self.by_id.get_mut(at) {
            *place = slot;
        }
    }

    pub fn unmet(&self, slot: u32) -> u32 {
        if planted!(DependencyIgnored) {
            return 0;
        }
        self.unmet.get(slot as usize).copied().unwrap_or(0)
    }

    /// Number of features that wait behind this one, each counted once.
    pub fn unblocks(&self, slot: u32) -> u32 {
        let known = self.ranks.unblocks.get(slot as usize);
        known.copied().unwrap_or(0)
    }

    fn count(&mut self, status: Status, change: i32) {
        let count = self.counts.entry(status).or_default();
        *count = count.saturating_add_signed(change);
    }

    fn passing_insert(&mut self, slot: u32) {
        let at = self.passing.len() as u32;
        self.passing.push(slot);
        if let Some(place) = self.passing_at.get_mut(slot as usize) {
            *place = at;
        }
    }

    fn passing_remove(&mut self, slot: u32) {
        let Some(&at) = self.passing_at.get(slot as usize) else {
            return;
        };
        if self.passing.get(at as usize) != Some(&slot) {
            return;
        }
        self.passing.swap_remove(at as usize);
        if let Some(&moved) = self.passing.get(at as usize)
            && let Some(place) = self.passing_at.get_mut(moved as usize)
        {
            *place = at;
        }
    }
}

impl State {
    pub(in crate::model) fn terms_of(&self, slot: u32) -> RankTerms {
        let feature = self.features.get(slot as usize);
        let ranks = &self.indexes.ranks;
        let chain_ms = ranks.chain_ms.get(slot as usize).copied();
        RankTerms {
            regressed: feature.is_some_and(|feature| feature.regressed),
            chain_ms: chain_ms.unwrap_or(0),
            unblocks: self.indexes.unblocks(slot),
            priority: feature.map_or(0, |feature| feature.spec.priority),
        }
    }

    /// Changes one feature, keeping every index right. All changes of features go through here.
    pub(in crate::model) fn change(&mut self, slot: u32, change: impl FnOnce(&mut Feature)) {
        let place = self.place(slot);
        let Some(feature) = self.features.get_mut(slot as usize) else {
            return;
        };
        let before = feature.status;
        change(feature);
        let after = feature.status;
        if before != after {
            self.indexes.count(before, -1);
            self.indexes.count(after, 1);
            match (before == Status::Passing, after == Status::Passing) {
                (false, true) => self.meet(slot, true),
                (true, false) => self.meet(slot, false),
                _ => {}
            }
        }
        self.move_from(place, slot);
    }

    /// Which ordered set a feature belongs to, and where. It follows from the state alone, so the
    /// place before a change is where the feature still is.
    fn place(&self, slot: u32) -> Place {
        let Some(feature) = self.features.get(slot as usize) else {
            return Place::Nowhere;
        };
        match feature.status {
            Status::Pending | Status::Regressed if self.indexes.unmet(slot) > 0 => Place::Nowhere,
            Status::Pending | Status::Regressed if feature.not_before > self.at => {
                Place::Delayed((feature.not_before, slot))
            }
            Status::Pending | Status::Regressed => Place::Ready(ReadyKey {
                terms: Reverse(self.terms_of(slot)),
                id: feature.id,
                slot,
            }),
            Status::Passing => Place::Proven((feature.verified, slot)),
            _ => Place::Nowhere,
        }
    }

    /// Moves a feature from its place before a change to its place after it.
    fn move_from(&mut self, before: Place, slot: u32) {
        let after = self.place(slot);
        if before == after {
            return;
        }
        let indexes = &mut self.indexes;
        match before {
            Place::Ready(key) => indexes.ready.remove(&key),
            Place::Delayed(key) => indexes.delayed.remove(&key),
            Place::Proven(key) => indexes.proven.remove(&key),
            Place::Nowhere => false,
        };
        match after {
            Place::Ready(key) => indexes.ready.insert(key),
            Place::Delayed(key) => indexes.delayed.insert(key),
            Place::Proven(key) => indexes.proven.insert(key),
            Place::Nowhere => false,
        };
    }

    /// Updates the dependents of a feature that now passes, or no longer does.
    fn meet(&mut self, slot: u32, passing: bool) {
        if passing {
            self.indexes.passing_insert(slot);
        } else {
            self.indexes.passing_remove(slot);
        }
        let mut next = 0;
        while let Some(&dependent) = self.indexes.graph.dependents(slot).get(next) {
            next += 1;
            let place = self.place(dependent);
            if let Some(unmet) = self.indexes.unmet.get_mut(dependent as usize) {
                *unmet = if passing {
                    unmet.saturating_sub(1)
                } else {
                    *unmet + 1
                };
            }
            self.move_from(place, dependent);
        }
    }

    /// Moves features whose wait is over to the ready ones.
    pub(in crate::model) fn promote(&mut self) {
        while let Some(&(at, slot)) = self.indexes.delayed.first()
            && at <= self.at
        {
            self.indexes.delayed.pop_first();
            self.move_from(Place::Nowhere, slot);
        }
    }

    /// Adds a feature in the next slot.
    pub(in crate::model) fn push(&mut self, feature: Feature) {
        let on = self.slots(&feature.spec.depends_on);
        let unmet = on.iter().filter(|&&on| !self.passes(on)).count();
        let cost = self.estimates.ms(&feature.spec.category);
        let indexes = &mut self.indexes;
        let slot = indexes.graph.add();
        indexes.number(feature.id, slot);
        indexes.names.insert(&feature.spec.name, slot);
        indexes.count(feature.status, 1);
        indexes.unmet.push(u32::try_from(unmet).unwrap_or(u32::MAX));
        indexes.passing_at.push(u32::MAX);
        // A feature without dependencies changes only its own rank.
        let current = indexes.ranks.chain_ms.len() == slot as usize;
        if on.is_empty() && current && !indexes.ranks_stale {
            indexes.ranks.chain_ms.push(cost);
            indexes.ranks.unblocks.push(0);
        } else {
            indexes.ranks_stale = true;
        }
        indexes.graph.set_dependencies(slot, on);
        self.features.push(feature);
        self.move_from(Place::Nowhere, slot);
    }

    fn slots(&self, features: &[FeatureId]) -> Vec<u32> {
        features.iter().filter_map(|&id| self.slot(id)).collect()
    }

    fn passes(&self, slot: u32) -> bool {
        let feature = self.features.get(slot as usize);
        feature.is_some_and(|feature| feature.status == Status::Passing)
    }

    /// Sets the dependencies of a feature in a slot.
    pub(in crate::model) fn depend(&mut self, slot: u32, depends_on: &[FeatureId]) {
        let on = self.slots(depends_on);
        let place = self.place(slot);
        self.indexes.graph.set_dependencies(slot, on);
        self.indexes.ranks_stale = true;
        self.recount(slot);
        self.move_from(place, slot);
    }

    /// Removes a feature from the graph: it waits for nothing, and nothing waits for it. Returns
    /// the slots that did.
    pub(in crate::model) fn isolate(&mut self, slot: u32) -> Vec<u32> {
        let place = self.place(slot);
        let waited = self.indexes.graph.isolate(slot);
        self.indexes.ranks_stale = true;
        self.recount(slot);
        self.move_from(place, slot);
        let met = self.passes(slot);
        for &dependent in waited.iter().filter(|_| !met) {
            let place = self.place(dependent);
            if let Some(unmet) = self.indexes.unmet.get_mut(dependent as usize) {
                *unmet = unmet.saturating_sub(1);
            }
            self.move_from(place, dependent);
        }
        waited
    }

    fn recount(&mut self, slot: u32) {
        let on = self.indexes.graph.dependencies(slot).iter();
        let count = on.filter(|&&on| !self.passes(on)).count() as u32;
        if let Some(unmet) = self.indexes.unmet.get_mut(slot as usize) {
            *unmet = count;
        }
    }

    /// Computes the ranks again if the graph or an estimate has changed. Call it between applying
    /// events and planning; costs O(n + m) after a change, nothing otherwise.
    pub fn settle(&mut self) {
        if !self.indexes.ranks_stale {
            return;
        }
        let cost = |feature: &Feature| self.estimates.ms(&feature.spec.category);
        let costs: Vec<u64> = self.features.iter().map(cost).collect();
        self.indexes.ranks = Ranks::compute(&self.indexes.graph, &costs);
        self.indexes.ranks_stale = false;
        let ready = std::mem::take(&mut self.indexes.ready);
        for key in ready {
            self.move_from(Place::Nowhere, key.slot);
        }
    }

    /// Computes everything that is not stored.
    pub(super) fn rebuild(&mut self) {
        let mut indexes = Indexes::default();
        for (slot, feature) in (0_u32..).zip(&self.features) {
            indexes.graph.add();
            indexes.number(feature.id, slot);
            if feature.status != Status::Removed {
                indexes.names.insert(&feature.spec.name, slot);
            }
            indexes.count(feature.status, 1);
            indexes.unmet.push(0);
            indexes.passing_at.push(u32::MAX);
        }
        self.indexes = indexes;
        self.indexes.ranks_stale = true;
        let slots = self.features.len() as u32;
        for slot in 0..slots {
            let Some(feature) = self.features.get(slot as usize) else {
                continue;
            };
            let on = self.slots(&feature.spec.depends_on);
            self.indexes.graph.set_dependencies(slot, on);
        }
        for slot in 0..slots {
            self.recount(slot);
            if self.passes(slot) {
                self.indexes.passing_insert(slot);
            }
            self.move_from(Place::Nowhere, slot);
        }
        self.settle();
    }
}
