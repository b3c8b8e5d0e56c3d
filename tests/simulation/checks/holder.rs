//! An accepted outcome came from the attempt's current holder, and is what that one said.

use std::collections::BTreeMap;

use crate::model::event::{Event, ProcessIdentity};
use crate::model::ids::{AttemptId, CommandId};
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Holder {
    reports: BTreeMap<CommandId, (AttemptId, ProcessIdentity)>,
}

/// Whose attempt an event ends, or brings further.
fn outcome_of(event: &Event) -> Option<AttemptId> {
    match event {
        Event::MergeStarted(event) => Some(event.attempt),
        Event::FeaturePassed(event) => Some(event.attempt),
        Event::FeatureFailed(event) => Some(event.attempt),
        Event::RegressionFound(event) => Some(event.attempt),
        Event::TestPassed(event) => Some(event.attempt),
        Event::TestInconclusive(event) => Some(event.attempt),
        Event::InputRequested(event) => Some(event.attempt),
        Event::AttemptReleased(event) => Some(event.attempt),
        _ => None,
    }
}

impl Checker for Holder {
    fn name(&self) -> &'static str {
        "an accepted outcome came from the holder"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, git: &Git) -> Result<(), String> {
        let recorded = match *sight {
            Sight::Wrote {
                id,
                attempt,
                process,
                ..
            } => {
                self.reports.insert(id, (attempt, process.clone()));
                return Ok(());
            }
            Sight::Durable(recorded) => recorded,
            _ => return Ok(()),
        };
        let name = recorded.event.name();
        let Some(attempt) = outcome_of(&recorded.event) else {
            return Ok(());
        };
        must(book.open.contains_key(&attempt), || {
            format!("{name} of {attempt}, which is not open")
        })?;
        let holder = book.holder(attempt);
        if let Some((of, process)) = self.reports.get(&recorded.cause) {
            must(*of == attempt && Some(process) == holder, || {
                format!(
                    "{name} of {attempt}, held by {holder:?}, came from a report on {of} by {process:?}"
                )
            })?;
        }
        if let Event::MergeStarted(event) = &recorded.event {
            let made = git.made(&event.commit).map(|made| made.attempt);
            must(made == Some(attempt), || {
                format!("{attempt} merges {}, which {made:?} made", event.commit)
            })?;
        }
        Ok(())
    }
}
