//! Work that waits for a worker of a kind of which nobody is there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Machine, Now};
use crate::model::plan::WorkerWait;
use crate::model::remaining::waits_for;
use crate::model::settings::WorkerKind;
use crate::protocol::MissingWorkers;

const KINDS: [WorkerKind; 2] = [WorkerKind::Coding, WorkerKind::Testing];

/// Who has been there, and who is missed.
#[derive(Debug)]
pub(super) struct MissingKinds {
    /// Kinds that work waits for and of which nobody is there: since when, in monotonic
    /// milliseconds.
    since_ms: BTreeMap<WorkerKind, u64>,
    /// Kinds of which somebody was there, or is to be kept there.
    pub known: BTreeSet<WorkerKind>,
}

impl MissingKinds {
    /// These kinds are to be kept there.
    pub fn knowing(kinds: impl Iterator<Item = WorkerKind>) -> Self {
        Self {
            since_ms: BTreeMap::new(),
            known: kinds.collect(),
        }
    }

    /// Work waits for this kind: since when nobody has been there, and whether somebody was before.
    fn note(&mut self, kind: WorkerKind, now_ms: u64) -> (u64, bool) {
        let gone = match kind {
            WorkerKind::Coding => self.known.contains(&kind),
            // Whoever started coding workers alone has begun, and tests are the rest of it.
            WorkerKind::Testing => !self.known.is_empty(),
        };
        (*self.since_ms.entry(kind).or_insert(now_ms), gone)
    }
}

impl Machine {
    /// Notes since when work has waited for somebody who is not there.
    pub(super) fn look_for_lack(&mut self, now: Now) {
        for kind in KINDS {
            let wall = self.core.state().time(now.wall);
            let waits = self.life.is_working()
                && waits_for(self.core.state(), wall, kind)
                && !self.is_there(kind);
            if !waits {
                self.missing.since_ms.remove(&kind);
                self.world.lacking.remove(&kind);
                continue;
            }
            let (since_ms, gone) = self.missing.note(kind, now.mono_ms);
            let waited_ms = now.mono_ms.saturating_sub(since_ms);
            self.world
                .lacking
                .insert(kind, WorkerWait { waited_ms, gone });
        }
    }

    /// Whether a worker of this kind is connected, or at work all the same. One of the crew that
    /// is away is replaced when it has been away for too long.
    fn is_there(&self, kind: WorkerKind) -> bool {
        self.core.state().workers().iter().any(|(id, worker)| {
            let replaced = self.pool.kinds().any(|wanted| wanted == worker.kind);
            let link = self.peers.present(*id);
            let there = link.is_some_and(|link| link.connection.is_some() || replaced);
            let fit = there && !worker.is_suspended();
            // What waits for a tester are the last tests, which coding workers run as well.
            let takes = worker.kind == kind || kind == WorkerKind::Testing;
            takes && (fit || worker.attempt.is_some())
        })
    }

    /// Who is lacking, and how long the run goes on without.
    pub(super) fn lacking(&self) -> Vec<MissingWorkers> {
        let lacking = self.world.lacking.iter();
        let lacking = lacking.map(|(&kind, absence)| MissingWorkers {
            kind,
            ends_in_ms: self.patience_ms(*absence),
        });
        lacking.collect()
    }

    fn patience_ms(&self, absence: WorkerWait) -> Option<u64> {
        let left_ms = absence.left_ms(self.core.state());
        left_ms.filter(|_| !self.world.stay)
    }

    /// When the run ends because nobody has come, in monotonic milliseconds.
    pub(super) fn patience_until_ms(&self, now: Now) -> Option<u64> {
        let left_ms = self.world.lacking.values();
        let left_ms = left_ms.filter_map(|&absence| self.patience_ms(absence));
        // What is over already waits for the end of an open attempt, which is an input.
        let next_ms = left_ms.filter(|&left| left > 0).min()?;
        Some(now.mono_ms.saturating_add(next_ms))
    }
}
