//! A trouble of the machine or of a provider costs no feature a try, and while it lasts one attempt
//! at a time looks whether it is over.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::event::Event;
use crate::model::evidence::FailureKind;
use crate::model::ids::{AttemptId, FeatureId, Timestamp};
use crate::model::profile::ProfileName;
use crate::model::trouble::OWN_MAX;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Troubles {
    /// Attempts that the machine or a provider failed.
    failed: BTreeSet<AttemptId>,
    /// The machine's trouble that is open.
    machine: Option<Open>,
    /// The profiles that cannot be used.
    profiles: BTreeMap<ProfileName, Open>,
    /// How often features have met a failing provider.
    alone: BTreeMap<FeatureId, u32>,
}

struct Open {
    /// Nothing starts before.
    until: Timestamp,
    /// What started since its last event.
    probes: Vec<AttemptId>,
}

impl Open {
    fn from(until: Timestamp) -> Self {
        let probes = Vec::new();
        Self { until, probes }
    }

    /// An attempt starts that is to show whether it is over.
    fn probe(&mut self, attempt: AttemptId, at: Timestamp, book: &Book) -> Result<(), String> {
        let until = self.until;
        must(until <= at, || {
            format!("an attempt at {at}, the trouble holds until {until}")
        })?;
        let mut probes = self.probes.iter();
        let other = probes.find(|probe| book.open.contains_key(probe));
        must(other.is_none(), || format!("{other:?} is a probe already"))?;
        self.probes.push(attempt);
        Ok(())
    }
}

/// What was under way when it was met first says nothing new.
fn met(known: Option<&Open>, attempt: AttemptId) -> bool {
    known.is_none_or(|open| open.probes.contains(&attempt))
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
            Event::CrewTroubled(event) if met(self.machine.as_ref(), event.attempt) => {
                self.machine = Some(Open::from(event.until));
            }
            Event::ProviderLimited(event) => {
                if met(self.profiles.get(&event.profile), event.attempt) {
                    let open = Open::from(event.until);
                    self.profiles.insert(event.profile.clone(), open);
                }
                let fails = matches!(event.kind, FailureKind::Trouble(_));
                let job = book.open.get(&event.attempt).filter(|_| fails);
                for id in job.into_iter().flat_map(|job| &job.features) {
                    *self.alone.entry(*id).or_default() += 1;
                }
            }
            Event::CrewRecovered(_) => self.machine = None,
            Event::ProfileRecovered(event) => drop(self.profiles.remove(&event.profile)),
            // A person who resumes wants it tried at once; a new run starts without it.
            Event::RunResumed(_) | Event::RunStarted(_) => {
                self.machine = None;
                self.profiles.clear();
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
                let attempt = AttemptId(recorded.sequence.0);
                let profile = event.profile.as_ref();
                let profile = profile.and_then(|profile| self.profiles.get_mut(profile));
                for open in self.machine.iter_mut().chain(profile) {
                    open.probe(attempt, recorded.at, book)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
