//! A feature whose merge somebody has taken off the branch is work again, as soon as the log says
//! that the branch was moved.

use crate::model::event::Event;
use crate::model::ids::CommitId;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Taken;

/// Every feature that passes by a merge has it below this head.
fn all_there(book: &Book, git: &Git, head: &CommitId) -> Result<(), String> {
    let there = git.ancestry(head);
    let gone = |merged: &CommitId| !there.contains(merged);
    let passing = book.features.iter().filter(|(_, facts)| facts.passing);
    let mut lost = passing.filter(|(_, it)| it.merged.as_ref().is_some_and(gone));
    let lost = lost.next().map(|(id, _)| id);
    must(lost.is_none(), || {
        format!("{lost:?} passes, and its merge is gone")
    })
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
            Event::BranchMoved(event) => all_there(book, git, &event.to),
            Event::RunFinished(_) => all_there(book, git, &book.head),
            _ => Ok(()),
        }
    }
}
