//! Parking: a feature whose tries are used up does not return to the waiting ones.
//!
//! One rule for every way back to the backlog: a failure, a released or lost job, an answer, a
//! regression, stricter settings, a start. The parking is an event of its own, in the same batch as
//! the event that brings the feature back.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::event::{Event, FeatureParked};
use crate::model::feature::Status;
use crate::model::ids::{AttemptId, FeatureId};
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::{Feature, LOST_MAX, State};

/// The same events, each followed by the parking of features that it brings back with their tries
/// used up.
pub fn follow(state: &State, events: Vec<Event>) -> Vec<Event> {
    let mut parking = Parking {
        state,
        settings: &state.settings,
        counts: BTreeMap::new(),
        closed: BTreeSet::new(),
        excused: BTreeSet::new(),
    };
    let parked: Vec<Vec<Event>> = events.iter().map(|event| parking.after(event)).collect();
    let pairs = events.into_iter().zip(parked);
    pairs
        .flat_map(|(event, parked)| std::iter::once(event).chain(parked))
        .collect()
}

/// All waiting features whose tries are used up under `settings`. None is left after any command,
/// unless a log ends in the middle of a batch.
pub fn all(state: &State, settings: &Settings) -> Vec<Event> {
    let waiting = state.features().filter(|it| it.waits());
    let spent = waiting.filter_map(|it| Counts::of(it).parked(it.id, settings));
    spent.collect()
}

impl Feature {
    /// It waits for its turn, or for other features.
    fn waits(&self) -> bool {
        matches!(self.status, Status::Pending | Status::Regressed)
    }

    /// Whether its tries are used up under these settings, so that it does not wait for a turn.
    pub fn is_spent(&self, settings: &Settings) -> bool {
        Counts::of(self).parked(self.id, settings).is_some()
    }
}

/// What counts against a feature.
#[derive(Clone, Copy, Default)]
struct Counts {
    failures: u32,
    regressions: u32,
    lost_streak: u32,
}

impl Counts {
    fn of(feature: &Feature) -> Self {
        Self {
            failures: feature.failures,
            regressions: feature.regressions,
            lost_streak: feature.lost_streak,
        }
    }

    fn parked(self, feature: FeatureId, settings: &Settings) -> Option<Event> {
        let most = settings.max_attempts;
        // Two features that keep breaking each other must not continue forever. A regression is no
        // failed try, so it has one more.
        let failures = if self.failures >= most || self.lost_streak >= LOST_MAX {
            self.failures
        } else if self.regressions > most {
            self.regressions
        } else {
            return None;
        };
        Some(FeatureParked { feature, failures }.into())
    }
}

/// Walks over the events of one command, and tracks what they change in their features.
struct Parking<'a> {
    state: &'a State,
    settings: &'a Settings,
    counts: BTreeMap<FeatureId, Counts>,
    closed: BTreeSet<(AttemptId, FeatureId)>,
    excused: BTreeSet<AttemptId>,
}

impl<'a> Parking<'a> {
    fn after(&mut self, event: &'a Event) -> Vec<Event> {
        match event {
            Event::FeatureFailed(it) => {
                let counts = self.counts_of(it.feature);
                counts.failures = counts.failures.saturating_add(1);
                counts.lost_streak = 0;
                self.closed.insert((it.attempt, it.feature));
                self.back_from(it.attempt, it.feature)
            }
            Event::RegressionFound(it) => {
                let counts = self.counts_of(it.feature);
                counts.regressions = counts.regressions.saturating_add(1);
                (counts.failures, counts.lost_streak) = (0, 0);
                self.park(it.feature)
            }
            Event::InputRequested(it) => {
                self.closed.insert((it.attempt, it.feature));
                Vec::new()
            }
            Event::FeaturePassed(it) => {
                self.closed.insert((it.attempt, it.feature));
                Vec::new()
            }
            Event::ProviderLimited(it) => {
                self.excused.insert(it.attempt);
                Vec::new()
            }
            Event::CrewTroubled(it) => {
                self.excused.insert(it.attempt);
                Vec::new()
            }
            Event::AttemptReleased(it) => self.ended(it.attempt, false),
            Event::AttemptLost(it) => self.ended(it.attempt, true),
            Event::InputAnswered(it) => self.park(it.feature),
            Event::RetryRequested(it) => {
                *self.counts_of(it.feature) = Counts::default();
                Vec::new()
            }
            Event::SettingsChanged(it) => self.under(&it.settings),
            Event::RunStarted(it) => self.under(&it.settings),
            _ => Vec::new(),
        }
    }

    fn counts_of(&mut self, feature: FeatureId) -> &mut Counts {
        let known = self.state.feature(feature).map(Counts::of);
        let counts = self.counts.entry(feature);
        counts.or_insert_with(|| known.unwrap_or_default())
    }

    fn park(&mut self, feature: FeatureId) -> Vec<Event> {
        let counts = *self.counts_of(feature);
        let parked = counts.parked(feature, self.settings);
        parked.into_iter().collect()
    }

    /// An attempt releases a feature, which goes back unless a person took it away.
    fn back_from(&mut self, attempt: AttemptId, feature: FeatureId) -> Vec<Event> {
        let open = self.state.attempts.get(&attempt);
        let coding = open.is_some_and(|open| open.job.kind == WorkerKind::Coding);
        let known = self.state.feature(feature);
        let back = known.is_some_and(|it| {
            let held = it.status == Status::Running && it.attempts.contains(&attempt);
            // A lost test counts against a feature that waits for its repair, too.
            coding && held || it.waits()
        });
        match back {
            true => self.park(feature),
            false => Vec::new(),
        }
    }

    /// An attempt ends without an outcome for the features that it still holds.
    fn ended(&mut self, attempt: AttemptId, lost: bool) -> Vec<Event> {
        let Some(open) = self.state.attempts.get(&attempt) else {
            return Vec::new();
        };
        let remaining = open.remaining.iter().copied();
        let remaining = remaining.filter(|&id| !self.closed.contains(&(attempt, id)));
        let remaining: Vec<FeatureId> = remaining.collect();
        let touched = remaining.len() < open.remaining.len();
        let own = open.is_given_back() && !touched && !self.excused.contains(&attempt);
        let mut parked = Vec::new();
        for id in remaining {
            if lost || own {
                let counts = self.counts_of(id);
                counts.lost_streak = counts.lost_streak.saturating_add(1);
            }
            parked.extend(self.back_from(attempt, id));
        }
        parked
    }

    fn under(&mut self, settings: &'a Settings) -> Vec<Event> {
        self.settings = settings;
        all(self.state, settings)
    }
}
