//! Finds out whether a change would close a cycle.

use std::collections::VecDeque;

use super::Graph;

impl Graph {
    /// Finds out whether these changes, made together, close a cycle. Each names a slot and all its
    /// dependencies; if a slot is repeated, its last change counts. New slots are allowed: those
    /// from [`Graph::len`] on that the changes would add, at most one per change. Anything beyond
    /// is absent, as in [`Graph::set_dependencies`].
    ///
    /// Returns the cycle as a path along the dependencies whose first and last slot are equal, and
    /// the smallest of it: a shortest one through the changed slot at which it was found. The same
    /// graph and changes give the same path.
    ///
    /// Additions that refer only to existing slots, or to earlier additions, cost no search. Other
    /// changes cost one visit of everything that the changed slots depend on, directly or not.
    pub fn cycle_with(&self, changes: &[(u32, Vec<u32>)]) -> Option<Vec<u32>> {
        if self.in_order(changes) {
            return None;
        }
        let view = Changed::new(self, changes);
        let start = view.slots.iter().map(|&(slot, _)| slot);
        let on_cycle = view.find(start)?;
        view.shortest(on_cycle)
    }

    /// True if every change adds a slot and refers only to earlier slots.
    fn in_order(&self, changes: &[(u32, Vec<u32>)]) -> bool {
        let mut next = self.len();
        changes.iter().all(|(slot, on)| {
            let new = *slot as usize >= next;
            next = *slot as usize + 1;
            new && on.iter().all(|other| other < slot)
        })
    }
}

/// The graph with the changes applied.
struct Changed<'a> {
    graph: &'a Graph,
    /// Each changed slot once, ascending, with its new dependencies.
    slots: Vec<(u32, &'a [u32])>,
    /// True if the changed slots are consecutive, as in a batch of additions: then they are found
    /// without a search.
    contiguous: bool,
    /// Slots whose edges changed.
    changed: Bits,
    /// All slots are below this.
    limit: usize,
}

impl<'a> Changed<'a> {
    fn new(graph: &'a Graph, changes: &'a [(u32, Vec<u32>)]) -> Self {
        let limit = graph.len() + changes.len();
        let known = changes.iter().filter(|(slot, _)| (*slot as usize) < limit);
        let mut slots: Vec<(u32, &[u32])> = known.map(|(slot, on)| (*slot, &on[..])).collect();
        // The sort is stable, so the last change of a repeated slot comes first here.
        slots.reverse();
        slots.sort_by_key(|&(slot, _)| slot);
        slots.dedup_by_key(|&mut (slot, _)| slot);
        let mut changed = Bits::new(limit);
        for &(slot, _) in &slots {
            changed.set(slot);
        }
        let contiguous = match (slots.first(), slots.last()) {
            (Some((first, _)), Some((last, _))) => (last - first) as usize + 1 == slots.len(),
            _ => true,
        };
        Self {
            graph,
            slots,
            contiguous,
            changed,
            limit,
        }
    }

    fn dependencies(&self, slot: u32) -> &'a [u32] {
        if !self.changed.get(slot) {
            return self.graph.dependencies(slot);
        }
        let at = if self.contiguous {
            let first = self.slots.first().map_or(0, |&(first, _)| first);
            Some((slot - first) as usize)
        } else {
            self.slots
                .binary_search_by_key(&slot, |&(slot, _)| slot)
                .ok()
        };
        at.and_then(|at| self.slots.get(at))
            .map_or(&[], |&(_, on)| on)
    }

    /// Searches depth-first along the dependencies, with its own stack. Returns a changed slot that
    /// is on a cycle.
    fn find(&self, starts: impl Iterator<Item = u32>) -> Option<u32> {
        let mut seen = Bits::new(self.limit);
        let mut done = Bits::new(self.limit);
        let mut path: Vec<(u32, std::slice::Iter<'a, u32>)> = Vec::new();
        for start in starts {
            if seen.get(start) {
                continue;
            }
            seen.set(start);
            path.push((start, self.dependencies(start).iter()));
            while let Some((slot, rest)) = path.last_mut() {
                let Some(&next) = rest.next() else {
                    done.set(*slot);
                    path.pop();
                    continue;
                };
                if (next as usize) >= self.limit || done.get(next) {
                    continue;
                }
                if seen.get(next) {
                    let from = path.iter().rposition(|&(slot, _)| slot == next)?;
                    let mut cycle = path.iter().skip(from).map(|&(slot, _)| slot);
                    // The graph had no cycle before, so a changed slot is on this one.
                    return Some(cycle.find(|&slot| self.changed.get(slot)).unwrap_or(next));
                }
                seen.set(next);
                path.push((next, self.dependencies(next).iter()));
            }
        }
        None
    }

    /// Searches breadth-first from `start` back to it, because people want to see a short cycle.
    fn shortest(&self, start: u32) -> Option<Vec<u32>> {
        let mut came_from: Vec<u32> = vec![u32::MAX; self.limit];
        let mut queue = VecDeque::from([start]);
        while let Some(slot) = queue.pop_front() {
            for &next in self.dependencies(slot) {
                if next == start {
                    return Some(walk_back(&came_from, start, slot));
                }
                if let Some(from @ &mut u32::MAX) = came_from.get_mut(next as usize) {
                    *from = slot;
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// The path from `start` to `last` and back to `start`, rotated to begin at its smallest slot.
fn walk_back(came_from: &[u32], start: u32, last: u32) -> Vec<u32> {
    let mut cycle = vec![last];
    let mut slot = last;
    while slot != start {
        slot = came_from.get(slot as usize).copied().unwrap_or(start);
        cycle.push(slot);
    }
    cycle.reverse();
    let smallest = (0..cycle.len()).min_by_key(|&at| cycle.get(at).copied());
    cycle.rotate_left(smallest.unwrap_or(0));
    cycle.extend(cycle.first().copied());
    cycle
}

/// One bit per slot.
struct Bits(Vec<u64>);

impl Bits {
    fn new(limit: usize) -> Self {
        Self(vec![0; limit.div_ceil(64)])
    }

    fn get(&self, slot: u32) -> bool {
        let word = self.0.get(slot as usize / 64);
        word.is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    fn set(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word |= 1 << (slot % 64);
        }
    }
}
