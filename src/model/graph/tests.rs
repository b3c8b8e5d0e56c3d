use proptest::prelude::*;

use super::oracle::{Edges, acyclic};
use super::{Graph, List};

const DEEP: u32 = 100_000;

type Changes = Vec<(u32, Vec<u32>)>;

fn with_slots(count: u32) -> Graph {
    let mut graph = Graph::default();
    for slot in 0..count {
        assert_eq!(graph.add(), slot);
    }
    graph
}

fn chain(count: u32) -> Graph {
    let mut graph = with_slots(count);
    for slot in 1..count {
        graph.set_dependencies(slot, vec![slot - 1]);
    }
    graph
}

#[test]
fn a_slot_that_does_not_exist_is_absent_and_harmless() {
    let mut graph = with_slots(2);
    graph.set_dependencies(7, vec![0]);
    graph.set_dependencies(u32::MAX, vec![0]);
    graph.set_dependencies(1, vec![0, 7, u32::MAX, 1]);
    assert_eq!(graph.dependencies(1), [0]);
    assert_eq!(graph.dependents(0), [1]);
    assert_eq!(graph.dependencies(7), [0u32; 0]);
    assert_eq!(graph.dependents(u32::MAX), [0u32; 0]);
    assert_eq!(graph.isolate(9), [0u32; 0]);
    assert_eq!(graph.cycle_with(&[(u32::MAX, vec![0, u32::MAX])]), None);
    assert_eq!(graph.cycle_with(&[(0, vec![u32::MAX, 9])]), None);
}

#[test]
fn repeats_and_disorder_in_what_is_given_do_not_matter() {
    let mut graph = with_slots(6);
    graph.set_dependencies(5, vec![3, 1, 3, 4, 1, 0]);
    graph.set_dependencies(5, vec![4, 4, 2, 0, 1]);
    assert_eq!(graph.dependencies(5), [0, 1, 2, 4]);
    assert_eq!(graph.dependents(3), [0u32; 0]);
    assert_eq!(graph.dependents(2), [5]);
}

#[test]
fn isolating_a_slot_forgets_it_on_both_sides() {
    let mut graph = with_slots(DEEP);
    for slot in 2..DEEP {
        graph.set_dependencies(slot, vec![0, 1]);
    }
    graph.set_dependencies(1, vec![0]);
    assert_eq!(graph.isolate(1).len(), DEEP as usize - 2);
    assert_eq!(graph.dependents(0).len(), DEEP as usize - 2);
    assert!((2..DEEP).all(|slot| graph.dependencies(slot) == [0]));
}

#[test]
fn the_graph_is_small() {
    assert_eq!(size_of::<List>(), 24);
}

#[test]
fn a_cycle_is_named_from_its_smallest_slot() {
    let mut graph = with_slots(6);
    for (slot, on) in [(3, 1), (4, 3), (1, 5)] {
        graph.set_dependencies(slot, vec![on]);
    }
    let table: Vec<(Changes, Option<Vec<u32>>)> = vec![
        (vec![], None),
        (vec![(5, vec![4])], Some(vec![1, 5, 4, 3, 1])),
        (vec![(5, vec![0, 2])], None),
        (vec![(2, vec![2])], Some(vec![2, 2])),
        // A change replaces the earlier edges: 1 -> 5 no longer exists.
        (vec![(5, vec![4]), (1, vec![])], None),
        (vec![(5, vec![1, 4])], Some(vec![1, 5, 1])),
        (vec![(0, vec![2]), (2, vec![0])], Some(vec![0, 2, 0])),
        // New slots, in order, refer to what exists.
        (vec![(6, vec![4]), (7, vec![6, 0])], None),
        // They refer to each other.
        (vec![(6, vec![7]), (7, vec![6])], Some(vec![6, 7, 6])),
        (
            vec![(7, vec![6]), (6, vec![5]), (5, vec![7])],
            Some(vec![5, 7, 6, 5]),
        ),
        // The last change of a slot counts.
        (vec![(5, vec![4]), (5, vec![0])], None),
    ];
    for (changes, expected) in table {
        assert_eq!(graph.cycle_with(&changes), expected, "{changes:?}");
    }
}

#[test]
fn a_deep_chain_overflows_nothing() {
    let graph = chain(DEEP);
    assert_eq!(graph.cycle_with(&[(DEEP, vec![DEEP - 1])]), None);
    assert_eq!(graph.cycle_with(&[(DEEP - 1, vec![0])]), None);
    let cycle = graph.cycle_with(&[(0, vec![DEEP - 1])]).unwrap_or_default();
    assert_eq!(cycle.len(), DEEP as usize + 1);
    assert_eq!((cycle.first(), cycle.last()), (Some(&0), Some(&0)));
}

#[test]
fn a_whole_backlog_is_checked_at_once() {
    let forward: Vec<_> = (0..DEEP)
        .map(|slot| {
            (
                slot,
                (1..4).filter_map(|back| slot.checked_sub(back)).collect(),
            )
        })
        .collect();
    assert_eq!(Graph::default().cycle_with(&forward), None);
    let mut backward = forward.clone();
    backward.reverse();
    assert_eq!(Graph::default().cycle_with(&backward), None);
    backward.push((0, vec![DEEP - 1]));
    let cycle = Graph::default().cycle_with(&backward).unwrap_or_default();
    assert_eq!(cycle.len(), (DEEP as usize - 1).div_ceil(3) + 2);
}

#[test]
fn a_ladder_with_two_to_the_fifty_thousandth_paths_is_walked_once() {
    let mut graph = with_slots(DEEP);
    for slot in (2..DEEP - 1).step_by(2) {
        graph.set_dependencies(slot, vec![slot - 2, slot - 1]);
        graph.set_dependencies(slot + 1, vec![slot - 2, slot - 1]);
    }
    assert_eq!(
        graph.cycle_with(&[(DEEP - 1, vec![DEEP - 2, DEEP - 3])]),
        None
    );
    assert!(graph.cycle_with(&[(0, vec![DEEP - 1])]).is_some());
}

#[test]
fn what_is_stored_comes_back_whole() {
    let mut graph = chain(50);
    graph.set_dependencies(20, vec![1, 2, 3, 4, 5]);
    let bytes = bincode::serialize(&graph).unwrap();
    assert_eq!(bincode::deserialize::<Graph>(&bytes).unwrap(), graph);
}

/// A graph and changes to it; some add slots, some name slots that do not exist.
fn changed() -> impl Strategy<Value = (Edges, Changes)> {
    (acyclic(30), 1u32..6).prop_flat_map(|(edges, changes)| {
        let slots = 0..edges.count + changes;
        let on = prop::collection::vec(0..edges.count + changes + 2, 0..4);
        let changes = prop::collection::vec((slots, on), changes as usize);
        (Just(edges), changes)
    })
}

/// The edges after the changes, found edge by edge.
fn after(edges: &Edges, changes: &[(u32, Vec<u32>)]) -> Edges {
    let mut after = edges.clone();
    let named = |slot: &u32| *slot < edges.count || changes.iter().any(|(new, _)| new == slot);
    for (slot, on) in changes {
        after.edges.retain(|(from, _)| from != slot);
        after
            .edges
            .extend(on.iter().filter(|to| named(to)).map(|to| (*slot, *to)));
    }
    after.count = edges.count + changes.len() as u32;
    after
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_directions_agree(edges in acyclic(40), again in acyclic(40)) {
        let mut graph = edges.graph();
        for slot in 0..edges.count.min(again.count) {
            graph.set_dependencies(slot, again.of(slot));
        }
        for slot in 0..edges.count {
            let of = if slot < again.count { again.of(slot) } else { edges.of(slot) };
            let of: Vec<u32> = of.into_iter().filter(|&on| on < edges.count).collect();
            prop_assert_eq!(graph.dependencies(slot), &of[..]);
            let waiting: Vec<u32> = (0..edges.count)
                .filter(|&other| graph.dependencies(other).contains(&slot))
                .collect();
            prop_assert_eq!(graph.dependents(slot), &waiting[..]);
        }
        let bytes = bincode::serialize(&graph).unwrap();
        prop_assert_eq!(bincode::deserialize::<Graph>(&bytes).unwrap(), graph);
    }

    #[test]
    fn a_cycle_is_found_exactly_where_there_is_one((edges, changes) in changed()) {
        let graph = edges.graph();
        let after = after(&edges, &changes);
        let closure = after.closure();
        let cyclic = (0..after.count as usize).any(|slot| closure[slot][slot]);
        let found = graph.cycle_with(&changes);
        prop_assert_eq!(found.is_some(), cyclic);
        if let Some(path) = found {
            prop_assert!(path.len() >= 2);
            prop_assert_eq!(path.first(), path.last());
            prop_assert_eq!(path.first(), path.iter().min());
            for edge in path.windows(2) {
                prop_assert!(after.edges.contains(&(edge[0], edge[1])), "{:?}", path);
            }
            prop_assert_eq!(graph.cycle_with(&changes), Some(path));
        }
    }
}
