//! A trouble of the machine costs no feature a try, and while it lasts one attempt at a time looks
//! whether it is over.

use std::collections::BTreeSet;

use crate::model::event::Event;
use crate::model::ids::{AttemptId, Timestamp};
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Troubles {
    /// Attempts that the machine failed.
    failed: BTreeSet<AttemptId>,
    /// The trouble that is open: nothing starts before, and what started since its last event.
    open: Option<(Timestamp, Vec<AttemptId>)>,
}

impl Checker for Troubles {
    fn name(&self) -> &'static str {
        "a trouble of the machine costs nothing"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        let recorded = match sight {
            Sight::Troubled { attempt } => {
                self.failed.insert(*attempt);
                return Ok(());
            }
            Sight::Durable(recorded) => recorded,
            _ => return Ok(()),
        };
        match &recorded.event {
            Event::CrewTroubled(event) => {
                // What was under way when it was met first says nothing new.
                let known = self.open.as_ref();
                if known.is_none_or(|(_, probes)| probes.contains(&event.attempt)) {
                    self.open = Some((event.until, Vec::new()));
                }
            }
            // A person who resumes wants it tried at once; a new run starts without it.
            Event::CrewRecovered(_) | Event::RunResumed(_) | Event::RunStarted(_) => {
                self.open = None;
            }
            Event::FeatureFailed(event) => {
                return must(!self.failed.contains(&event.attempt), || {
                    format!(
                        "{} failed by {}, which the machine failed",
                        event.feature, event.attempt
                    )
                });
            }
            Event::AttemptStarted(_) => {
                let Some((until, probes)) = &mut self.open else {
                    return Ok(());
                };
                must(*until <= recorded.at, || {
                    format!(
                        "an attempt at {}, the trouble holds until {until}",
                        recorded.at
                    )
                })?;
                let other = probes.iter().find(|probe| book.open.contains_key(probe));
                must(other.is_none(), || format!("{other:?} is a probe already"))?;
                probes.push(AttemptId(recorded.sequence.0));
            }
            _ => {}
        }
        Ok(())
    }
}
