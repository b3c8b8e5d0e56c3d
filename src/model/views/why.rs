//! The view behind `scheduler why N`: a feature's status explained from the log alone.

use serde::Serialize;

use super::timeline::rank_words;
use super::timeline_entry::{EntryFold, TimelineEntry};
use crate::model::actor::Actor;
use crate::model::derived_status::{Chain, DerivedStatus, DerivedStatuses};
use crate::model::event::{Event, FeatureAssigned, RankTerms, Recorded};
use crate::model::format;
use crate::model::ids::{FeatureId, Sequence, Timestamp};
use crate::model::state::State;

/// Ready features ahead of this one that are listed.
const AHEAD_MAX: usize = 5;

/// An explanation of a feature's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Name of the feature.
    pub name: String,
    /// Its derived status.
    pub status: DerivedStatus,
    /// The reasons for the status, one sentence each.
    pub because: Vec<String>,
    /// What it waits for.
    pub chain: Chain,
    /// Its rank among the ready features.
    pub terms: Option<RankTerms>,
    /// The first ready features ahead of it, best first.
    pub ahead: Vec<(FeatureId, RankTerms)>,
    /// Number of ready features ahead of it.
    pub ahead_total: u32,
    /// When it was among the next best, but another feature was chosen.
    pub passed_over: Option<PassedOver>,
    /// What happened to it, in order.
    pub entries: Vec<TimelineEntry>,
}

/// How often a ready feature was not chosen, and why the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Number of times.
    pub times: u32,
    /// The last assignment of another feature.
    pub sequence: Sequence,
    /// The feature that was chosen then.
    pub chosen: FeatureId,
    /// Rank of the chosen feature then.
    pub terms: RankTerms,
    /// Rank of this feature then.
    pub own: RankTerms,
}

/// A fold that collects the events of one feature.
pub struct WhyFold {
    feature: FeatureId,
    fold: EntryFold,
    passed_over: Option<PassedOver>,
    /// The event that removed the feature, its time, and who caused it.
    removed: Option<(Sequence, Timestamp, Actor)>,
    entries: Vec<TimelineEntry>,
}

impl WhyFold {
    /// A fold that has not seen any event yet.
    pub fn new(feature: FeatureId) -> Self {
        Self {
            feature,
            fold: EntryFold::default(),
            passed_over: None,
            removed: None,
            entries: Vec::new(),
        }
    }

    /// Folds the next event; events come in order from the first.
    pub fn event(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::FeatureAssigned(it) => self.assigned(recorded.sequence, it),
            Event::FeatureRemoved(it) if it.feature == self.feature => {
                self.removed = Some((recorded.sequence, recorded.at, recorded.actor.clone()));
            }
            _ => {}
        }
        if let Some((features, entry)) = self.fold.describe(recorded)
            && features.contains(&self.feature)
        {
            self.entries.push(entry);
        }
    }

    fn assigned(&mut self, sequence: Sequence, it: &FeatureAssigned) {
        let first = it.features.first().copied().unwrap_or_default();
        let own = it.runners_up.iter().find(|(id, _)| *id == self.feature);
        if let Some(&(_, own)) = own {
            let times = self.passed_over.as_ref().map_or(0, |before| before.times) + 1;
            let (chosen, terms) = (first, it.terms);
            self.passed_over = Some(PassedOver {
                times,
                sequence,
                chosen,
                terms,
                own,
            });
        }
    }

    /// The explanation at `state`, the fold of the same events; `None` if there was never such
    /// a feature.
    pub fn answer(self, state: &State, now: Timestamp) -> Option<Why> {
        let feature = state.in_slot(state.slot(self.feature)?)?;
        let statuses = DerivedStatuses::of(state, now);
        let status = statuses.of_feature(feature);
        let chain = match status {
            DerivedStatus::Blocked | DerivedStatus::Unreachable => statuses.chain(self.feature),
            _ => Chain::default(),
        };
        let ready = status == DerivedStatus::Ready;
        let ahead = || {
            state
                .ready()
                .take_while(|(id, _)| ready && *id != self.feature)
        };
        let mut why = Why {
            feature: self.feature,
            name: feature.spec.name.clone(),
            status,
            because: Vec::new(),
            terms: state
                .feature(self.feature)
                .and_then(|it| state.terms(it.id)),
            ahead: ahead().take(AHEAD_MAX).collect(),
            ahead_total: ahead().count() as u32,
            passed_over: self.passed_over,
            entries: self.entries,
            chain,
        };
        why.because = match (&self.removed, status) {
            (Some((sequence, at, actor)), DerivedStatus::Removed) => {
                let since = format::duration(now.since_ms(*at));
                vec![format!(
                    "{actor} removed it from the backlog {since} ago (event {sequence})"
                )]
            }
            _ => because(&why, state, &statuses, now),
        };
        Some(why)
    }
}

/// The reasons for the status, one sentence each.
fn because(
    why: &Why,
    state: &State,
    statuses: &DerivedStatuses<'_>,
    now: Timestamp,
) -> Vec<String> {
    let Some(feature) = state.feature(why.feature) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    match why.status {
        DerivedStatus::Running => out.push("an attempt is working on it".to_owned()),
        DerivedStatus::Passing => out.push(match feature.basis {
            Some(crate::model::evidence::Basis::AgentWord) => {
                "it has no checks, and its agent said that it is done".to_owned()
            }
            _ => "its checks passed on the tree that was merged".to_owned(),
        }),
        DerivedStatus::NeedsInput => {
            let question = feature.words.question.as_deref().unwrap_or("something");
            let number = why.feature.0;
            out.push(format!("its agent asks: {question}"));
            out.push(format!("answer with `scheduler answer {number} TEXT`"));
        }
        DerivedStatus::Parked => {
            let number = why.feature.0;
            out.push("it failed too often".to_owned());
            out.push(format!(
                "`scheduler retry {number}` forgives its failures and tries again"
            ));
        }
        DerivedStatus::Skipped if feature.words.skipped.is_empty() => {
            out.push("a person skipped it".to_owned());
        }
        DerivedStatus::Skipped => {
            out.push(format!("a person skipped it: {}", feature.words.skipped))
        }
        DerivedStatus::Blocked | DerivedStatus::Unreachable => {
            out.push(statuses.chain_words(&why.chain))
        }
        DerivedStatus::Delayed => {
            let wait = format::duration(feature.not_before.since_ms(now));
            out.push(format!(
                "it is tried again in {wait}, because its last attempt failed"
            ));
        }
        DerivedStatus::Ready => out.extend(ready(why, state)),
        DerivedStatus::Removed => out.push("it was removed from the backlog".to_owned()),
    }
    if state.is_unproven(feature) {
        let number = why.feature.0;
        out.push("its last tests gave no verdict, so it is not known whether it still works; a testing agent must write its verdict to $CREWLOG_VERDICT".to_owned());
        out.push(format!("`scheduler retry {number}` tests it again"));
    }
    if let (DerivedStatus::Ready | DerivedStatus::Delayed, Some(_)) = (why.status, &state.paused) {
        out.push("the run is paused; `scheduler resume` continues it".to_owned());
    }
    out
}

fn ready(why: &Why, state: &State) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(terms) = &why.terms {
        out.push(format!("it can be tried now: {}", rank_words(terms)));
    }
    match (why.ahead_total, state.open_run()) {
        (_, None) => out.push("no run is open; start one with `scheduler run`".to_owned()),
        (0, Some(_)) => out.push("it is next".to_owned()),
        (1, Some(_)) => out.push("1 ready feature ranks higher".to_owned()),
        (ahead, Some(_)) => out.push(format!("{ahead} ready features rank higher")),
    }
    out
}

#[cfg(test)]
mod tests;
