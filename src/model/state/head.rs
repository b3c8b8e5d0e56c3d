//! The head of the integration branch in other hands.

use super::State;
use crate::model::ids::CommitId;

impl State {
    /// Somebody else has moved the branch; what it was before counts where that is not the first.
    pub(in crate::model) fn head_taken(&mut self, head: &CommitId) {
        if self.head == *head || self.head.is_none() {
            return;
        }
        let from = match self.unexplained.take() {
            Some((from, _)) => from,
            None => self.head.clone(),
        };
        self.unexplained = Some((from, head.clone()));
    }

    /// A move of the branch up to `to` has been explained.
    pub(in crate::model) fn head_explained(&mut self, to: &CommitId) {
        if let Some((_, last)) = self.unexplained.take()
            && last != *to
        {
            self.unexplained = Some((to.clone(), last));
        }
    }
}
