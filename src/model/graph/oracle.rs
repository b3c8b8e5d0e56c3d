//! Small random graphs, and slow answers about them that are computed in another way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::Graph;

/// The edges `(feature, what it depends on)` of a graph, and how many features there are.
#[derive(Clone, Debug)]
pub(in crate::model) struct Edges {
    pub(in crate::model) count: u32,
    pub(in crate::model) edges: BTreeSet<(u32, u32)>,
}

impl Edges {
    pub(in crate::model) fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for _ in 0..self.count {
            graph.add();
        }
        for slot in 0..self.count {
            graph.set_dependencies(slot, self.of(slot));
        }
        graph
    }

    pub(in crate::model) fn of(&self, slot: u32) -> Vec<u32> {
        let edges = self.edges.iter().filter(|(from, _)| *from == slot);
        edges.map(|&(_, to)| to).collect()
    }

    /// `[v][w]`: is there a path from `v` along the dependencies to `w`, of at least one edge?
    /// Warshall's algorithm: cubic, and correct with cycles, too.
    pub(in crate::model) fn closure(&self) -> Vec<Vec<bool>> {
        let count = self.count as usize;
        let mut reach = vec![vec![false; count]; count];
        for &(from, to) in &self.edges {
            reach[from as usize][to as usize] = true;
        }
        for via in 0..count {
            for from in 0..count {
                for to in 0..count {
                    reach[from][to] |= reach[from][via] && reach[via][to];
                }
            }
        }
        reach
    }
}

/// Up to `most` features in random order, sparse to dense.
pub(in crate::model) fn acyclic(most: u32) -> impl Strategy<Value = Edges> {
    let pairs = prop_oneof![1usize..20, 1usize..80, 1usize..400];
    (1..=most, pairs)
        .prop_flat_map(|(count, pairs)| {
            let order = Just((0..count).collect::<Vec<u32>>()).prop_shuffle();
            let edges = prop::collection::vec((0..count, 0..count), 0..pairs);
            (Just(count), order, edges)
        })
        .prop_map(|(count, order, pairs)| {
            let forward = pairs.into_iter().filter(|(from, to)| from != to);
            let edges = forward.map(|(from, to)| {
                let (early, late) = (from.min(to) as usize, from.max(to) as usize);
                (order[late], order[early])
            });
            let edges = edges.collect();
            Edges { count, edges }
        })
}
