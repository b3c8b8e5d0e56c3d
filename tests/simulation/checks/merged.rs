//! A feature is merged once: each attempt's work is on the branch at most once, what passed by a
//! merge is there, and what is there is told of.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::event::Event;
use crate::model::ids::{AttemptId, CommitId};
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Merged {
    times: BTreeMap<AttemptId, u32>,
    told: BTreeSet<AttemptId>,
    /// Commits that somebody took off the branch.
    lost: BTreeSet<CommitId>,
}

impl Checker for Merged {
    fn name(&self) -> &'static str {
        "a feature is merged once"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, git: &Git) -> Result<(), String> {
        match *sight {
            Sight::Rewound { lost } => {
                for commit in lost {
                    if let Some(made) = git.made(commit) {
                        self.times.remove(&made.attempt);
                    }
                }
                self.lost.extend(lost.iter().cloned());
                Ok(())
            }
            Sight::Moved { to } => {
                let Some(made) = git.made(to) else {
                    return Ok(());
                };
                let attempt = made.attempt;
                let merge = book.merge.as_ref();
                let merging = merge.is_some_and(|(its, _)| *its == attempt);
                if !merging && !self.lost.is_empty() {
                    // A slow git, of a scheduler that is dead perhaps, may find the branch set back
                    // to where its commit fits once more. That is one more foreign move.
                    return Ok(());
                }
                let times = self.times.entry(attempt).or_default();
                *times += 1;
                must(*times == 1, || {
                    format!("{attempt} was merged {times} times")
                })?;
                must(merging, || {
                    format!("{attempt} was merged, and the log does not say so")
                })
            }
            Sight::Durable(recorded) => {
                let Event::FeaturePassed(event) = &recorded.event else {
                    return Ok(());
                };
                let (feature, attempt) = (event.feature, event.attempt);
                let passing = book.features.get(&feature).is_some_and(|it| it.passing);
                must(!passing, || format!("{feature} passes twice"))?;
                self.told.insert(attempt);
                let Some((its, commit)) = &book.merge else {
                    return Ok(());
                };
                must(*its == attempt, || {
                    format!("{attempt} passes, {its} is merging")
                })?;
                must(git.contains(commit) || self.lost.contains(commit), || {
                    format!("{feature} is not on the branch")
                })
            }
            Sight::Over { .. } => {
                let untold = self
                    .times
                    .keys()
                    .find(|attempt| !self.told.contains(attempt));
                must(untold.is_none(), || {
                    format!("{untold:?} is merged unnoticed")
                })
            }
            _ => Ok(()),
        }
    }
}
