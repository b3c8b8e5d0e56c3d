//! Decides how many workers of its own a scheduler keeps running.
//!
//! Living workers of an earlier scheduler count, so a restart does not double the pool. A worker
//! that ends at once is restarted after a growing wait. Consecutive failures without a finished
//! attempt are counted, so that the run can end because of them.

use std::collections::BTreeMap;

use crate::model::plan::Crash;
use crate::model::settings::WorkerKind;

/// First wait before a worker that ended early is replaced, and the last: the wait doubles in
/// between.
const WAIT_MS: u64 = 500;
const WAIT_MS_MAX: u64 = 30_000;
/// A worker that ran this long did not fail to start.
const SETTLED_MS: u64 = 10_000;
/// Consecutive failures per wanted worker after which more restarts are pointless. With the growing
/// waits, this takes eight seconds at least, enough for a short problem to pass.
const FAILURES_MAX: u32 = 5;

/// How a worker that was started here ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// As it should, or as it was told to.
    Well,
    /// Killed by force, which says nothing about the next one.
    Killed,
    /// By itself, because it could not continue.
    Failed {
        /// Its exit code or signal, such as `exit code 1`.
        how: String,
        /// The last thing that it printed, if that can be found; may be empty.
        said: String,
    },
}

#[derive(Clone, Debug)]
struct Child {
    kind: WorkerKind,
    since_ms: u64,
    /// Its reason for leaving, as it told the scheduler.
    stderr_tail: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct RestartBackoff {
    short_lives: u32,
    not_before_ms: u64,
}

/// The workers that this scheduler started.
#[derive(Clone, Debug, Default)]
pub struct WorkerPool {
    wanted: BTreeMap<WorkerKind, u32>,
    children: BTreeMap<u32, Child>,
    starting: BTreeMap<WorkerKind, u32>,
    paces: BTreeMap<WorkerKind, RestartBackoff>,
    /// Failures since the last finished attempt of the kind.
    crashes: BTreeMap<WorkerKind, Crash>,
}

impl WorkerPool {
    /// A pool with this many workers of each kind.
    pub fn new(wanted: BTreeMap<WorkerKind, u32>) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// The kinds to start now. `others` counts the living workers that this scheduler did not
    /// start, by kind.
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
                let child = Child {
                    kind,
                    since_ms,
                    stderr_tail: None,
                };
                self.children.insert(pid, child);
            }
            None => self.slow_down(now_ms, kind),
        }
    }

    /// A worker that was started here has ended.
    pub fn ended(&mut self, now_ms: u64, pid: u32, end: ChildEnd) {
        let Some(child) = self.children.remove(&pid) else {
            return;
        };
        let short = now_ms.saturating_sub(child.since_ms) < SETTLED_MS;
        match (&end, short) {
            (ChildEnd::Killed, true) => {
                let pace = self.paces.entry(child.kind).or_default();
                pace.not_before_ms = pace.not_before_ms.max(now_ms + WAIT_MS);
            }
            (_, true) => self.slow_down(now_ms, child.kind),
            (_, false) => drop(self.paces.remove(&child.kind)),
        }
        if let ChildEnd::Failed { how, said } = end {
            let crash = self.crashes.entry(child.kind).or_default();
            crash.failures = crash.failures.saturating_add(1);
            crash.how = how;
            // The previous worker's message is better than none, because they fail alike.
            let words = [child.stderr_tail.unwrap_or_default(), said];
            if let Some(words) = words.into_iter().find(|words| !words.is_empty()) {
                crash.said = words;
            }
        }
    }

    /// A worker has given its reason for leaving.
    pub fn said(&mut self, pid: u32, words: &str) {
        if let Some(child) = self.children.get_mut(&pid) {
            child.stderr_tail = Some(words.to_owned());
        }
    }

    /// An attempt of this kind has finished, so its workers do work.
    pub fn worked(&mut self, kind: WorkerKind) {
        self.crashes.remove(&kind);
    }

    /// The kinds whose workers have failed so often in a row that more restarts are pointless.
    pub fn crashing(&self) -> BTreeMap<WorkerKind, Crash> {
        let hopeless = |(kind, crash): &(&WorkerKind, &Crash)| {
            let wanted = self.wanted.get(kind).copied().unwrap_or(0).max(1);
            crash.failures >= FAILURES_MAX.saturating_mul(wanted)
        };
        let hopeless = self.crashes.iter().filter(hopeless);
        hopeless
            .map(|(&kind, crash)| (kind, crash.clone()))
            .collect()
    }

    fn slow_down(&mut self, now_ms: u64, kind: WorkerKind) {
        let pace = self.paces.entry(kind).or_default();
        let wait = (WAIT_MS << pace.short_lives.min(10)).min(WAIT_MS_MAX);
        pace.short_lives += 1;
        pace.not_before_ms = now_ms + wait;
    }

    /// The kinds of which workers are kept running.
    pub fn kinds(&self) -> impl Iterator<Item = WorkerKind> {
        let wanted = self.wanted.iter().filter(|(_, count)| **count > 0);
        wanted.map(|(&kind, _)| kind)
    }

    /// Whether no worker is kept running.
    pub fn wants_nobody(&self) -> bool {
        self.wanted.values().all(|&wanted| wanted == 0)
    }

    /// Whether a worker that was started here lives or is about to start.
    pub fn has_children(&self) -> bool {
        !self.children.is_empty() || self.is_starting()
    }

    /// Whether the result of a start is still unknown.
    pub fn is_starting(&self) -> bool {
        self.starting.values().any(|&starting| starting > 0)
    }

    /// The living processes that were started here.
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
        let mut crew = WorkerPool::new(BTreeMap::from([(Coding, 3), (Testing, 1)]));
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
        let mut crew = WorkerPool::new(BTreeMap::from([(Coding, 1)]));
        let none = BTreeMap::new();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(crew.missing(now, &none), [Coding]);
            crew.started(now, Coding, Some(7));
            crew.ended(now, 7, ChildEnd::Well);
            assert!(crew.missing(now, &none).is_empty());
            let again = crew.wake_at_ms(now).expect("a wait");
            waits.push(again - now);
            now = again;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(crew.missing(now, &none), [Coding]);
        crew.started(now, Coding, Some(8));
        crew.ended(now + SETTLED_MS, 8, ChildEnd::Well);
        assert_eq!(
            crew.missing(now + SETTLED_MS, &none),
            [Coding],
            "a long life forgives"
        );
    }

    fn failed(said: &str) -> ChildEnd {
        ChildEnd::Failed {
            how: "exit code 1".to_owned(),
            said: said.to_owned(),
        }
    }

    #[test]
    fn failures_in_a_row_are_counted_for_each_that_is_wanted() {
        let mut crew = WorkerPool::new(BTreeMap::from([(Coding, 2), (Testing, 1)]));
        for count in 1..=2 * FAILURES_MAX {
            assert!(crew.crashing().is_empty(), "after {count}");
            crew.started(0, Coding, Some(count));
            if count == 3 {
                crew.said(count, "no space");
            }
            // However long it ran.
            let said = if count == 2 { "printed" } else { "" };
            crew.ended(3_600_000, count, failed(said));
            crew.ended(0, 999, failed("a stranger"));
        }
        let crash = crew.crashing().remove(&Coding).expect("it is pointless");
        let (failures, said) = (crash.failures, &*crash.said);
        assert_eq!((failures, said), (2 * FAILURES_MAX, "no space"));
        crew.worked(Testing);
        assert!(!crew.crashing().is_empty());
        crew.worked(Coding);
        assert!(crew.crashing().is_empty());
    }

    #[test]
    fn one_that_is_killed_is_no_failure_and_is_replaced_soon() {
        let mut crew = WorkerPool::new(BTreeMap::from([(Coding, 1)]));
        let mut now = 0;
        for pid in 0..1_000 {
            assert_eq!(crew.missing(now, &BTreeMap::new()), [Coding]);
            crew.started(now, Coding, Some(pid));
            crew.ended(now, pid, ChildEnd::Killed);
            assert_eq!(crew.wake_at_ms(now), Some(now + WAIT_MS));
            now += WAIT_MS;
        }
        assert!(crew.crashing().is_empty());
    }
}
