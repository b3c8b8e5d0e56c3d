//! A provider's outage costs few sessions, however many workers there are.

use std::collections::BTreeMap;

use crate::model::event::Event;
use crate::model::profile::ProfileName;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

/// So many sessions of the whole crew an hour of outage may cost.
const HOURLY_MAX: u64 = 12;

/// Workers of a crew: each may have begun a session before anybody knew, and does so again when a
/// person wants everything tried at once.
const CREW_MAX: u64 = 6;

#[derive(Default)]
pub struct Outages {
    open: BTreeMap<ProfileName, Open>,
}

struct Open {
    since_ms: u64,
    sessions: u64,
    /// How often a person, a new run or a clock that was set ended a wait before its time.
    again: u64,
}

impl Checker for Outages {
    fn name(&self) -> &'static str {
        "an outage costs few sessions"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, _: &Git) -> Result<(), String> {
        match sight {
            Sight::Outage {
                profile,
                at_ms,
                begins,
            } => {
                self.open.remove(*profile);
                let open = Open {
                    since_ms: *at_ms,
                    sessions: 0,
                    again: 0,
                };
                if *begins {
                    self.open.insert((*profile).clone(), open);
                }
            }
            Sight::Durable(recorded) => {
                let again = matches!(
                    recorded.event,
                    Event::RunStarted(_)
                        | Event::RunResumed(_)
                        | Event::ClockJumped(_)
                        | Event::SettingsChanged(_)
                );
                for open in self.open.values_mut() {
                    open.again += u64::from(again);
                }
            }
            Sight::Began { profile, at_ms, .. } => {
                let Some(open) = self.open.get_mut(*profile) else {
                    return Ok(());
                };
                open.sessions += 1;
                let hours = 1 + at_ms.saturating_sub(open.since_ms) / 3_600_000;
                let most = HOURLY_MAX * hours + CREW_MAX * (1 + open.again);
                let sessions = open.sessions;
                must(sessions <= most, || {
                    format!(
                        "{sessions} sessions of {profile} in {hours} h without a provider, at most {most}"
                    )
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}
