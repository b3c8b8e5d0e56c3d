//! Letting agents out one at a time while nobody knows whether they can work: at the start of a
//! scheduler, because agents that start together on a fresh home trip over each other, and after an
//! outage, because a provider that is back may not bear the whole crew at once.

use std::collections::BTreeSet;

use super::Machine;
use crate::model::evidence::FailureKind;
use crate::model::ids::{AttemptId, Sequence};
use crate::model::plan::Probing;
use crate::model::report::{AttemptReport, Report};
use crate::model::state::State;
use crate::model::trouble::{Stage, Trouble, TroubleKind};
use crate::protocol::Phase;

/// What an agent has to show before the next one is let out. Known to this process only: the next
/// scheduler asks anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: agents work.
    #[default]
    Nothing,
    /// That it starts; then all may.
    Start,
    /// That its provider answers: a step that is done. When a whole session is over, all may.
    Answer,
}

/// Sessions in a row, of whichever worker, that ended without any work. Known to this process only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workless(u32);

/// So many of them are the provider's or the profile's doing, whatever the agents said about it.
const WORKLESS_MAX: u32 = 2;

impl Workless {
    /// Counts a report, and makes a failure that says nothing about the features a trouble.
    pub fn look_at(&mut self, reported: &mut AttemptReport) {
        let Report::Failed { failures, .. } = &reported.report else {
            if !matches!(reported.report, Report::Released { .. }) {
                self.0 = 0;
            }
            return;
        };
        if !reported.workless {
            self.0 = 0;
            return;
        }
        self.0 = self.0.saturating_add(1);
        let provider = |kind| {
            matches!(
                kind,
                FailureKind::ProviderLimited | FailureKind::ProviderRefused
            )
        };
        let told = failures.iter().any(|(_, failure)| provider(failure.kind));
        if self.0 < WORKLESS_MAX || told {
            return;
        }
        let reason = failures.first().map(|(_, failure)| failure.reason.as_str());
        reported.report = Report::Troubled(Trouble {
            kind: TroubleKind::Provider,
            stage: Stage::Session,
            reason: format!(
                "{} sessions in a row ended without any work; the last: {}",
                self.0,
                reason.unwrap_or("no reason given")
            ),
        });
    }
}

impl Machine {
    /// The first agent of this scheduler goes alone.
    pub(super) fn ask_for_a_start(&mut self) {
        self.probe(Asked::Start, self.core.state().sequence);
    }

    fn probe(&mut self, asked: Asked, since: Sequence) {
        self.asked = asked;
        self.world.probing = Some(Probing {
            since,
            answered: BTreeSet::new(),
        });
    }

    /// Begins to ask when the provider refuses or fails, and forgets attempts that are over.
    pub(super) fn look_for_outage(&mut self) {
        let state = self.core.state();
        let outage = outage(state);
        let known = self.world.probing.as_ref().map(|probing| probing.since);
        if let Some(since) = outage
            && (self.asked != Asked::Answer || known < Some(since))
        {
            return self.probe(Asked::Answer, since);
        }
        let Some(probing) = &mut self.world.probing else {
            return;
        };
        let all = probing.answered.len();
        let open = |attempt: &AttemptId| state.attempts().contains_key(attempt);
        probing.answered.retain(open);
        let ended = probing.answered.len() < all;
        if self.asked == Asked::Answer && outage.is_none() && ended {
            self.agents_work();
        }
    }

    /// An agent has come so far: its phase, and the steps that it has finished.
    pub(super) fn agent_shows(&mut self, attempt: AttemptId, phase: Phase, steps: u32) {
        let uses_agent = self.core.state().uses_agent(attempt);
        let Some(probing) = self.world.probing.as_mut().filter(|_| uses_agent) else {
            return;
        };
        let over = phase > Phase::Session;
        match self.asked {
            Asked::Start if phase >= Phase::Session => self.agents_work(),
            Asked::Answer if steps > 0 || over => {
                probing.answered.insert(attempt);
                let probe = attempt.0 > probing.since.0;
                if over && probe && outage(self.core.state()).is_none() {
                    self.agents_work();
                }
            }
            Asked::Nothing | Asked::Start | Asked::Answer => {}
        }
    }

    fn agents_work(&mut self) {
        self.asked = Asked::Nothing;
        self.world.probing = None;
    }
}

/// The event since which the provider refuses or fails, if it does.
fn outage(state: &State) -> Option<Sequence> {
    let limited = state.limited.as_ref().map(|limited| limited.since);
    let troubled = state.troubled.as_ref();
    let troubled = troubled.filter(|trouble| trouble.kind == TroubleKind::Provider);
    limited.max(troubled.map(|trouble| trouble.since))
}
