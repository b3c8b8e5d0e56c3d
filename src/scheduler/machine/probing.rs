//! Letting agents of a profile out one at a time while nobody knows whether they can work: at the start of a
//! scheduler, because agents that start together on a fresh home trip over each other, and after an
//! outage, because a provider that is back may not bear the whole crew at once.

use std::collections::BTreeSet;

use super::Machine;
use crate::model::ids::{AttemptId, Sequence};
use crate::model::plan::Probing;
use crate::model::profile::ProfileName;
use crate::model::report::{AttemptReport, Report};
use crate::model::trouble::{Stage, Trouble, TroubleKind};
use crate::protocol::Phase;

/// What an agent has to show before the next one is let out. Known to this process only: the next
/// scheduler asks anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// That it starts; then all may.
    Start,
    /// That its provider answers: a step that is done. When a whole session is over, all may.
    Answer,
}

/// Sessions of a profile in a row, of whichever worker, that ended without any work. Known to this process only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workless(u32);

/// So many of them are the provider's or the profile's doing, whatever the agents said about it.
const WORKLESS_MAX: u32 = 2;

impl Workless {
    /// Counts a report, and makes a failure that says nothing about the features a trouble.
    pub fn look_at(&mut self, reported: &mut AttemptReport) {
        if matches!(reported.report, Report::Released { .. }) {
            return;
        }
        if !reported.workless {
            self.0 = 0;
            return;
        }
        self.0 = self.0.saturating_add(1);
        let Report::Failed { failures, .. } = &reported.report else {
            return;
        };
        let told = failures.iter().any(|(_, it)| it.kind.is_refusal());
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
    /// The first agent of each profile goes alone.
    pub(super) fn ask_for_starts(&mut self) {
        let since = self.core.state().sequence;
        let profiles: Vec<ProfileName> = self.core.state().profiles.all().cloned().collect();
        for profile in profiles {
            self.probe(profile, Asked::Start, since);
        }
    }

    fn probe(&mut self, profile: ProfileName, asked: Asked, since: Sequence) {
        self.asked.insert(profile.clone(), asked);
        let probing = Probing {
            since,
            answered: BTreeSet::new(),
            start: asked == Asked::Start,
        };
        self.world.probing.insert(profile, probing);
    }

    /// Begins to ask when a provider refuses or fails, and forgets attempts that are over.
    pub(super) fn look_for_outages(&mut self) {
        let state = self.core.state();
        let begun = state.outages().filter(|(profile, outage)| {
            let known = self.world.probing.get(profile).map(|it| it.since);
            self.asked.get(profile) != Some(&Asked::Answer) || known < Some(outage.since)
        });
        let begun: Vec<_> = begun.map(|(name, it)| (name.clone(), it.since)).collect();
        for (profile, since) in begun {
            self.probe(profile, Asked::Answer, since);
        }
        let state = self.core.state();
        let mut work = Vec::new();
        for (profile, probing) in &mut self.world.probing {
            let all = probing.answered.len();
            let open = |attempt: &AttemptId| state.attempts().contains_key(attempt);
            probing.answered.retain(open);
            let ended = probing.answered.len() < all;
            let asked = self.asked.get(profile) == Some(&Asked::Answer);
            if asked && ended && state.outage(profile).is_none() {
                work.push(profile.clone());
            }
        }
        work.iter().for_each(|profile| self.agents_work(profile));
    }

    /// An agent has come so far: its phase, and the steps that it has finished.
    pub(super) fn agent_shows(&mut self, attempt: AttemptId, phase: Phase, steps: u32) {
        let Some(profile) = self.core.state().profile_of(attempt).cloned() else {
            return;
        };
        let over = self.is_session_over(attempt, phase);
        let Some(probing) = self.world.probing.get_mut(&profile) else {
            return;
        };
        match self.asked.get(&profile) {
            Some(Asked::Start) if over || phase == Phase::Session => self.agents_work(&profile),
            Some(Asked::Answer) if steps > 0 || over => {
                probing.answered.insert(attempt);
                let probe = attempt.0 > probing.since.0;
                if over && probe && self.core.state().outage(&profile).is_none() {
                    self.agents_work(&profile);
                }
            }
            Some(Asked::Start | Asked::Answer) | None => {}
        }
    }

    fn agents_work(&mut self, profile: &ProfileName) {
        self.asked.remove(profile);
        self.world.probing.remove(profile);
    }
}
