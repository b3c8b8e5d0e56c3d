//! The graph in topological order, in flat vectors.

use crate::model::graph::Graph;

/// A feature with more dependents than this is worth searching for shortcuts: the skeleton of a
/// project, on which everything depends, mostly through other features, too.
const HUB: usize = 64;
/// Features with more dependencies than this are skipped, because each search costs that much.
const LOOKS: usize = 64;

/// Features by place: a feature's dependencies have lower places.
///
/// A shortcut is a dependency that also follows from another one. It changes neither who reaches
/// whom nor the longest chain, only the amount of counting; shortcuts to hubs are left out.
pub(super) struct Order {
    /// The slot at each place. Features on a cycle or behind one have no place.
    pub(super) slots: Vec<u32>,
    /// Number of dependencies of each, without shortcuts, by place.
    pub(super) dependencies: Vec<u32>,
    /// Where each place's dependents begin in `targets`; one more entry than places.
    starts: Vec<u32>,
    /// Places of dependents, without shortcuts, by place.
    targets: Vec<u32>,
}

impl Order {
    pub(super) fn of(graph: &Graph) -> Self {
        let slots = topological(graph);
        let mut place_of = vec![u32::MAX; graph.len()];
        for (place, &slot) in (0..).zip(&slots) {
            place_of[slot as usize] = place;
        }
        let waits = |&slot: &u32| graph.dependencies(slot).len() as u32;
        let mut dependencies: Vec<u32> = slots.iter().map(waits).collect();
        let mut starts = Vec::with_capacity(slots.len() + 1);
        let mut targets = Vec::with_capacity(slots.len() * 3);
        starts.push(0);
        for &slot in &slots {
            let dependents = graph.dependents(slot);
            let hub = dependents.len() > HUB;
            for &dependent in dependents {
                let place = place_of[dependent as usize];
                if place == u32::MAX {
                    continue;
                }
                if hub && is_shortcut(graph, slot, dependent) {
                    dependencies[place as usize] -= 1;
                } else {
                    targets.push(place);
                }
            }
            starts.push(targets.len() as u32);
        }
        Self {
            slots,
            dependencies,
            starts,
            targets,
        }
    }

    /// Places of the dependents of the feature at `place`; each is greater.
    pub(super) fn dependents(&self, place: usize) -> &[u32] {
        &self.targets[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// True if `slot` also waits for `hub` through another of its dependencies.
fn is_shortcut(graph: &Graph, hub: u32, slot: u32) -> bool {
    let via = graph.dependencies(slot);
    // A later place was added later and is the likeliest.
    let by_way = |&via: &u32| graph.dependencies(via).binary_search(&hub).is_ok();
    via.len() <= LOOKS && via.iter().rev().any(by_way)
}

/// Slots in an order in which dependencies come first.
fn topological(graph: &Graph) -> Vec<u32> {
    let slots = || (0..).take(graph.len());
    // Most backlogs were added in such an order, and their author's order keeps related features
    // together.
    if slots().all(|slot| graph.dependencies(slot).last() < Some(&slot)) {
        return slots().collect();
    }
    // Otherwise nearly breadth-first (Kahn's algorithm).
    let waits = |slot: u32| graph.dependencies(slot).len() as u32;
    let mut waits: Vec<u32> = slots().map(waits).collect();
    let mut order: Vec<u32> = Vec::with_capacity(graph.len());
    order.extend(slots().filter(|&slot: &u32| waits[slot as usize] == 0));
    let mut next = 0;
    while let Some(&slot) = order.get(next) {
        next += 1;
        for &dependent in graph.dependents(slot) {
            waits[dependent as usize] -= 1;
            if waits[dependent as usize] == 0 {
                order.push(dependent);
            }
        }
    }
    order
}
