//! Work that waits for a kind of worker that is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Machine, Now};
use crate::model::plan::WorkerWait;
use crate::model::remaining::waits_for;
use crate::model::settings::WorkerKind;
use crate::protocol::MissingWorkers;

const KINDS: [WorkerKind; 2] = [WorkerKind::Coding, WorkerKind::Testing];

/// Which kinds were here, and which are missing.
#[derive(Debug)]
pub(super) struct MissingKinds {
    /// Kinds that work waits for and that are missing: since when, in monotonic milliseconds.
    since_ms: BTreeMap<WorkerKind, u64>,
    /// Kinds that were here, or are to be kept running.
    pub known: BTreeSet<WorkerKind>,
}

impl MissingKinds {
    /// These kinds are to be kept running.
    pub fn knowing(kinds: impl Iterator<Item = WorkerKind>) -> Self {
        Self {
            since_ms: BTreeMap::new(),
            known: kinds.collect(),
        }
    }

    /// Work waits for this kind: since when it is missing, and whether one was here before.
    fn note(&mut self, kind: WorkerKind, now_ms: u64) -> (u64, bool) {
        let gone = match kind {
            WorkerKind::Coding => self.known.contains(&kind),
            // A person who started only coding workers has begun, and tests are the rest of it.
            WorkerKind::Testing => !self.known.is_empty(),
        };
        (*self.since_ms.entry(kind).or_insert(now_ms), gone)
    }
}

impl Machine {
    /// Records since when work has waited for a missing worker.
    pub(super) fn note_missing_workers(&mut self, now: Now) {
        for kind in KINDS {
            let wall = self.core.state().time(now.wall);
            let waits = self.life.is_working()
                && waits_for(self.core.state(), wall, kind)
                && !self.is_there(kind);
            if !waits {
                self.missing.since_ms.remove(&kind);
                self.world.missing_workers.remove(&kind);
                continue;
            }
            let (since_ms, gone) = self.missing.note(kind, now.mono_ms);
            let waited_ms = now.mono_ms.saturating_sub(since_ms);
            self.world
                .missing_workers
                .insert(kind, WorkerWait { waited_ms, gone });
        }
    }

    /// Whether a worker of this kind is connected, or at work without a connection. One of our own
    /// that stays away too long is replaced.
    fn is_there(&self, kind: WorkerKind) -> bool {
        self.core.state().workers().iter().any(|(id, worker)| {
            let replaced = self.pool.kinds().any(|wanted| wanted == worker.kind);
            let link = self.peers.present(*id);
            let there = link.is_some_and(|link| link.connection.is_some() || replaced);
            let fit = there && !worker.is_suspended();
            // What waits for a testing worker are the last tests, which coding workers run as well.
            let takes = worker.kind == kind || kind == WorkerKind::Testing;
            takes && (fit || worker.attempt.is_some())
        })
    }

    /// The kinds of workers that are missing, and how long the run waits for them.
    pub(super) fn missing_workers(&self) -> Vec<MissingWorkers> {
        let kinds = self.world.missing_workers.iter();
        let missing = kinds.map(|(&kind, wait)| MissingWorkers {
            kind,
            ends_in_ms: self.wait_left_ms(*wait),
        });
        missing.collect()
    }

    fn wait_left_ms(&self, wait: WorkerWait) -> Option<u64> {
        let left_ms = wait.left_ms(self.core.state());
        left_ms.filter(|_| !self.world.stay)
    }

    /// When the run ends because of missing workers, in monotonic milliseconds.
    pub(super) fn wait_deadline_ms(&self, now: Now) -> Option<u64> {
        let left_ms = self.world.missing_workers.values();
        let left_ms = left_ms.filter_map(|&wait| self.wait_left_ms(wait));
        // A wait that is over already waits for the end of an open attempt, which is an input.
        let next_ms = left_ms.filter(|&left| left > 0).min()?;
        Some(now.mono_ms.saturating_add(next_ms))
    }
}
