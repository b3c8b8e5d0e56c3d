//! The order of ready features, as far as it follows from the graph and the estimates.

use super::graph::Graph;

mod blocks;
mod columns;
mod order;
mod reach;
#[cfg(test)]
mod tests;

use columns::Columns;
use order::Order;

/// The part of the ranks that depends only on the graph and the expected durations, by slot. It
/// does not depend on any status, because everything that waits behind an unpassed feature is
/// unpassed, too; so it is computed when the graph or the estimates change, and not per event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranks {
    /// Expected milliseconds of the longest chain of features that begins with this one: its own
    /// cost and the greatest chain among its direct dependents. Saturating.
    pub chain_ms: Vec<u64>,
    /// Number of other features that wait for this one, directly or not, each counted once.
    pub unblocks: Vec<u32>,
}

impl Ranks {
    /// Ranks every slot of `graph`. `cost_ms` has the expected milliseconds by slot; a missing one
    /// counts as 0.
    ///
    /// A graph cannot have cycles. If one had, the features on it and behind it would be ranked by
    /// their own cost, as if nothing waited for them.
    pub fn compute(graph: &Graph, cost_ms: &[u64]) -> Self {
        let order = Order::of(graph);
        let cost = |slot: u32| cost_ms.get(slot as usize).copied().unwrap_or(0);
        let mut chain_ms: Vec<u64> = (0..).take(graph.len()).map(cost).collect();
        for (place, &slot) in order.slots.iter().enumerate().rev() {
            let dependents = order.dependents(place).iter();
            let behind = dependents.map(|&place| chain_ms[order.slots[place as usize] as usize]);
            let behind = behind.max().unwrap_or(0);
            let chain = &mut chain_ms[slot as usize];
            *chain = chain.saturating_add(behind);
        }
        let counts = reach::count(&Columns::of(&order));
        let mut unblocks = vec![0; graph.len()];
        for (&slot, count) in order.slots.iter().zip(counts) {
            unblocks[slot as usize] = count;
        }
        Self { chain_ms, unblocks }
    }
}
