//! Where each feature stands, and what it waits for: its status, seen together with the others'.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::model::feature::Status;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::state::{Feature, State};

/// Where a feature stands. In the order in which people want to hear of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DerivedStatus {
    /// An attempt works on it.
    Running,
    /// An agent needs an answer before it can go on.
    NeedsInput,
    /// Its tries are used up.
    Parked,
    /// It waits for one that is parked or skipped, and so for a person.
    Unreachable,
    /// It may be tried now.
    Ready,
    /// It may be tried after a wait.
    Delayed,
    /// It waits for others.
    Blocked,
    /// A person decided to go without it.
    Skipped,
    /// Merged and proven.
    Passing,
}

impl DerivedStatus {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::NeedsInput,
        Self::Parked,
        Self::Unreachable,
        Self::Ready,
        Self::Delayed,
        Self::Blocked,
        Self::Skipped,
        Self::Passing,
    ];

    /// As people read it.
    pub fn word(self) -> &'static str {
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
        }
    }
}

/// Links of a chain that are told; people look at its beginning and at its end.
const LINKS_MAX: usize = 16;

/// What a feature waits for: itself, what it waits for, and so on to the one that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The first links, beginning with the feature itself; empty when it waits for nothing.
    pub links: Vec<FeatureId>,
    /// How many links there are in all.
    pub length: u32,
    /// The last one.
    pub end: FeatureId,
}

/// The statuses of a whole backlog, computed together in time proportional to its size.
pub struct DerivedStatuses<'a> {
    state: &'a State,
    now: Timestamp,
    /// For a feature behind one that waits for a person: the next one on the way to it.
    stuck_by: BTreeMap<FeatureId, FeatureId>,
    /// Those of them whose way leads to one that is parked or skipped.
    unreachable: BTreeSet<FeatureId>,
    /// For every feature on a chain: how many links there are from it, and the last one.
    ends: BTreeMap<FeatureId, (u32, FeatureId)>,
}

impl<'a> DerivedStatuses<'a> {
    /// Looks at all features as they are in `state` at `now`.
    pub fn of(state: &'a State, now: Timestamp) -> Self {
        let mut statuses = Self {
            state,
            now,
            stuck_by: BTreeMap::new(),
            unreachable: BTreeSet::new(),
            ends: BTreeMap::new(),
        };
        // The hopeless first: whoever waits for both is unreachable.
        statuses.spread(&[Status::Parked, Status::Skipped]);
        statuses.unreachable = statuses.stuck_by.keys().copied().collect();
        statuses.spread(&[Status::NeedsInput]);
        statuses.find_ends();
        statuses
    }

    /// Follows every chain once: it stops where another has been before.
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

    /// Walks from features of these statuses to all that wait for them, breadth first, so that
    /// the chains it leaves are the shortest.
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

    /// Where a feature stands.
    pub fn of_feature(&self, feature: &Feature) -> DerivedStatus {
        match feature.status {
            Status::Running => DerivedStatus::Running,
            Status::Passing => DerivedStatus::Passing,
            Status::NeedsInput => DerivedStatus::NeedsInput,
            Status::Parked => DerivedStatus::Parked,
            Status::Skipped | Status::Removed => DerivedStatus::Skipped,
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

    /// What a blocked or unreachable feature waits for. Where a person has to act, the shortest
    /// way there; otherwise the way of the longest expected time, for which it will wait.
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

    /// A chain in words: `#7 waits for #4 waits for #1 (parked)`, its middle left out when long.
    pub fn chain_words(&self, chain: &Chain) -> String {
        let mut words: Vec<String> = chain.links.iter().map(ToString::to_string).collect();
        if chain.length > 8 {
            words.truncate(5);
            words.push(format!("{} more", chain.length - 6));
            words.push(chain.end.to_string());
        }
        let end = self.state.feature(chain.end);
        let end = end.map_or("gone", |end| self.of_feature(end).word());
        format!("{} ({end})", words.join(" waits for "))
    }
}
