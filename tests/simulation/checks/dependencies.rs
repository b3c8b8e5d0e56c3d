//! Nobody works on a feature before all that it waits for passes, and nothing waits for itself.

use std::collections::BTreeSet;

use crate::model::event::Event;
use crate::model::ids::FeatureId;
use crate::model::settings::WorkerKind;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Dependencies;

/// Whether `from` waits for itself when it waits for `on`.
fn circular(book: &Book, from: FeatureId, on: &[FeatureId]) -> bool {
    let mut seen = BTreeSet::new();
    let mut next: Vec<FeatureId> = on.to_vec();
    while let Some(id) = next.pop() {
        if id == from {
            return true;
        }
        if seen.insert(id)
            && let Some(facts) = book.features.get(&id)
        {
            next.extend(&facts.depends_on);
        }
    }
    false
}

impl Checker for Dependencies {
    fn name(&self) -> &'static str {
        "dependencies are respected"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        let acyclic = |id: FeatureId, on: &[FeatureId]| {
            must(!circular(book, id, on), || format!("{id} waits for itself"))
        };
        match &recorded.event {
            Event::FeatureAdded(event) => acyclic(event.feature, &event.spec.depends_on),
            Event::DependenciesSet(event) => acyclic(event.feature, &event.depends_on),
            Event::AttemptStarted(event) => {
                let job = book.assigned(event.job);
                let Some(job) = job.filter(|job| job.kind == WorkerKind::Coding) else {
                    return Ok(());
                };
                for id in &job.features {
                    let facts = book.features.get(id);
                    let on = facts.map(|facts| &facts.depends_on).into_iter().flatten();
                    let passes =
                        |on: &FeatureId| book.features.get(on).is_some_and(|it| it.passing);
                    let unmet: Vec<_> = on.filter(|on| !passes(on)).collect();
                    must(unmet.is_empty(), || {
                        format!("{id} is worked on before {unmet:?}")
                    })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
