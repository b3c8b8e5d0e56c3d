//! A pass that rests on checks is true: the feature works in the tree that they ran on.

use crate::model::event::Event;
use crate::model::evidence::Basis;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Proof;

impl Checker for Proof {
    fn name(&self) -> &'static str {
        "a pass is evidence"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, git: &Git) -> Result<(), String> {
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        let (feature, evidence) = match &recorded.event {
            Event::FeaturePassed(event) => (event.feature, &event.evidence),
            Event::TestPassed(event) => (event.feature, &event.evidence),
            _ => return Ok(()),
        };
        let checks = book
            .features
            .get(&feature)
            .map(|facts| facts.spec.checks.len());
        if checks.unwrap_or_default() == 0 {
            return Ok(());
        }
        let word = evidence.basis == Basis::AgentWord;
        must(!word, || {
            format!("{feature} has checks and passes by a word")
        })?;
        let works = git.works(&evidence.commit, feature);
        must(works, || {
            format!("{feature} passes and does not work at {}", evidence.commit)
        })
    }
}
