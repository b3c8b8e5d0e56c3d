//! What is outside of the log: the branch, if somebody else moved it or checked it out, and the
//! config.

use super::{Effect, Machine, Now, RunConfig};
use crate::model::branch::BranchMove;
use crate::model::command::Command;
use crate::model::feature::Status;
use crate::model::ids::CommitId;

impl Machine {
    /// Asks git to explain a move of the branch by somebody else that was just recorded: `known`
    /// was the head before.
    pub(super) fn look_at_move(&mut self, known: CommitId) {
        if !known.is_none() && self.core.state().head != known {
            self.explain_from(known);
        }
    }

    /// Asks git to explain a move that an earlier process did not get to, and one since.
    pub(super) fn look_at_earlier_moves(&mut self) {
        if let Some(moved) = self.core.state().unexplained.clone() {
            self.explain_from(moved.from);
        }
    }

    fn explain_from(&mut self, from: CommitId) {
        let state = self.core.state();
        let passing = state.features().filter(|it| it.status == Status::Passing);
        let mut merges: Vec<CommitId> = passing.filter_map(|it| it.merged.clone()).collect();
        merges.sort_unstable();
        merges.dedup();
        let to = state.head.clone();
        self.merges.explaining += 1;
        self.effects.push(Effect::Explain { from, to, merges });
    }

    pub(super) fn explained(&mut self, now: Now, moved: Option<Box<BranchMove>>) {
        self.merges.explaining = self.merges.explaining.saturating_sub(1);
        if let Some(moved) = moved {
            self.record(now, &Command::ExplainMove(moved));
        }
    }

    /// The open merge waits for the branch to be free, or no longer does.
    pub(super) fn held(&mut self, now: Now, at: Option<String>) {
        self.record(now, &Command::HoldMerges { at });
    }

    /// Records the run's config. Workers with another config are refused from now on. Call it once,
    /// after [`Machine::start`].
    pub fn record_config(&mut self, now: Now, config: RunConfig) {
        self.config = config.workers;
        let (content, changes) = (config.content, config.changes);
        self.record(now, &Command::RecordConfig { content, changes });
    }
}
