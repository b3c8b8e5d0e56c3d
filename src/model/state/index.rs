//! What follows from the state: computed once when a snapshot is read, then kept up to date.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

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

/// All that can be computed from the rest of the state.
#[derive(Clone, Debug, Default)]
pub struct Indexes {
    pub by_id: BTreeMap<FeatureId, u32>,
    pub by_name: BTreeMap<String, u32>,
    pub graph: Graph,
    pub ranks: Ranks,
    /// The graph or an estimate has changed since the ranks were computed.
    pub ranks_stale: bool,
    pub ready: BTreeSet<ReadyKey>,
    pub delayed: BTreeSet<(Timestamp, u32)>,
    pub counts: BTreeMap<Status, u32>,
    /// Passing features in no order, for drawing one at random; and where each stands in it.
    pub passing: Vec<u32>,
    passing_at: Vec<u32>,
    /// Passing features by the position of the head at which they were last proven.
    pub proven: BTreeSet<(u32, u32)>,
    unmet: Vec<u32>,
}

impl Indexes {
    pub fn unmet(&self, slot: u32) -> u32 {
        self.unmet.get(slot as usize).copied().unwrap_or(0)
    }

    /// How many features wait behind this one, each counted once.
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

    fn ready_key(&self, slot: u32) -> Option<ReadyKey> {
        Some(ReadyKey {
            terms: Reverse(self.terms_of(slot)),
            id: self.features.get(slot as usize)?.id,
            slot,
        })
    }

    /// Changes one feature, keeping every index right. All changes of features go through here.
    pub(in crate::model) fn change(&mut self, slot: u32, change: impl FnOnce(&mut Feature)) {
        self.unlist(slot);
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
        self.list(slot);
    }

    /// Takes a feature out of the ordered sets; `list` puts it back.
    fn unlist(&mut self, slot: u32) {
        let Some(feature) = self.features.get(slot as usize) else {
            return;
        };
        match feature.status {
            Status::Pending | Status::Regressed if self.indexes.unmet(slot) == 0 => {
                self.indexes.delayed.remove(&(feature.not_before, slot));
                if let Some(key) = self.ready_key(slot) {
                    self.indexes.ready.remove(&key);
                }
            }
            Status::Passing => {
                self.indexes.proven.remove(&(feature.verified, slot));
            }
            _ => {}
        }
    }

    fn list(&mut self, slot: u32) {
        let Some(feature) = self.features.get(slot as usize) else {
            return;
        };
        match feature.status {
            Status::Pending | Status::Regressed if self.indexes.unmet(slot) == 0 => {
                if feature.not_before > self.at {
                    self.indexes.delayed.insert((feature.not_before, slot));
                } else if let Some(key) = self.ready_key(slot) {
                    self.indexes.ready.insert(key);
                }
            }
            Status::Passing => {
                self.indexes.proven.insert((feature.verified, slot));
            }
            _ => {}
        }
    }

    /// Tells the dependents of a feature that it passes now, or no longer does.
    fn meet(&mut self, slot: u32, passing: bool) {
        if passing {
            self.indexes.passing_insert(slot);
        } else {
            self.indexes.passing_remove(slot);
        }
        let dependents = self.indexes.graph.dependents(slot).to_vec();
        for dependent in dependents {
            self.unlist(dependent);
            if let Some(unmet) = self.indexes.unmet.get_mut(dependent as usize) {
                *unmet = if passing {
                    unmet.saturating_sub(1)
                } else {
                    *unmet + 1
                };
            }
            self.list(dependent);
        }
    }

    /// Moves features whose wait is over to the ready ones.
    pub(in crate::model) fn promote(&mut self) {
        while let Some(&(at, slot)) = self.indexes.delayed.first()
            && at <= self.at
        {
            self.indexes.delayed.pop_first();
            if let Some(key) = self.ready_key(slot) {
                self.indexes.ready.insert(key);
            }
        }
    }

    /// Adds a feature in the next slot.
    pub(in crate::model) fn push(&mut self, feature: Feature) {
        let slot = self.indexes.graph.add();
        let depends_on = feature.spec.depends_on.clone();
        let alone = depends_on.is_empty();
        let cost = self.estimates.ms(&feature.spec.category);
        self.indexes.by_id.insert(feature.id, slot);
        let name = feature.spec.name.clone();
        self.indexes.by_name.insert(name, slot);
        self.indexes.count(feature.status, 1);
        self.indexes.unmet.push(0);
        self.indexes.passing_at.push(u32::MAX);
        self.features.push(feature);
        // A feature that waits for nothing changes nobody's rank but its own.
        let current = self.indexes.ranks.chain_ms.len() == slot as usize;
        if alone && current && !self.indexes.ranks_stale {
            self.indexes.ranks.chain_ms.push(cost);
            self.indexes.ranks.unblocks.push(0);
        } else {
            self.indexes.ranks_stale = true;
        }
        if alone {
            self.list(slot);
        } else {
            self.depend(slot, &depends_on);
        }
    }

    /// Sets what a feature in a slot waits for.
    pub(in crate::model) fn depend(&mut self, slot: u32, depends_on: &[FeatureId]) {
        self.unlist(slot);
        let on: Vec<u32> = depends_on.iter().filter_map(|&id| self.slot(id)).collect();
        self.indexes.graph.set_dependencies(slot, on);
        self.indexes.ranks_stale = true;
        self.recount(slot);
        self.list(slot);
    }

    fn recount(&mut self, slot: u32) {
        let unmet = |&&on: &&u32| {
            let feature = self.features.get(on as usize);
            feature.is_some_and(|feature| feature.status != Status::Passing)
        };
        let on = self.indexes.graph.dependencies(slot).iter();
        let count = on.filter(unmet).count() as u32;
        if let Some(unmet) = self.indexes.unmet.get_mut(slot as usize) {
            *unmet = count;
        }
    }

    /// Computes the ranks anew if the graph or an estimate has changed. To be called between
    /// applying events and planning; costs O(n + m) when something has changed, nothing otherwise.
    pub fn settle(&mut self) {
        if !self.indexes.ranks_stale {
            return;
        }
        let cost = |feature: &Feature| self.estimates.ms(&feature.spec.category);
        let costs: Vec<u64> = self.features.iter().map(cost).collect();
        self.indexes.ranks = Ranks::compute(&self.indexes.graph, &costs);
        self.indexes.ranks_stale = false;
        let slots: Vec<u32> = self.indexes.ready.iter().map(|key| key.slot).collect();
        let keys = slots.iter().filter_map(|&slot| self.ready_key(slot));
        self.indexes.ready = keys.collect();
    }

    /// Computes everything that is not stored.
    pub(super) fn rebuild(&mut self) {
        let mut indexes = Indexes::default();
        for (slot, feature) in (0_u32..).zip(&self.features) {
            indexes.graph.add();
            indexes.by_id.insert(feature.id, slot);
            if feature.status != Status::Removed {
                indexes.by_name.insert(feature.spec.name.clone(), slot);
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
            let on = feature.spec.depends_on.iter();
            let on: Vec<u32> = on.filter_map(|&id| self.slot(id)).collect();
            self.indexes.graph.set_dependencies(slot, on);
        }
        for slot in 0..slots {
            self.recount(slot);
            let passing = self.features.get(slot as usize);
            if passing.is_some_and(|feature| feature.status == Status::Passing) {
                self.indexes.passing_insert(slot);
            }
            self.list(slot);
        }
        self.settle();
    }
}
