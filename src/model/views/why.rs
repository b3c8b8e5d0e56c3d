//! Why a feature is where it is, from the log alone.

use serde::Serialize;

use super::timeline::rank_words;
use super::timeline_entry::{EntryFold, TimelineEntry};
use crate::model::derived_status::{Chain, DerivedStatus, DerivedStatuses};
use crate::model::event::{Event, FeatureAssigned, RankTerms, Recorded};
use crate::model::format;
use crate::model::ids::{FeatureId, Sequence, Timestamp};
use crate::model::state::State;

/// Ready features ahead of this one that are named.
const AHEAD_MAX: usize = 5;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Which.
    pub feature: FeatureId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub status: DerivedStatus,
    /// Why it stands there, in sentences.
    pub because: Vec<String>,
    /// What it waits for.
    pub chain: Chain,
    /// The terms of its place in the order.
    pub terms: Option<RankTerms>,
    /// The ready features ahead of it, best first, the first few.
    pub ahead: Vec<(FeatureId, RankTerms)>,
    /// How many features are ahead of it.
    pub ahead_total: u32,
    /// How often another was chosen while it was among the next best, and when last, and which.
    pub passed_over: Option<PassedOver>,
    /// What happened to it, in order.
    pub entries: Vec<TimelineEntry>,
}

/// Being ready and not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// How often.
    pub times: u32,
    /// The event of the last time.
    pub sequence: Sequence,
    /// Which feature was chosen.
    pub chosen: FeatureId,
    /// By what terms.
    pub terms: RankTerms,
    /// This feature's own terms at that time.
    pub own: RankTerms,
}

/// Collects what concerns one feature while the log goes by.
pub struct WhyFold {
    feature: FeatureId,
    fold: EntryFold,
    passed_over: Option<PassedOver>,
    entries: Vec<TimelineEntry>,
}

impl WhyFold {
    /// Begins before the first event.
    pub fn new(feature: FeatureId) -> Self {
        Self {
            feature,
            fold: EntryFold::default(),
            passed_over: None,
            entries: Vec::new(),
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, recorded: &Recorded) {
        if let Event::FeatureAssigned(it) = &recorded.event {
            self.assigned(recorded.sequence, it);
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

    /// The answer at `state`, which is the fold of the same events; `None` when there is no such
    /// feature.
    pub fn answer(self, state: &State, now: Timestamp) -> Option<Why> {
        let feature = state.feature(self.feature)?;
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
            terms: state.terms(self.feature),
            ahead: ahead().take(AHEAD_MAX).collect(),
            ahead_total: ahead().count() as u32,
            passed_over: self.passed_over,
            entries: self.entries,
            chain,
        };
        why.because = because(&why, state, &statuses, now);
        Some(why)
    }
}

/// The present, in sentences.
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
        DerivedStatus::Running => out.push("an attempt works on it".to_owned()),
        DerivedStatus::Passing => out.push(match feature.basis {
            Some(crate::model::evidence::Basis::AgentWord) => {
                "it has no checks; an agent said that it is done".to_owned()
            }
            _ => "its checks passed on the tree that was merged".to_owned(),
        }),
        DerivedStatus::NeedsInput => {
            let question = feature.words.question.as_deref().unwrap_or("something");
            let number = why.feature.0;
            out.push(format!("an agent asks: {question}"));
            out.push(format!("answer with `scheduler answer {number} TEXT`"));
        }
        DerivedStatus::Parked => {
            let number = why.feature.0;
            out.push("its tries are used up".to_owned());
            out.push(format!("`scheduler retry {number}` forgives its failures"));
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
                "after its last failure it waits for another {wait}"
            ));
        }
        DerivedStatus::Ready => out.extend(ready(why, state)),
    }
    if state.is_unproven(feature) {
        let number = why.feature.0;
        out.push("its last tests came to no verdict, so that nobody knows whether it still works; a testing agent writes its verdict to $CREWLOG_VERDICT".to_owned());
        out.push(format!("`scheduler retry {number}` tests it again"));
    }
    if let (DerivedStatus::Ready | DerivedStatus::Delayed, Some(_)) = (why.status, &state.paused) {
        out.push("the run is paused; `scheduler resume` goes on".to_owned());
    }
    out
}

fn ready(why: &Why, state: &State) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(terms) = &why.terms {
        out.push(format!("it may be tried now: {}", rank_words(terms)));
    }
    match (why.ahead_total, state.open_run()) {
        (_, None) => out.push("no run is open; `scheduler run` starts one".to_owned()),
        (0, Some(_)) => out.push("it is the next one".to_owned()),
        (ahead, Some(_)) => out.push(format!("{ahead} ready before it")),
    }
    out
}

#[cfg(test)]
mod tests;
