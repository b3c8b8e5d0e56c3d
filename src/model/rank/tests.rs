use proptest::prelude::*;

use super::Ranks;
use crate::model::graph::Graph;
use crate::model::graph::oracle::{Edges, acyclic};

/// Longest chains by trying every path: exponential, without a cache.
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

const DEEP: u32 = 100_000;

fn graph(count: u32, on: impl Fn(u32) -> Vec<u32>) -> Graph {
    let mut graph = Graph::default();
    for _ in 0..count {
        let slot = graph.add();
        graph.set_dependencies(slot, on(slot));
    }
    graph
}

#[test]
fn a_deep_chain_overflows_nothing() {
    let chain = graph(DEEP, |slot| slot.checked_sub(1).into_iter().collect());
    let ranks = Ranks::compute(&chain, &vec![3; DEEP as usize]);
    assert!((0..DEEP).eq(ranks.unblocks.iter().rev().copied()));
    assert!(
        (1..=u64::from(DEEP))
            .map(|length| length * 3)
            .eq(ranks.chain_ms.into_iter().rev())
    );
}

#[test]
fn a_ladder_with_two_to_the_fifty_thousandth_paths_counts_each_once() {
    let ladder = graph(DEEP, |slot| match (slot / 2).checked_sub(1) {
        Some(rung) => vec![rung * 2, rung * 2 + 1],
        None => Vec::new(),
    });
    let ranks = Ranks::compute(&ladder, &vec![1; DEEP as usize]);
    for slot in 0..DEEP {
        assert_eq!(ranks.unblocks[slot as usize], DEEP - 2 - slot / 2 * 2);
        assert_eq!(
            ranks.chain_ms[slot as usize],
            u64::from(DEEP / 2 - slot / 2)
        );
    }
}

#[test]
fn one_root_under_everything_is_counted_once() {
    let wide = graph(2_000, |slot| match slot {
        0 => Vec::new(),
        1..1_000 => vec![0],
        _ => vec![0, 1 + slot % 999, 1 + (slot * 7) % 999],
    });
    assert_eq!(Ranks::compute(&wide, &[]).unblocks[0], 1_999);
}

#[test]
fn missing_and_huge_costs_are_taken_as_they_come() {
    let chain = graph(4, |slot| slot.checked_sub(1).into_iter().collect());
    let ranks = Ranks::compute(&chain, &[1, u64::MAX, 5]);
    assert_eq!(ranks.chain_ms, [u64::MAX, u64::MAX, 5, 0]);
    assert_eq!(Ranks::compute(&Graph::default(), &[1]), Ranks::default());
}

#[test]
fn even_an_impossible_cycle_ends() {
    let mut cyclic = graph(5, |slot| slot.checked_sub(1).into_iter().collect());
    cyclic.set_dependencies(1, vec![0, 3]);
    let ranks = Ranks::compute(&cyclic, &[2; 5]);
    assert_eq!(
        ranks,
        Ranks {
            chain_ms: vec![2; 5],
            unblocks: vec![0; 5]
        }
    );
}

/// Counts by walking from every feature separately.
fn walked(graph: &Graph) -> Vec<u32> {
    let count = graph.len();
    let mut seen = vec![u32::MAX; count];
    let mut stack = Vec::new();
    let from = |slot: u32| {
        let mut found = 0;
        stack.push(slot);
        while let Some(at) = stack.pop() {
            for &next in graph.dependents(at) {
                if seen[next as usize] != slot {
                    seen[next as usize] = slot;
                    stack.push(next);
                    found += 1;
                }
            }
        }
        found
    };
    (0..count as u32).map(from).collect()
}

/// Several blocks of columns, of all weights, near and far from the rows that reach them.
#[test]
fn counts_are_right_across_blocks() {
    for seed in [1u64, 2, 3, 4] {
        let mut state = seed;
        let mut below = |limit: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % u64::from(limit.max(1))) as u32
        };
        let mut large = graph(3_500, |_| Vec::new());
        for slot in 1..3_500u32 {
            let back = [slot, 40, 300, 2_000][seed as usize - 1].min(slot);
            let mut on: Vec<u32> = (0..=below(3)).map(|_| slot - 1 - below(back)).collect();
            match below(20) {
                0 => on.clear(),
                1..4 => on.push(0),
                4 => on.extend((0..200).map(|_| below(slot))),
                _ => {}
            }
            large.set_dependencies(slot, on);
        }
        // The same with slots in random order.
        let turned = |slot: u32| (slot * 1_237 + 11) % 3_500;
        let mut other = graph(3_500, |_| Vec::new());
        for slot in 0..3_500 {
            let on = large.dependencies(slot).iter().map(|&on| turned(on));
            other.set_dependencies(turned(slot), on.collect());
        }
        let expected = walked(&large);
        let counts = Ranks::compute(&large, &[]).unblocks;
        let first = (0..3_500).find(|&slot| counts[slot] != expected[slot]);
        assert_eq!(
            first, None,
            "seed {seed}: the first slot with a wrong count"
        );
        let counts = Ranks::compute(&other, &[]).unblocks;
        let first =
            (0..3_500u32).find(|&slot| counts[turned(slot) as usize] != expected[slot as usize]);
        assert_eq!(
            first, None,
            "seed {seed}, turned: the first slot with a wrong count"
        );
    }
}
