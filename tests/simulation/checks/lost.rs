//! Nothing is given up, or out anew, before the old worker and all of its agents are gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::event::{Event, ProcessIdentity};
use crate::model::ids::{AttemptId, FeatureId};
use crate::model::settings::WorkerKind;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Lost {
    alive: BTreeSet<(String, u32)>,
    trees: BTreeMap<AttemptId, Vec<FeatureId>>,
}

fn key(process: &ProcessIdentity) -> (String, u32) {
    (process.boot_id.clone(), process.pid)
}

impl Checker for Lost {
    fn name(&self) -> &'static str {
        "lost means gone"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        match *sight {
            Sight::Born { process } => drop(self.alive.insert(key(process))),
            Sight::Died { process } => drop(self.alive.remove(&key(process))),
            Sight::TreeGone { attempt } => drop(self.trees.remove(&attempt)),
            Sight::Began {
                attempt,
                kind: WorkerKind::Coding,
                features,
                ..
            } => {
                for (other, its) in &self.trees {
                    let both = its.iter().find(|id| features.contains(id));
                    must(both.is_none(), || {
                        format!("agents of {other} and {attempt} work on {both:?}")
                    })?;
                }
                self.trees.insert(attempt, features.to_vec());
            }
            Sight::Durable(recorded) => {
                let Event::AttemptLost(event) = &recorded.event else {
                    return Ok(());
                };
                let attempt = event.attempt;
                let holder = book.holder(attempt);
                let alive = holder.is_some_and(|holder| self.alive.contains(&key(holder)));
                must(!alive, || {
                    format!("{attempt} is lost, and {holder:?} lives")
                })?;
                let tree = self.trees.contains_key(&attempt);
                must(!tree, || format!("{attempt} is lost, and its agent lives"))?;
            }
            Sight::Ended { left } => must(left.is_empty(), || {
                format!("the scheduler ended, and its workers {left:?} live")
            })?,
            _ => {}
        }
        Ok(())
    }
}
