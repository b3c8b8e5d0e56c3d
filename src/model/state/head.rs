//! Moves of the integration branch by others.

use serde::{Deserialize, Serialize};

use super::State;
use crate::model::ids::CommitId;

/// A move of the branch by somebody else that is not explained yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unexplained {
    /// The last head that was ours or explained.
    pub from: CommitId,
    /// Where the branch was moved to last.
    pub to: CommitId,
}

impl State {
    /// Somebody else has moved the branch; after several moves, the place before the first one
    /// counts.
    pub(in crate::model) fn head_taken(&mut self, head: &CommitId) {
        if self.head == *head || self.head.is_none() {
            return;
        }
        let before = self.unexplained.take().map(|it| it.from);
        self.unexplained = Some(Unexplained {
            from: before.unwrap_or_else(|| self.head.clone()),
            to: head.clone(),
        });
    }

    /// A move of the branch up to `to` has been explained.
    pub(in crate::model) fn head_explained(&mut self, to: &CommitId) {
        self.unexplained =
            self.unexplained
                .take()
                .filter(|it| it.to != *to)
                .map(|it| Unexplained {
                    from: to.clone(),
                    to: it.to,
                });
    }
}
