use proptest::prelude::*;

use super::Ranks;
use crate::model::graph::Graph;
use crate::model::graph::oracle::{Edges, acyclic};

/// Longest chains by trying every way: exponential, with no memory of anything.
fn slow_chain(edges: &Edges, cost_ms: &[u64], slot: u32) -> u64 {
    let behind = edges.edges.iter().filter(|(_, on)| *on == slot);
    let longest = behind
        .map(|(from, _)| slow_chain(edges, cost_ms, *from))
        .max();
    longest.unwrap_or(0).saturating_add(cost_ms[slot as usize])
}

fn slow_unblocks(edges: &Edges) -> Vec<u32> {
    let reach = edges.closure();
    let count = edges.count as usize;
    (0..count)
        .map(|slot| (0..count).filter(|&other| reach[other][slot]).count() as u32)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_those_of_the_closure(edges in acyclic(60)) {
        let ranks = Ranks::compute(&edges.graph(), &[]);
        prop_assert_eq!(ranks.unblocks, slow_unblocks(&edges));
        prop_assert_eq!(ranks.chain_ms, vec![0; edges.count as usize]);
    }

    #[test]
    fn chains_are_the_longest_of_all_ways(edges in acyclic(14), seed in prop::collection::vec(prop_oneof![0u64..1000, Just(u64::MAX)], 14)) {
        let ranks = Ranks::compute(&edges.graph(), &seed);
        let slow: Vec<u64> = (0..edges.count).map(|slot| slow_chain(&edges, &seed, slot)).collect();
        prop_assert_eq!(ranks.chain_ms, slow);
    }
}

fn _unused(_: &Graph) {}
