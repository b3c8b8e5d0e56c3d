//! What agents used is counted once: never more than they used, and everything that was reported.

use std::collections::BTreeMap;

use crate::model::event::Event;
use crate::model::ids::{AttemptId, CommandId};
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

/// Tokens of each attempt, as seen in three places.
#[derive(Default)]
pub struct Spent {
    used: BTreeMap<AttemptId, u64>,
    reported: BTreeMap<CommandId, u64>,
    recorded: BTreeMap<AttemptId, u64>,
}

impl Checker for Spent {
    fn name(&self) -> &'static str {
        "what was used is counted once"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, _: &Git) -> Result<(), String> {
        match *sight {
            Sight::Used { attempt, tokens } => *self.used.entry(attempt).or_default() += tokens,
            Sight::Wrote { id, tokens, .. } => {
                self.reported.insert(id, tokens);
            }
            Sight::Durable(recorded) => {
                let Event::UsageRecorded(event) = &recorded.event else {
                    return Ok(());
                };
                let attempt = event.attempt;
                let total = self.recorded.entry(attempt).or_default();
                *total += event.usage.tokens();
                let used = self.used.get(&attempt).copied().unwrap_or_default();
                must(*total <= used, || {
                    format!("{attempt} has used {used} tokens, and {total} are recorded")
                })?;
            }
            Sight::Answered { id, attempt, .. } => {
                let told = self.reported.get(&id).copied().unwrap_or_default();
                let total = self.recorded.get(&attempt).copied().unwrap_or_default();
                must(total >= told, || {
                    format!("{attempt} has reported {told} tokens, and {total} are recorded")
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}
