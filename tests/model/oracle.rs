//! What has to be true of a state, computed anew and the slow way from the plain features.

use std::collections::{BTreeMap, BTreeSet};

use crewlog::model::event::RankTerms;
use crewlog::model::feature::Status;
use crewlog::model::ids::{FeatureId, Timestamp};
use crewlog::model::settings::WorkerKind;
use crewlog::model::state::{Feature, State};

/// The plain features by number.
struct Oracle<'a> {
    state: &'a State,
    features: BTreeMap<FeatureId, &'a Feature>,
}

/// Asserts that everything the state keeps up to date event by event is what it would be if it
/// were computed now.
pub fn check(state: &mut State) {
    state.settle();
    let state = &*state;
    let features = state.features().map(|feature| (feature.id, feature));
    let oracle = Oracle {
        state,
        features: features.collect(),
    };
    oracle.ready_and_delayed();
    oracle.counts();
    oracle.names_and_edges();
}

impl Oracle<'_> {
    fn waits_for(&self, feature: &Feature) -> Vec<FeatureId> {
        let on = feature.spec.depends_on.iter().copied();
        let unmet = on.filter(|id| match self.features.get(id) {
            Some(feature) => feature.status != Status::Passing,
            None => true,
        });
        unmet.collect()
    }

    fn ready_and_delayed(&self) {
        let mut ready: Vec<(FeatureId, RankTerms)> = Vec::new();
        let mut delayed: BTreeSet<(Timestamp, FeatureId)> = BTreeSet::new();
        for (&id, feature) in &self.features {
            let unmet = self.waits_for(feature).len() as u32;
            assert_eq!(self.state.unmet(id), unmet, "what {id} waits for");
            let open = [Status::Pending, Status::Regressed].contains(&feature.status);
            if !open || unmet > 0 {
                continue;
            }
            if feature.not_before > self.state.at {
                delayed.insert((feature.not_before, id));
            } else {
                ready.push((id, self.terms(feature)));
            }
        }
        // Selected one by one, the best of those that are left.
        let mut ordered = Vec::new();
        while !ready.is_empty() {
            let best =
                (0..ready.len()).reduce(|a, b| if before(&ready[b], &ready[a]) { b } else { a });
            ordered.push(ready.swap_remove(best.unwrap()));
        }
        let listed: Vec<(FeatureId, RankTerms)> = self.state.ready().collect();
        assert_eq!(listed, ordered, "ready features in order");
        assert_eq!(self.state.ready_count(), ordered.len());
        let listed: BTreeSet<(Timestamp, FeatureId)> = self.state.delayed().collect();
        assert_eq!(listed, delayed, "features that wait for their next try");
    }

    fn terms(&self, feature: &Feature) -> RankTerms {
        let mut behind = BTreeSet::new();
        let chain_ms = self.behind(feature.id, &mut behind, 0);
        RankTerms {
            regressed: feature.regressed,
            chain_ms,
            unblocks: behind.len() as u32,
            priority: feature.spec.priority,
        }
    }

    /// The longest chain that begins with a feature, and all that are behind it.
    fn behind(&self, id: FeatureId, all: &mut BTreeSet<FeatureId>, depth: usize) -> u64 {
        assert!(depth <= self.features.len(), "a cycle");
        let mut longest = 0;
        for (&other, feature) in &self.features {
            if feature.spec.depends_on.contains(&id) {
                all.insert(other);
                longest = longest.max(self.behind(other, all, depth + 1));
            }
        }
        let own = self.state.estimates().ms(&self.features[&id].spec.category);
        own.saturating_add(longest)
    }

    fn counts(&self) {
        for status in [
            Status::Pending,
            Status::Running,
            Status::Passing,
            Status::Regressed,
            Status::NeedsInput,
            Status::Skipped,
            Status::Parked,
        ] {
            let count = self
                .features
                .values()
                .filter(|feature| feature.status == status);
            assert_eq!(
                self.state.count(status) as usize,
                count.count(),
                "{status:?}"
            );
        }
        for kind in [WorkerKind::Coding, WorkerKind::Testing] {
            let open = self
                .state
                .attempts()
                .values()
                .filter(|open| open.job.kind == kind);
            assert_eq!(self.state.open_attempts(kind) as usize, open.count());
        }
    }

    fn names_and_edges(&self) {
        for (&id, feature) in &self.features {
            let mut waiting: Vec<FeatureId> = self.state.dependents(id).collect();
            waiting.sort_unstable();
            let depends =
                |(_, other): &(&FeatureId, &&Feature)| other.spec.depends_on.contains(&id);
            let wanted = self
                .features
                .iter()
                .filter(depends)
                .map(|(&other, _)| other);
            assert_eq!(waiting, wanted.collect::<Vec<_>>(), "who waits for {id}");
            assert!(
                feature
                    .spec
                    .depends_on
                    .iter()
                    .all(|on| self.features.contains_key(on))
            );
        }
    }
}

fn before(a: &(FeatureId, RankTerms), b: &(FeatureId, RankTerms)) -> bool {
    let key = |terms: &RankTerms| {
        (
            terms.regressed,
            terms.chain_ms,
            terms.unblocks,
            terms.priority,
        )
    };
    match key(&a.1).cmp(&key(&b.1)) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => a.0 < b.0,
    }
}

/// What holds for every state that the rules lead to, beyond what follows from the features.
pub fn lawful(state: &State) {
    let mut coding: BTreeMap<FeatureId, u32> = BTreeMap::new();
    for (&id, open) in state.attempts() {
        assert!(!open.remaining.is_empty(), "{id} has nothing left to do");
        for feature in &open.remaining {
            if let Some(known) = state.feature(*feature) {
                assert!(
                    known.attempts.contains(&id),
                    "{feature} does not know of {id}"
                );
            }
            if open.job.kind == WorkerKind::Coding {
                *coding.entry(*feature).or_default() += 1;
            }
        }
        let worker = &state.workers()[&open.job.worker];
        assert_eq!(worker.attempt, Some(id));
        assert!(
            worker.kind == open.job.kind || open.job.last,
            "{id} is not its worker's kind of job"
        );
    }
    assert!(
        coding.values().all(|&attempts| attempts == 1),
        "two attempts at one feature: {coding:?}"
    );
    for feature in state.features() {
        let held = coding.contains_key(&feature.id);
        match feature.status {
            Status::Pending | Status::Regressed => assert!(
                !feature.is_spent(&state.settings),
                "{} waits with its tries used up",
                feature.id
            ),
            _ => {}
        }
        match feature.status {
            Status::Running => assert!(held, "{} runs without an attempt", feature.id),
            Status::Skipped => {}
            _ => assert!(
                !held,
                "{} is {:?} and worked on",
                feature.id, feature.status
            ),
        }
        assert_eq!(
            feature.words.question.is_some(),
            feature.status == Status::NeedsInput
        );
        assert!(
            feature
                .attempts
                .iter()
                .all(|id| state.attempts().contains_key(id))
        );
        assert!(feature.verified <= state.head_generation);
    }
    for worker in state.workers().values() {
        assert!(
            worker
                .attempt
                .is_none_or(|id| state.attempts().contains_key(&id))
        );
    }
    if let Some(merge) = state.open_merge() {
        let open = &state.attempts()[&merge.attempt];
        assert_eq!(
            open.cancelled, None,
            "what is being merged cannot be called off"
        );
        assert_eq!(merge.onto, state.head);
    }
    if state.run.as_ref().is_some_and(|run| run.finished.is_some()) {
        assert!(
            state.attempts().is_empty(),
            "attempts are open after the end"
        );
    }
    let merges = state.merges();
    assert!(
        merges.is_sorted_by(|a, b| a.index < b.index),
        "merges are in order"
    );
    let commits: BTreeSet<_> = merges.iter().map(|merge| &merge.commit).collect();
    assert_eq!(commits.len(), merges.len(), "each commit is merged once");
    assert_eq!(state.tally.merged as usize, merges.len());
}
