//! A feature whose merge somebody has taken off the branch is work again, as soon as the log says
//! that the branch was moved.

use crate::model::event::Event;
use crate::model::ids::CommitId;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Taken {
    /// Where the branch was moved to; what that costs is told next.
    moved: Option<CommitId>,
}

impl Checker for Taken {
    fn name(&self) -> &'static str {
        "what was taken off the branch is work again"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, git: &Git) -> Result<(), String> {
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        match &recorded.event {
            Event::WorkLost(_) => return Ok(()),
            Event::BranchMoved(event) => self.moved = Some(event.to.clone()),
            _ => {
                let Some(head) = self.moved.take() else {
                    return Ok(());
                };
                let there = git.ancestry(&head);
                let passing = book.features.iter().filter(|(_, facts)| facts.passing);
                let gone = |merged: &CommitId| !there.contains(merged);
                let mut lost = passing.filter(|(_, it)| it.merged.as_ref().is_some_and(gone));
                if let Some((id, _)) = lost.next() {
                    return must(false, || format!("{id} passes, and its merge is gone"));
                }
            }
        }
        Ok(())
    }
}
