//! Notices for people that change nothing in the backlog.

use serde::{Deserialize, Serialize};

use crate::model::actor::Actor;
use crate::model::config::ConfigChange;
use crate::model::event::{BranchMoved, CommandRefused, Recorded};
use crate::model::ids::{AttemptId, ContentHash, Timestamp};

/// Since the present or last run began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// How often processes of attempts were refused a person's command, and the last time.
    pub refused: Option<(u32, Refused)>,
    /// The last run's config, as text in a content file. Unlike the rest, it outlives the run.
    pub told: Option<ContentHash>,
    /// How many values of this run's config differ from the previous run's, and the first few.
    pub config: (u32, Vec<ConfigChange>),
    /// What somebody else last did to the branch, and when.
    pub moved: Option<(Timestamp, BranchMoved)>,
    /// Where the branch is checked out, so that nothing is merged; empty if it is free.
    pub held: String,
}

/// The last refused command of a process of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Wall-clock time of the event.
    pub at: Timestamp,
    /// The process that was refused.
    pub actor: Actor,
    /// Of which attempt.
    pub attempt: Option<AttemptId>,
    /// What it wanted.
    pub command: String,
}

impl Notices {
    pub(in crate::model) fn branch_moved(&mut self, recorded: &Recorded, event: &BranchMoved) {
        self.moved = Some((recorded.at, event.clone()));
    }

    pub(in crate::model) fn refused(&mut self, recorded: &Recorded, event: &CommandRefused) {
        let before = self.refused.take().map_or(0, |(count, _)| count);
        let refused = Refused {
            at: recorded.at,
            actor: recorded.actor.clone(),
            attempt: event.attempt,
            command: event.command.clone(),
        };
        self.refused = Some((before.saturating_add(1), refused));
    }
}
