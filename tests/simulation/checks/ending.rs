//! A run that ends has nothing open, and says what is so.

use crate::model::event::{Event, RunOutcome};
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Ending;

impl Checker for Ending {
    fn name(&self) -> &'static str {
        "the end is what it says"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, git: &Git) -> Result<(), String> {
        if let Sight::Over { outcome } = *sight {
            let ended = !book.running && book.open.is_empty();
            must(ended, || {
                format!("it ended with {outcome:?} and goes on in the log")
            })?;
            return Ok(());
        }
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        let Event::RunFinished(event) = &recorded.event else {
            return Ok(());
        };
        let open: Vec<_> = book.open.keys().collect();
        must(open.is_empty(), || {
            format!("it ends while {open:?} are open")
        })?;
        must(book.merge.is_none(), || "it ends in a merge".to_owned())?;
        if event.outcome != RunOutcome::AllPassing {
            return Ok(());
        }
        for (id, facts) in &book.features {
            if matches!(facts.held, Some("skipped" | "removed")) {
                continue;
            }
            must(facts.passing, || format!("all pass, but {id} does not"))?;
            let proven = facts.proven.as_ref();
            let last = book.settings.testing == 0 || proven == Some(&book.head);
            must(last, || {
                format!("{id} was verified at {proven:?}, the end is {}", book.head)
            })?;
        }
        if git.unnoticed {
            return Ok(());
        }
        let head = git.contains(&book.head);
        must(head, || format!("{} is not on the branch", book.head))
    }
}
