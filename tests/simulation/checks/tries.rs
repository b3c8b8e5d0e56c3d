//! A feature is not tried more often than the rules say.

use crate::model::event::Event;
use crate::model::settings::WorkerKind;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Tries;

impl Checker for Tries {
    fn name(&self) -> &'static str {
        "tries are counted"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        let Event::AttemptStarted(event) = &recorded.event else {
            return Ok(());
        };
        let job = book.assigned(event.job);
        let Some(job) = job.filter(|job| job.kind == WorkerKind::Coding) else {
            return Ok(());
        };
        let most = book.settings.max_attempts;
        let failures = |id| book.features.get(id).map_or(0, |facts| facts.failures);
        let spent = job.features.iter().find(|id| failures(id) >= most);
        must(spent.is_none(), || {
            format!("{spent:?} has failed {most} times and is tried again")
        })
    }
}
