//! The graph laid out for walking: in topological order, one component after the other.

use crate::model::graph::Graph;

/// Features by place: whatever a feature waits for has a lower place. The features of a weakly
/// connected component lie together, so that work on one never passes over the others.
pub(super) struct Order {
    /// The slot at each place. Features on a cycle or behind one have no place.
    pub(super) slots: Vec<u32>,
    /// The place of each component's first feature, by place.
    pub(super) component_start: Vec<u32>,
    /// How many features each waits for, by place.
    pub(super) dependencies: Vec<u32>,
    /// Where each place's dependents begin in `targets`; one more than there are places.
    starts: Vec<u32>,
    /// Places of dependents, by place.
    targets: Vec<u32>,
}

impl Order {
    pub(super) fn of(graph: &Graph) -> Self {
        let slots = by_component(graph, topological(graph));
        let mut place_of = vec![u32::MAX; graph.len()];
        for (place, &(slot, _)) in (0..).zip(&slots) {
            place_of[slot as usize] = place;
        }
        let mut starts = Vec::with_capacity(slots.len() + 1);
        let mut targets = Vec::with_capacity(slots.len() * 3);
        starts.push(0);
        for &(slot, _) in &slots {
            let places = graph
                .dependents(slot)
                .iter()
                .map(|&slot| place_of[slot as usize]);
            targets.extend(places.filter(|&place| place != u32::MAX));
            starts.push(targets.len() as u32);
        }
        Self {
            dependencies: slots
                .iter()
                .map(|&(slot, _)| graph.dependencies(slot).len() as u32)
                .collect(),
            component_start: slots.iter().map(|&(_, start)| start).collect(),
            slots: slots.into_iter().map(|(slot, _)| slot).collect(),
            starts,
            targets,
        }
    }

    /// Places of the features that wait for the one at `place`; each is greater.
    pub(super) fn dependents(&self, place: usize) -> &[u32] {
        &self.targets[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// Slots such that dependencies come first, as near to breadth first as that allows (Kahn).
fn topological(graph: &Graph) -> Vec<u32> {
    let slots = || (0..).take(graph.len());
    let mut waits: Vec<u32> = slots()
        .map(|slot| graph.dependencies(slot).len() as u32)
        .collect();
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

/// The same order within each component, the components one after the other; with each slot, the
/// place of its component's first.
fn by_component(graph: &Graph, order: Vec<u32>) -> Vec<(u32, u32)> {
    let mut parent: Vec<u32> = (0..).take(graph.len()).collect();
    let mut components = order.len();
    for &slot in &order {
        for &other in graph.dependencies(slot) {
            let (a, b) = (root(&mut parent, slot), root(&mut parent, other));
            if a != b {
                parent[a.max(b) as usize] = a.min(b);
                components -= 1;
            }
        }
    }
    if components == 1 {
        return order.into_iter().map(|slot| (slot, 0)).collect();
    }
    let mut starts = vec![0u32; graph.len()];
    for &slot in &order {
        starts[root(&mut parent, slot) as usize] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        let size = std::mem::replace(start, sum);
        sum += size;
    }
    let mut ends = starts.clone();
    let mut placed = vec![(0, 0); order.len()];
    for slot in order {
        let component = root(&mut parent, slot) as usize;
        placed[ends[component] as usize] = (slot, starts[component]);
        ends[component] += 1;
    }
    placed
}

/// The representative of `slot`'s component, shortening the way to it.
fn root(parent: &mut [u32], mut slot: u32) -> u32 {
    while parent[slot as usize] != slot {
        let above = parent[parent[slot as usize] as usize];
        parent[slot as usize] = above;
        slot = above;
    }
    slot
}
