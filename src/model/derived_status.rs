//! Derived status: a feature's status combined with those of the features it depends on, and what it
//! waits for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::model::feature::Status;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::state::{Feature, State};

/// A feature's status as people see it, in the order in which `status` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DerivedStatus {
    /// An attempt is working on it.
    Running,
    /// Its agent asked a question that a person must answer.
    NeedsInput,
    /// It failed for good: its tries are used up.
    Parked,
    /// It depends on a parked or skipped feature, so a person must act.
    Unreachable,
    /// It can be tried now.
    Ready,
    /// It can be tried again after a backoff.
    Delayed,
    /// It waits for features that it depends on.
    Blocked,
    /// A person skipped it.
    Skipped,
    /// It is merged and its checks passed.
    Passing,
    /// A person removed it from the backlog. Only `why` shows removed features.
    Removed,
}

impl DerivedStatus {
    /// Every status, in order.
    pub const ALL: [Self; 10] = [
        Self::Running,
        Self::NeedsInput,
        Self::Parked,
        Self::Unreachable,
        Self::Ready,
        Self::Delayed,
        Self::Blocked,
        Self::Skipped,
        Self::Passing,
        Self::Removed,
    ];

    /// The status's name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::NeedsInput => "needs input",
            Self::Parked => "parked",
            Self::Unreachable => "unreachable",
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
            Self::Passing => "passing",
            Self::Removed => "removed",
        }
    }
}

/// Links kept at the start of a chain; people look at its start and its end.
const LINKS_MAX: usize = 16;

/// What a feature waits for: the feature itself, what it waits for, and so on to the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The first links, starting with the feature itself; empty if it waits for nothing.
    pub links: Vec<FeatureId>,
    /// Total number of links.
    pub length: u32,
    /// The last link.
    pub end: FeatureId,
}

/// The derived statuses of a whole backlog, computed in time linear in its size.
pub struct DerivedStatuses<'a> {
    state: &'a State,
    now: Timestamp,
    /// For each feature that waits for one that needs a person: the next feature on the way to it.
    stuck_by: BTreeMap<FeatureId, FeatureId>,
    /// Those of them that wait for a parked or skipped feature.
    unreachable: BTreeSet<FeatureId>,
    /// For every feature, the length and the last link of its chain.
    ends: BTreeMap<FeatureId, (u32, FeatureId)>,
}

impl<'a> DerivedStatuses<'a> {
    /// Computes the statuses of all features in `state` at `now`.
    pub fn of(state: &'a State, now: Timestamp) -> Self {
        let mut statuses = Self {
            state,
            now,
            stuck_by: BTreeMap::new(),
            unreachable: BTreeSet::new(),
            ends: BTreeMap::new(),
        };
        // Parked and skipped first: a feature that waits for both kinds is unreachable.
        statuses.spread(&[Status::Parked, Status::Skipped]);
        statuses.unreachable = statuses.stuck_by.keys().copied().collect();
        statuses.spread(&[Status::NeedsInput]);
        statuses.find_ends();
        statuses
    }

    /// Follows every chain, and stops where an earlier one was followed.
    fn find_ends(&mut self) {
        let mut path = Vec::new();
        for feature in self.state.features() {
            let mut at = feature.id;
            let (mut length, end) = loop {
                if let Some(&known) = self.ends.get(&at) {
                    break known;
                }
                path.push(at);
                match self.next(at) {
                    Some(next) => at = next,
                    None => break (0, at),
                }
            };
            while let Some(id) = path.pop() {
                length += 1;
                self.ends.insert(id, (length, end));
            }
        }
    }

    /// Searches breadth-first from features of these statuses to everything that waits for them, so
    /// that the chains are the shortest.
    fn spread(&mut self, from: &[Status]) {
        let sources = self.state.features().filter(|it| from.contains(&it.status));
        let mut queue: VecDeque<FeatureId> = sources.map(|it| it.id).collect();
        while let Some(id) = queue.pop_front() {
            for waiting in self.state.dependents(id) {
                let feature = self.state.feature(waiting);
                let open = feature
                    .is_some_and(|it| !matches!(it.status, Status::Passing | Status::Running));
                if open && !self.stuck_by.contains_key(&waiting) {
                    self.stuck_by.insert(waiting, id);
                    queue.push_back(waiting);
                }
            }
        }
    }

    /// The derived status of a feature.
    pub fn of_feature(&self, feature: &Feature) -> DerivedStatus {
        match feature.status {
            Status::Running => DerivedStatus::Running,
            Status::Passing => DerivedStatus::Passing,
            Status::NeedsInput => DerivedStatus::NeedsInput,
            Status::Parked => DerivedStatus::Parked,
            Status::Skipped => DerivedStatus::Skipped,
            Status::Removed => DerivedStatus::Removed,
            Status::Pending | Status::Regressed => {
                if self.unreachable.contains(&feature.id) {
                    DerivedStatus::Unreachable
                } else if self.state.unmet(feature.id) > 0 {
                    DerivedStatus::Blocked
                } else if feature.not_before > self.now {
                    DerivedStatus::Delayed
                } else {
                    DerivedStatus::Ready
                }
            }
        }
    }

    /// What a blocked or unreachable feature waits for. If a person must act, this is the shortest
    /// chain to there; otherwise the chain with the longest expected time.
    pub fn chain(&self, from: FeatureId) -> Chain {
        let &(length, end) = self.ends.get(&from).unwrap_or(&(1, from));
        let steps = std::iter::successors(Some(from), |&at| self.next(at));
        let links = steps.take(LINKS_MAX).collect();
        Chain { links, length, end }
    }

    fn next(&self, at: FeatureId) -> Option<FeatureId> {
        if let Some(&next) = self.stuck_by.get(&at) {
            return Some(next);
        }
        let feature = self.state.feature(at)?;
        if !matches!(feature.status, Status::Pending | Status::Regressed) {
            return None;
        }
        let unmet = feature.spec.depends_on.iter().copied().filter(|&on| {
            let on = self.state.feature(on);
            on.is_some_and(|on| on.status != Status::Passing)
        });
        let chain_ms = |&id: &FeatureId| self.state.terms(id).map(|terms| terms.chain_ms);
        unmet.max_by_key(|id| (chain_ms(id), std::cmp::Reverse(*id)))
    }

    /// A chain as text: `#7 waits for #4 waits for #1 (parked)`. The middle of a long one is left out.
    pub fn chain_words(&self, chain: &Chain) -> String {
        let mut words: Vec<String> = chain.links.iter().map(ToString::to_string).collect();
        if chain.length > 8 {
            words.truncate(5);
            words.push(format!("{} more", chain.length - 6));
            words.push(chain.end.to_string());
        }
        let end = self.state.feature(chain.end);
        let end = end.map_or("removed", |end| self.of_feature(end).as_str());
        format!("{} ({end})", words.join(" waits for "))
    }
}
