//! The dependency graph of features.
//!
//! Features are identified by their slot: a dense number from 0, assigned in order of addition and
//! never reused, so that everything about features is in plain vectors.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod cycle;
mod list;
#[cfg(test)]
pub(in crate::model) mod oracle;
#[cfg(test)]
mod tests;

use list::List;

/// The dependency graph, stored in both directions. It accepts every change: [`Graph::cycle_with`]
/// tells beforehand whether one is allowed.
///
/// A slot that does not exist has no dependencies and no dependents, and setting its dependencies
/// does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    dependencies: Vec<List>,
    dependents: Vec<List>,
}

impl Graph {
    /// Number of slots.
    pub fn len(&self) -> usize {
        self.dependencies.len()
    }

    /// True if there is no slot yet.
    pub fn is_empty(&self) -> bool {
        self.dependencies.is_empty()
    }

    /// Adds a feature that depends on nothing and returns its slot.
    pub fn add(&mut self) -> u32 {
        let slot = self.dependencies.len();
        self.dependencies.push(List::default());
        self.dependents.push(List::default());
        u32::try_from(slot).unwrap_or(u32::MAX)
    }

    /// What `slot` waits for, ascending.
    pub fn dependencies(&self, slot: u32) -> &[u32] {
        self.dependencies
            .get(slot as usize)
            .map_or(&[], List::as_slice)
    }

    /// What waits for `slot`, ascending.
    pub fn dependents(&self, slot: u32) -> &[u32] {
        self.dependents
            .get(slot as usize)
            .map_or(&[], List::as_slice)
    }

    /// Sets the dependencies of `slot` to exactly `on`, in any order, repeats allowed. Missing
    /// slots, and `slot` itself, are left out.
    ///
    /// Touches only what differs, at the cost of the touched slots' degrees; appending a slot that
    /// is greater than every dependent so far, like a new one, is free.
    pub fn set_dependencies(&mut self, slot: u32, mut on: Vec<u32>) {
        let count = self.dependencies.len();
        let Some(held) = self.dependencies.get_mut(slot as usize) else {
            return;
        };
        on.retain(|&other| (other as usize) < count && other != slot);
        on.sort_unstable();
        on.dedup();
        let before = std::mem::replace(held, List::from_sorted(on));
        let (old, new) = (before.as_slice(), held.as_slice());
        for gone in old
            .iter()
            .filter(|&other| new.binary_search(other).is_err())
        {
            if let Some(dependents) = self.dependents.get_mut(*gone as usize) {
                dependents.remove(slot);
            }
        }
        for come in new
            .iter()
            .filter(|&other| old.binary_search(other).is_err())
        {
            if let Some(dependents) = self.dependents.get_mut(*come as usize) {
                dependents.insert(slot);
            }
        }
    }

    /// Removes all edges of `slot`, as when a feature is removed. Returns the slots that waited for
    /// it, ascending. Costs the sum of its neighbours' degrees; [`Graph::set_dependencies`] would
    /// cost their square.
    pub fn isolate(&mut self, slot: u32) -> Vec<u32> {
        self.set_dependencies(slot, Vec::new());
        let Some(dependents) = self.dependents.get_mut(slot as usize) else {
            return Vec::new();
        };
        let waited = std::mem::take(dependents).into_vec();
        for &dependent in &waited {
            if let Some(dependencies) = self.dependencies.get_mut(dependent as usize) {
                dependencies.remove(slot);
            }
        }
        waited
    }
}

// One direction is enough; the other is rebuilt, so that they cannot contradict each other.
impl Serialize for Graph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.dependencies.iter().map(List::as_slice))
    }
}

impl<'de> Deserialize<'de> for Graph {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lists = Vec::<Vec<u32>>::deserialize(deserializer)?;
        let mut graph = Self {
            dependencies: vec![List::default(); lists.len()],
            dependents: vec![List::default(); lists.len()],
        };
        for (slot, on) in (0..).zip(lists) {
            graph.set_dependencies(slot, on);
        }
        Ok(graph)
    }
}
