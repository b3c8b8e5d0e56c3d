//! How many workers of its own a scheduler keeps alive.
//!
//! Workers of an earlier scheduler that still live count, so that a restart does not double the
//! crew. A worker that dies at once is started again after a growing wait.

use std::collections::BTreeMap;

use crate::model::settings::WorkerKind;

/// The first wait before a worker that ended soon is replaced; doubles up to the other.
const WAIT_MS: u64 = 500;
const WAIT_MS_MAX: u64 = 30_000;
/// A worker that lived for so long was no failed start.
const SETTLED_MS: u64 = 10_000;

#[derive(Clone, Copy, Debug)]
struct Child {
    kind: WorkerKind,
    since_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    short_lives: u32,
    not_before_ms: u64,
}

/// The workers that this scheduler started.
#[derive(Clone, Debug, Default)]
pub struct Crew {
    wanted: BTreeMap<WorkerKind, u32>,
    children: BTreeMap<u32, Child>,
    starting: BTreeMap<WorkerKind, u32>,
    paces: BTreeMap<WorkerKind, Pace>,
}

impl Crew {
    /// A crew of so many workers of each kind.
    pub fn new(wanted: BTreeMap<WorkerKind, u32>) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// The kinds that should be started now. `others` are the live workers that this scheduler
    /// did not start, by kind.
    pub fn missing(&mut self, now_ms: u64, others: &BTreeMap<WorkerKind, u32>) -> Vec<WorkerKind> {
        let mut missing = Vec::new();
        for (&kind, &wanted) in &self.wanted {
            if self
                .paces
                .get(&kind)
                .is_some_and(|pace| pace.not_before_ms > now_ms)
            {
                continue;
            }
            let own = self
                .children
                .values()
                .filter(|child| child.kind == kind)
                .count() as u32;
            let starting = self.starting.entry(kind).or_default();
            let have = own + *starting + others.get(&kind).copied().unwrap_or(0);
            for _ in have..wanted {
                *starting += 1;
                missing.push(kind);
            }
        }
        missing
    }

    /// When to ask again because of a wait.
    pub fn wake_at_ms(&self, now_ms: u64) -> Option<u64> {
        let waits = self.paces.values().map(|pace| pace.not_before_ms);
        waits.filter(|&at| at > now_ms).min()
    }

    /// A worker was started, or could not be.
    pub fn started(&mut self, now_ms: u64, kind: WorkerKind, pid: Option<u32>) {
        let starting = self.starting.entry(kind).or_default();
        *starting = starting.saturating_sub(1);
        match pid {
            Some(pid) => {
                let since_ms = now_ms;
                self.children.insert(pid, Child { kind, since_ms });
            }
            None => self.slow_down(now_ms, kind),
        }
    }

    /// A worker that was started here has ended.
    pub fn ended(&mut self, now_ms: u64, pid: u32) {
        let Some(child) = self.children.remove(&pid) else {
            return;
        };
        if now_ms.saturating_sub(child.since_ms) < SETTLED_MS {
            self.slow_down(now_ms, child.kind);
        } else {
            self.paces.remove(&child.kind);
        }
    }

    fn slow_down(&mut self, now_ms: u64, kind: WorkerKind) {
        let pace = self.paces.entry(kind).or_default();
        let wait = (WAIT_MS << pace.short_lives.min(10)).min(WAIT_MS_MAX);
        pace.short_lives += 1;
        pace.not_before_ms = now_ms + wait;
    }

    /// The kinds of which workers are to be kept alive.
    pub fn kinds(&self) -> impl Iterator<Item = WorkerKind> {
        let wanted = self.wanted.iter().filter(|(_, count)| **count > 0);
        wanted.map(|(&kind, _)| kind)
    }

    /// Whether no worker is to be kept alive.
    pub fn wants_nobody(&self) -> bool {
        self.wanted.values().all(|&wanted| wanted == 0)
    }

    /// Whether a worker that was started here lives or is about to.
    pub fn has_children(&self) -> bool {
        !self.children.is_empty() || self.starting.values().any(|&starting| starting > 0)
    }

    /// The processes that were started here and live.
    pub fn children(&self) -> impl Iterator<Item = u32> {
        self.children.keys().copied()
    }

    /// Whether this process was started here.
    pub fn is_child(&self, pid: u32) -> bool {
        self.children.contains_key(&pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkerKind::{Coding, Testing};

    #[test]
    fn fills_up_to_what_is_wanted_and_counts_who_is_there() {
        let mut crew = Crew::new(BTreeMap::from([(Coding, 3), (Testing, 1)]));
        let others = BTreeMap::from([(Coding, 1)]);
        assert_eq!(crew.missing(0, &others), [Coding, Coding, Testing]);
        assert!(crew.missing(0, &others).is_empty(), "starting ones count");
        crew.started(0, Coding, Some(10));
        crew.started(0, Coding, Some(11));
        crew.started(0, Testing, Some(12));
        assert!(crew.missing(1, &others).is_empty());
        assert_eq!(
            crew.missing(1, &BTreeMap::new()),
            [Coding],
            "the other one died"
        );
    }

    #[test]
    fn a_worker_that_dies_at_once_is_replaced_ever_more_slowly() {
        let mut crew = Crew::new(BTreeMap::from([(Coding, 1)]));
        let none = BTreeMap::new();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(crew.missing(now, &none), [Coding]);
            crew.started(now, Coding, Some(7));
            crew.ended(now, 7);
            assert!(crew.missing(now, &none).is_empty());
            let again = crew.wake_at_ms(now).expect("a wait");
            waits.push(again - now);
            now = again;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(crew.missing(now, &none), [Coding]);
        crew.started(now, Coding, Some(8));
        crew.ended(now + SETTLED_MS, 8);
        assert_eq!(
            crew.missing(now + SETTLED_MS, &none),
            [Coding],
            "a long life forgives"
        );
    }
}
