//! A trouble of the machine costs no feature a try, and while it lasts one attempt at a time looks
//! whether it is over.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::event::Event;
use crate::model::ids::{AttemptId, FeatureId, Timestamp};
use crate::model::trouble::{OWN_MAX, TroubleKind};
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Troubles {
    /// Attempts that the machine failed.
    failed: BTreeSet<AttemptId>,
    /// The trouble that is open.
    open: Option<Open>,
    /// How often features have met a failing provider, and then others got further.
    alone: BTreeMap<FeatureId, u32>,
}

struct Open {
    /// A provider's, which keeps back agents only.
    provider: bool,
    /// Nothing starts before.
    until: Timestamp,
    /// What started since its last event.
    probes: Vec<AttemptId>,
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
                let provider = event.kind == TroubleKind::Provider;
                if known.is_none_or(|open| open.probes.contains(&event.attempt)) {
                    self.open = Some(Open {
                        provider,
                        until: event.until,
                        probes: Vec::new(),
                    });
                }
                let job = book.open.get(&event.attempt).filter(|_| provider);
                for id in job.into_iter().flat_map(|job| &job.features) {
                    *self.alone.entry(*id).or_default() += 1;
                }
            }
            // A person who resumes wants it tried at once; a new run starts without it.
            Event::CrewRecovered(_) | Event::RunResumed(_) | Event::RunStarted(_) => {
                self.open = None;
            }
            Event::FeatureFailed(event) => {
                // What happens to one feature again and again may be its own doing.
                let own = self.alone.get(&event.feature).copied().unwrap_or_default() > OWN_MAX;
                return must(own || !self.failed.contains(&event.attempt), || {
                    format!(
                        "{} failed by {}, which the machine failed",
                        event.feature, event.attempt
                    )
                });
            }
            Event::AttemptStarted(event) => {
                let agent = book
                    .assigned(event.job)
                    .is_some_and(|job| job.starts_agent(book));
                let Some(open) = self.open.as_mut().filter(|open| agent || !open.provider) else {
                    return Ok(());
                };
                let until = open.until;
                must(until <= recorded.at, || {
                    format!(
                        "an attempt at {}, the trouble holds until {until}",
                        recorded.at
                    )
                })?;
                let mut probes = open.probes.iter();
                let other = probes.find(|probe| book.open.contains_key(probe));
                must(other.is_none(), || format!("{other:?} is a probe already"))?;
                open.probes.push(AttemptId(recorded.sequence.0));
            }
            _ => {}
        }
        Ok(())
    }
}
