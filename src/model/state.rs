//! The state: a fold of the log.
//!
//! [`State`] contains what cannot be derived from anything else; `index::Indexes` what can, updated
//! with every event, so that no question costs a walk over the backlog.

mod breaker;
mod bytes;
mod estimate;
mod feature;
mod head;
mod index;
mod names;
mod notices;
mod remembered;
mod troubled;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::breaker::{Breaker, Outage};
pub use self::estimate::{Estimates, PRIOR_MS};
pub use self::feature::{Broken, Feature, FeatureWords, Words};
pub use self::head::Unexplained;
use self::index::Indexes;
pub use self::notices::{Notices, Refused};
pub use self::remembered::Remembered;
pub use self::troubled::Troubled;
pub use self::worker::{GIVE_BACKS_FREE, GIVE_BACKS_MAX};
use super::end_reason::EndReason;
use super::event::{ProcessIdentity, RankTerms, RunOutcome};
use super::evidence::{Evidence, FailureKind, Usage};
use super::feature::Status;
use super::graph::Graph;
use super::ids::{AttemptId, CommitId, FeatureId, JobId, Sequence, Timestamp, WorkerId};
use super::profile::{ProfileName, Profiles};
use super::report::Verdict;
use super::settings::{Settings, WorkerKind};

/// Twice the largest backlog that is measured.
pub const FEATURES_MAX: usize = 200_000;

/// Raised whenever [`State`]'s stored shape changes; an older snapshot is then folded anew.
pub const STATE_VERSION: u32 = 14;

/// Tests without a verdict after which a feature is not tested any more.
pub const INCONCLUSIVE_MAX: u32 = 3;

/// A lost attempt costs a feature nothing, but one that takes its worker down every time must not
/// continue forever. Machines that are switched off lose a dozen in a row, hardly a hundred.
pub const LOST_MAX: u32 = 100;

/// The texts of the last few failures go into the next attempt's prompt; more would not be read.
pub const FAILURES_REMEMBERED: usize = 3;

/// Ended attempts whose verdict is kept: a worker repeats its report until it is answered, so one
/// for every working worker would be enough.
pub const CLOSED_MAX: usize = 4_096;

/// Everything known about a run and its backlog, and about earlier runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The last event that was applied.
    pub sequence: Sequence,
    /// The latest time of any event.
    pub at: Timestamp,
    /// Milliseconds that the wall clock has jumped forward in total; durations leave them out.
    pub jumped_ms: u64,
    /// All settings of the run.
    pub settings: Settings,
    /// The integration branch; empty before the first run.
    pub branch: String,
    /// Where it is.
    pub head: CommitId,
    /// What somebody else did to the branch, until `BranchMoved` explains it. The process that asks
    /// git for it may die.
    pub unexplained: Option<Unexplained>,
    /// How often the head has moved; "verified at the head" means "at this number".
    pub head_generation: u32,
    /// The run, even after its end.
    pub run: Option<Run>,
    /// The reason, while a person has paused the run.
    pub paused: Option<String>,
    /// The agents that jobs may use.
    pub profiles: Profiles,
    /// Profiles that have failed, until their work is judged.
    pub(super) breakers: BTreeMap<ProfileName, Breaker>,
    /// The open problem of the machine.
    pub troubled: Option<Troubled>,
    /// What all runs used.
    pub spent: Usage,
    /// Counters for people.
    pub tally: Tally,
    /// Every feature that ever existed, by slot.
    pub(super) features: Vec<Feature>,
    /// The open attempts.
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    /// A job whose attempt has not started yet; it starts in the same batch.
    pub(super) unstarted: Option<Job>,
    /// Workers that joined and have not left.
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// The open merge.
    pub(super) merge: Option<OpenMerge>,
    /// Every merge, oldest first; with its position in `head_generation`.
    pub(super) merges: Vec<Merge>,
    /// Every file that a merge touched, and the last merge that did.
    pub(super) files: Files,
    /// How long features take, by category.
    pub(super) estimates: Estimates,
    /// Results of the attempts that ended last, so that a repeated report gets its first answer; at
    /// most [`CLOSED_MAX`].
    pub(super) closed: BTreeMap<AttemptId, Closed>,
    /// Notices for people that change nothing.
    pub notices: Notices,
    /// Commands that were accepted and may be repeated.
    pub(super) remembered: Remembered,
    #[serde(skip)]
    pub(super) indexes: Indexes,
}

/// A job that is about to be reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Number of the job.
    pub id: JobId,
    /// Number of the worker.
    pub worker: WorkerId,
    /// Coding or testing.
    pub kind: WorkerKind,
    /// Numbers of its features.
    pub features: Vec<FeatureId>,
    /// The commit it starts from.
    pub base: CommitId,
    /// The position of that commit.
    pub base_index: u32,
    /// Which try, from 1.
    pub attempt_number: u32,
    /// Verification at the end of a run.
    pub last: bool,
}

/// An open attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The job that it works on.
    pub job: Job,
    /// When it started.
    pub started: Timestamp,
    /// [`State::jumped_ms`] at that time.
    pub jumped_ms: u64,
    /// Features of the job whose outcome is not known yet.
    pub remaining: Vec<FeatureId>,
    /// Called off by a person: why.
    pub cancelled: Option<EndReason>,
    /// The provider refused it, or the machine failed it.
    pub excused: bool,
    /// The agent that it starts; `None` if it starts none.
    pub profile: Option<ProfileName>,
    /// Its agent has shown that the provider works again.
    pub answered: bool,
    /// What it used so far.
    pub used: Usage,
}

/// An attempt that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// What became of it.
    pub verdict: Verdict,
    /// What it used, as far as is known.
    pub used: Usage,
}

/// A worker process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// What it takes.
    pub kind: WorkerKind,
    /// What people call it.
    pub name: String,
    /// Which process it is.
    pub process: ProcessIdentity,
    /// What it works on.
    pub attempt: Option<AttemptId>,
    /// Consecutive jobs that it released for no reason but its own.
    pub give_backs: u32,
    /// When it last did.
    pub gave_back_at: Timestamp,
}

/// A run: from start to finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The event that began it.
    pub started: Sequence,
    /// Wall-clock time of the start.
    pub started_at: Timestamp,
    /// [`State::jumped_ms`] at that time.
    pub jumped_ms: u64,
    /// The seed for all random choices.
    pub seed: u64,
    /// How it ended, and why.
    pub finished: Option<(RunOutcome, String)>,
    /// What it used.
    pub spent: Usage,
    /// The budget is spent.
    pub budget_reached: bool,
    /// Profiles whose agents have worked in this run.
    pub worked: BTreeSet<ProfileName>,
}

/// A merge that was begun and whose end is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMerge {
    /// Number of the attempt.
    pub attempt: AttemptId,
    /// The head it stands on.
    pub onto: CommitId,
    /// The new head.
    pub commit: CommitId,
    /// Files it touches.
    pub touched: Vec<String>,
    /// How many in all.
    pub touched_total: u32,
    /// Evidence for each feature.
    pub evidence: Vec<(FeatureId, Evidence)>,
}

/// A merge that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The position of the head after it.
    pub index: u32,
    /// The first of the job's features.
    pub feature: FeatureId,
    /// Object id of the commit.
    pub commit: CommitId,
}

/// The files that merges touched, each with a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files {
    numbers: BTreeMap<String, u32>,
    touched: Vec<u32>,
    everything: u32,
}

impl Files {
    /// Records that the merge at `index` touched `names`, and returns their numbers.
    pub fn touch(&mut self, names: &[String], index: u32) -> Vec<u32> {
        let touched = |name: &String| match self.numbers.get(name) {
            Some(&number) => {
                if let Some(slot) = self.touched.get_mut(number as usize) {
                    *slot = index;
                }
                number
            }
            None => {
                let number = self.touched.len() as u32;
                self.numbers.insert(name.clone(), number);
                self.touched.push(index);
                number
            }
        };
        names.iter().map(touched).collect()
    }

    /// Records that the merge at `index` touched more files than are listed.
    pub fn touch_everything(&mut self, index: u32) {
        self.everything = index;
    }

    /// Number of `numbers` that were touched after `index`.
    pub fn touched_since(&self, numbers: &[u32], index: u32) -> u32 {
        if self.everything > index {
            return numbers.len().max(1) as u32;
        }
        let touched = |number: &&u32| self.touched.get(**number as usize) > Some(&index);
        numbers.iter().filter(touched).count() as u32
    }
}

/// Counters for people: what happened since the log began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Coding attempts that started.
    pub coding: u64,
    /// Testing attempts that started.
    pub testing: u64,
    /// Attempts lost with their worker.
    pub lost: u64,
    /// Attempts given back.
    pub released: u64,
    /// Number of merges.
    pub merged: u64,
    /// Failures by kind.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Number of regressions found by tests.
    pub regressions: u64,
    /// Number of tests that passed.
    pub tests_passed: u64,
    /// Late results ignored.
    pub late: u64,
    /// Workers that joined, by kind, for their names.
    pub joined: BTreeMap<WorkerKind, u32>,
}

impl State {
    /// The feature with this number, unless it was removed.
    pub fn feature(&self, id: FeatureId) -> Option<&Feature> {
        let feature = self.features.get(self.slot(id)? as usize)?;
        (feature.status != Status::Removed).then_some(feature)
    }

    /// All features that were not removed, in order of addition.
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        let left = |feature: &&Feature| feature.status != Status::Removed;
        self.features.iter().filter(left)
    }

    /// The number of the feature with this name.
    pub fn feature_named(&self, name: &str) -> Option<FeatureId> {
        let named = |slot: &u32| {
            let feature = self.features.get(*slot as usize);
            feature.is_some_and(|feature| feature.spec.name == name)
        };
        let slot = self.indexes.names.slots(name).find(named)?;
        Some(self.features.get(slot as usize)?.id)
    }

    /// Number of features with this status.
    pub fn count(&self, status: Status) -> u32 {
        self.indexes.counts.get(&status).copied().unwrap_or(0)
    }

    /// The open attempts.
    pub fn attempts(&self) -> &BTreeMap<AttemptId, Attempt> {
        &self.attempts
    }

    /// Workers that joined and have not left.
    pub fn workers(&self) -> &BTreeMap<WorkerId, Worker> {
        &self.workers
    }

    /// The open merge.
    pub fn open_merge(&self) -> Option<&OpenMerge> {
        self.merge.as_ref()
    }

    /// Every merge, oldest first.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The run, unless it has finished.
    pub fn open_run(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| run.finished.is_none())
    }

    /// True while a coding attempt holds the feature, even one that was cancelled and has not ended
    /// yet.
    pub fn being_coded(&self, feature: &Feature) -> bool {
        let coding = |id| {
            let open = self.attempts.get(id);
            open.is_some_and(|open| open.job.kind == WorkerKind::Coding)
        };
        feature.attempts.iter().any(coding)
    }

    /// The time for decisions and plans: never before the last event's, so that after a clock was
    /// set back the two agree on which waits are over.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        now.max(self.at)
    }

    /// Milliseconds from `started` to `now`, without the jumps of the clock since then; `jumped_ms`
    /// is [`State::jumped_ms`] as it was at `started`.
    pub fn ran_ms(&self, started: Timestamp, jumped_ms: u64, now: Timestamp) -> u64 {
        let jumped = self.jumped_ms.saturating_sub(jumped_ms);
        now.since_ms(started).saturating_sub(jumped)
    }

    /// Number of open attempts of a kind.
    pub fn open_attempts(&self, kind: WorkerKind) -> u32 {
        let of_kind = |attempt: &&Attempt| attempt.job.kind == kind;
        self.attempts.values().filter(of_kind).count() as u32
    }

    /// True if the run's budget is spent under the present settings.
    pub fn budget_spent(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| self.settings.exhausted_by(run.spent))
    }

    /// The result of an attempt: `None` while it is open, late if it is no longer known.
    pub fn verdict(&self, attempt: AttemptId) -> Option<Verdict> {
        if self.attempts.contains_key(&attempt) {
            return None;
        }
        let closed = self.closed.get(&attempt);
        Some(closed.map_or(Verdict::Late, |closed| closed.verdict))
    }

    /// What an attempt used, according to the log; `None` if it is no longer known.
    pub fn used(&self, attempt: AttemptId) -> Option<Usage> {
        let open = self.attempts.get(&attempt).map(|open| open.used);
        open.or_else(|| self.closed.get(&attempt).map(|closed| closed.used))
    }

    /// Expected durations of features.
    pub fn estimates(&self) -> &Estimates {
        &self.estimates
    }

    /// Commands that were answered before.
    pub fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Number of unmet dependencies of a feature; without any, it may be ready.
    pub fn unmet(&self, id: FeatureId) -> u32 {
        self.slot(id).map_or(0, |slot| self.indexes.unmet(slot))
    }

    /// True for a passing feature that no test could verify at the head.
    pub fn is_unproven(&self, feature: &Feature) -> bool {
        let behind = feature.verified < self.head_generation;
        feature.status == Status::Passing && behind && feature.untestable()
    }

    /// The terms of a feature's rank.
    pub fn terms(&self, id: FeatureId) -> Option<RankTerms> {
        let slot = self.slot(id)?;
        Some(self.terms_of(slot))
    }

    /// Ready features, highest rank first, with the terms of their rank.
    pub fn ready(&self) -> impl Iterator<Item = (FeatureId, RankTerms)> {
        let ready = self.indexes.ready.iter();
        ready.map(|key| (key.id, key.terms.0))
    }

    /// Number of features that are ready now.
    pub fn ready_count(&self) -> usize {
        self.indexes.ready.len()
    }

    /// Features that only wait for their next try, soonest first.
    pub fn delayed(&self) -> impl Iterator<Item = (Timestamp, FeatureId)> {
        let ids = |&(at, slot): &(Timestamp, u32)| Some((at, self.features.get(slot as usize)?.id));
        self.indexes.delayed.iter().filter_map(ids)
    }

    /// The dependency graph, by slot.
    pub fn graph(&self) -> &Graph {
        &self.indexes.graph
    }

    /// The slot of a feature, even of a removed one.
    pub fn slot(&self, id: FeatureId) -> Option<u32> {
        self.indexes.slot(id)
    }

    /// The feature in a slot, even a removed one.
    pub fn in_slot(&self, slot: u32) -> Option<&Feature> {
        self.features.get(slot as usize)
    }

    /// Features that directly wait for this one.
    pub fn dependents(&self, id: FeatureId) -> impl Iterator<Item = FeatureId> {
        let slots = self
            .slot(id)
            .map_or(&[][..], |slot| self.indexes.graph.dependents(slot));
        slots
            .iter()
            .filter_map(|&slot| Some(self.in_slot(slot)?.id))
    }

    /// True if the graph or an estimate has changed since [`State::settle`] was last called.
    pub fn is_unsettled(&self) -> bool {
        self.indexes.ranks_stale
    }
}
