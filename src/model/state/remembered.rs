//! Accepted commands, so that a repeated one gets the first one's answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::model::ids::{CommandId, Sequence};

/// Outsiders' commands that caused events, the latest [`Remembered::MAX`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    answers: BTreeMap<CommandId, (Sequence, Sequence)>,
    order: VecDeque<CommandId>,
    /// The ones that came too late.
    late: BTreeSet<CommandId>,
}

impl Remembered {
    /// A worker repeats its report within seconds of a reconnect; a busy log takes this many
    /// commands in some ten seconds. A report that is repeated later is still recognised, as late.
    pub const MAX: usize = 1 << 16;

    /// Ids below are the scheduler's own commands, which are never repeated. Outsiders' ids are
    /// ULIDs, whose upper 48 bits are a time.
    const OUTSIDE: u128 = 1 << 80;

    /// Records that `id` caused the event at `sequence`.
    pub fn note(&mut self, id: CommandId, sequence: Sequence) {
        if id.0 < Self::OUTSIDE {
            return;
        }
        // A command's events follow each other, so only the newest entry can grow.
        if self.order.back() == Some(&id) {
            if let Some((_, last)) = self.answers.get_mut(&id) {
                *last = sequence;
            }
            return;
        }
        if self.answers.insert(id, (sequence, sequence)).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > Self::MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
            self.late.remove(&oldest);
        }
    }

    /// Records that `id` was a report for an attempt that was over.
    pub fn note_late(&mut self, id: CommandId) {
        if self.answers.contains_key(&id) {
            self.late.insert(id);
        }
    }

    /// True if `id` was a late report, which gets the same answer again.
    pub fn was_late(&self, id: CommandId) -> bool {
        self.late.contains(&id)
    }

    /// The first and the last event that this command caused.
    pub fn get(&self, id: CommandId) -> Option<(Sequence, Sequence)> {
        self.answers.get(&id).copied()
    }
}
