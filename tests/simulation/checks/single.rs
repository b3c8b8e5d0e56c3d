//! No two coding attempts hold one feature at the same time.

use crate::model::event::Event;
use crate::model::settings::WorkerKind;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Single;

impl Checker for Single {
    fn name(&self) -> &'static str {
        "one coding attempt at a time"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        let Event::AttemptStarted(event) = &recorded.event else {
            return Ok(());
        };
        let job = book.assigned(event.job);
        let job = job.ok_or_else(|| format!("an attempt at {}, which nobody knows", event.job))?;
        let coding = WorkerKind::Coding;
        let others = book.open.iter().filter(|(_, open)| open.kind == coding);
        for (attempt, open) in others.filter(|_| job.kind == coding) {
            let both = open.left.iter().find(|id| job.features.contains(id));
            must(both.is_none(), || {
                format!("{both:?} is held by {attempt} already")
            })?;
        }
        let busy = book.open.values().any(|open| open.worker == event.worker);
        must(!busy, || format!("{} has two attempts", event.worker))
    }
}
