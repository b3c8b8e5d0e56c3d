//! The events. An event is never edited, and a released struct is frozen: a change of shape is a
//! new struct under the same kind with the next version, and an upcaster from the old one.
//!
//! Inside an event: no `usize`, no hash maps, no `flatten`, `untagged` or `skip_serializing_if`,
//! because the bodies are written by bincode, which has no field names to fall back on.

mod outcome;
mod process;
mod terms;

use serde::{Deserialize, Serialize};

pub use self::outcome::RunOutcome;
pub use self::process::ProcessIdentity;
pub use self::terms::{RankTerms, TestTerms};
use super::actor::Actor;
use super::branch::NamedCommit;
use super::config::ConfigChange;
use super::end_reason::EndReason;
use super::evidence::{Evidence, Failure, FailureKind, Usage};
use super::feature::FeatureSpec;
use super::ids::{
    AttemptId, CommandId, CommitId, ContentHash, Epoch, FeatureId, JobId, Sequence, Timestamp,
    WorkerId,
};
use super::profile::{ProfileName, Profiles};
use super::settings::{Settings, WorkerKind};
use super::trouble::{Stage, TroubleKind};

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Position of the event in the log, from 1.
    pub sequence: Sequence,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// When it was decided.
    pub at: Timestamp,
    /// The command that caused it.
    pub cause: CommandId,
    /// Who gave the command.
    pub actor: Actor,
    /// What happened, with its data.
    pub event: Event,
}

/// Declares the events: the enum, the numbers under which they are stored, and their names.
macro_rules! events {
    ($($(#[$doc:meta])* $number:literal $version:literal $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $($(#[$fdoc])* pub $field: $type),* }

            impl From<$name> for Event {
                fn from(event: $name) -> Self { Self::$name(event) }
            }
        )*

        /// An event of the run.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "type", content = "data")]
        #[allow(missing_docs, reason = "each variant is documented at its struct")]
        pub enum Event { $($name($name)),* }

        impl Event {
            /// Number and version under which this event's body is stored.
            pub fn kind(&self) -> EventKind {
                match self { $(Self::$name(_) => EventKind { number: $number, version: $version }),* }
            }

            /// The event's name in the vocabulary.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name)),* }
            }

            /// Passes the body, without any tag, to a serializer.
            pub fn serialize_body<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$name(body) => body.serialize(serializer)),* }
            }

            /// Decodes the body of an event of `kind`; `None` if this build does not know the kind.
            pub fn deserialize_body<'de, D: serde::Deserializer<'de>>(
                kind: EventKind,
                deserializer: D,
            ) -> Option<Result<Self, D::Error>> {
                match (kind.number, kind.version) {
                    $(($number, $version) => Some($name::deserialize(deserializer).map(Self::$name)),)*
                    _ => None,
                }
            }

            /// Every kind that this build can decode, with its name.
            pub const KINDS: &'static [(EventKind, &'static str)] = &[
                $((EventKind { number: $number, version: $version }, stringify!($name))),*
            ];
        }
    };
}

/// The stored number of an event type, and the version of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventKind {
    /// The type; never reused.
    pub number: u16,
    /// The version of its shape, from 1.
    pub version: u16,
}

events! {
    /// A feature was added to the backlog.
    1 1 FeatureAdded {
        /// Number of the feature.
        feature: FeatureId,
        /// Its complete text.
        spec: FeatureSpec,
    }
    /// A feature's text changed (anything except its dependencies).
    2 1 FeatureEdited {
        /// Number of the feature.
        feature: FeatureId,
        /// The new text; its `depends_on` repeats the present dependencies.
        spec: FeatureSpec,
    }
    /// A feature was removed from the backlog. Features that depended on it no longer do.
    3 1 FeatureRemoved {
        /// Number of the feature.
        feature: FeatureId,
    }
    /// A person decided to continue without this feature.
    4 1 FeatureSkipped {
        /// Number of the feature.
        feature: FeatureId,
        /// The person's reason, if given.
        reason: String,
    }
    /// The dependencies of a feature changed.
    5 1 DependenciesSet {
        /// Number of the feature.
        feature: FeatureId,
        /// The new dependencies, ascending.
        depends_on: Vec<FeatureId>,
    }
    /// Features were chosen to be implemented by one attempt.
    11 1 FeatureAssigned {
        /// The worker; its attempt starts in the same batch.
        worker: WorkerId,
        /// The features, the one of highest rank first.
        features: Vec<FeatureId>,
        /// Number of the try at the first of them, from 1.
        attempt_number: u32,
        /// The commit to start from.
        base: CommitId,
        /// The terms of the first one's rank.
        terms: RankTerms,
        /// The next best ready features and their terms, best first.
        runners_up: Vec<(FeatureId, RankTerms)>,
        /// Number of features that were ready.
        ready: u32,
    }
    /// Passing features were chosen to be tested by one attempt.
    12 1 TestAssigned {
        /// The worker; its attempt starts in the same batch.
        worker: WorkerId,
        /// Numbers of its features.
        features: Vec<FeatureId>,
        /// The commit to test.
        base: CommitId,
        /// True at the end of a run, when each is verified once at the final commit.
        last: bool,
        /// The random number, below the sum of all candidates' weights.
        draw: u64,
        /// The terms of the first one's weight.
        terms: TestTerms,
        /// The other candidates of the draw and their terms.
        runners_up: Vec<(FeatureId, TestTerms)>,
    }
    /// A job was called off while it was being worked on, by a person.
    13 2 JobCancelled {
        /// The attempt at it that is to end.
        attempt: AttemptId,
        /// Why it is called off.
        reason: EndReason,
    }
    /// A worker reserved a job. This event's sequence is the attempt's id and fencing token.
    20 2 AttemptStarted {
        /// Number of the job.
        job: JobId,
        /// Number of the worker.
        worker: WorkerId,
        /// The agent that it starts; `None` if it starts none, and in logs of earlier versions.
        profile: Option<ProfileName>,
    }
    /// The worker gave the job back; no failure of anybody.
    21 2 AttemptReleased {
        /// Number of the attempt.
        attempt: AttemptId,
        /// Why it is given back.
        reason: EndReason,
        /// What failed because of that, as text for people; empty if nothing did.
        detail: String,
    }
    /// The worker is gone or wedged; costs the features no try.
    22 2 AttemptLost {
        /// Number of the attempt.
        attempt: AttemptId,
        /// How it is known.
        reason: EndReason,
    }
    /// A report came for an attempt that was over. It changed nothing.
    23 1 LateResultIgnored {
        /// The attempt of the report.
        attempt: AttemptId,
        /// The kind of the report, in a word.
        report: String,
    }
    /// A checked commit is about to become the head of the branch.
    30 1 MergeStarted {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The head that it is based on.
        onto: CommitId,
        /// The commit to merge.
        commit: CommitId,
        /// The files that the commit changes against `onto`, at most [`MergeStarted::TOUCHED_MAX`]
        /// of them.
        touched: Vec<String>,
        /// Number of all files that it changes.
        touched_total: u32,
        /// The proof for each feature of the job.
        evidence: Vec<(FeatureId, Evidence)>,
    }
    /// The open merge did not happen, because the branch is somewhere else. The attempt continues.
    31 1 MergeAborted {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The branch's commit.
        head: CommitId,
    }
    /// Somebody else moved the branch.
    32 1 HeadMoved {
        /// The branch's commit now.
        head: CommitId,
    }
    /// A feature's work is on the branch and proven.
    33 1 FeaturePassed {
        /// Number of the feature.
        feature: FeatureId,
        /// The attempt that merged it.
        attempt: AttemptId,
        /// The proof; if the attempt merged something, it repeats `MergeStarted`'s.
        evidence: Evidence,
    }
    /// An attempt at a feature failed.
    34 1 FeatureFailed {
        /// Number of the feature.
        feature: FeatureId,
        /// Number of the attempt.
        attempt: AttemptId,
        /// Class, reason and checks of the failure.
        failure: Failure,
        /// The next try is not made before this time.
        not_before: Timestamp,
    }
    /// A passing feature no longer passes.
    35 1 RegressionFound {
        /// Number of the feature.
        feature: FeatureId,
        /// The testing attempt that found it.
        attempt: AttemptId,
        /// What the test found.
        failure: Failure,
        /// Merges since it was last known to pass, oldest first: the feature and its commit.
        suspects: Vec<(FeatureId, CommitId)>,
    }
    /// A passing feature still passes.
    36 1 TestPassed {
        /// Number of the feature.
        feature: FeatureId,
        /// The attempt that tested it.
        attempt: AttemptId,
        /// Commit, tree and checks that prove it.
        evidence: Evidence,
    }
    /// A test gave no verdict. It says nothing about the feature.
    37 1 TestInconclusive {
        /// Number of the feature.
        feature: FeatureId,
        /// The attempt that tested it.
        attempt: AttemptId,
        /// What went wrong.
        failure: Failure,
    }
    /// A feature's tries are used up. It waits for a person.
    38 1 FeatureParked {
        /// Number of the feature.
        feature: FeatureId,
        /// Number of failed tries.
        failures: u32,
    }
    /// An agent needs an answer before it can continue.
    40 1 InputRequested {
        /// Number of the feature.
        feature: FeatureId,
        /// Number of the attempt.
        attempt: AttemptId,
        /// The agent's question.
        question: String,
    }
    /// A person answered.
    41 1 InputAnswered {
        /// Number of the feature.
        feature: FeatureId,
        /// The person's answer.
        answer: String,
    }
    /// No new attempts until resumed.
    42 1 RunPaused {
        /// The reason, as text for people.
        reason: String,
    }
    /// Attempts start again.
    43 1 RunResumed {}
    /// A person retries a feature: its failures are forgiven.
    44 1 RetryRequested {
        /// Number of the feature.
        feature: FeatureId,
    }
    /// An attempt used tokens or money.
    50 1 UsageRecorded {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The usage since the last such event of this attempt.
        usage: Usage,
    }
    /// A profile's provider refuses or fails. Nothing new starts with it before `until`, and then one
    /// agent at a time until one has worked.
    51 2 ProviderLimited {
        /// The attempt that met it.
        attempt: AttemptId,
        /// The profile that cannot be used.
        profile: ProfileName,
        /// Class of the failure.
        kind: FailureKind,
        /// When to try again.
        until: Timestamp,
        /// The provider's message.
        reason: String,
    }
    /// The budget is spent; the run ends after the open attempts.
    52 1 BudgetReached {
        /// The total usage.
        spent: Usage,
    }
    /// A run began.
    60 2 RunStarted {
        /// The integration branch, without `refs/heads/`.
        branch: String,
        /// The branch's commit.
        head: CommitId,
        /// All settings of the run.
        settings: Settings,
        /// The seed for all random choices.
        seed: u64,
    }
    /// A worker process joined.
    61 1 WorkerJoined {
        /// The kind of jobs that it takes.
        kind: WorkerKind,
        /// Its name for people: `worker-3`.
        name: String,
        /// Identity of its process.
        process: ProcessIdentity,
    }
    /// A worker process went.
    62 2 WorkerLeft {
        /// Number of the worker.
        worker: WorkerId,
        /// Why it left.
        reason: EndReason,
    }
    /// The settings changed.
    63 2 SettingsChanged {
        /// All settings, as they are now.
        settings: Settings,
    }
    /// The run ended.
    64 1 RunFinished {
        /// How the run ended.
        outcome: RunOutcome,
        /// The reason, as text for people.
        reason: String,
    }
    /// An attempt met a problem of the machine, which costs no try. Nothing new starts before
    /// `until`, and then one attempt at a time until the problem is over.
    80 1 CrewTroubled {
        /// The attempt; it is released in the same batch.
        attempt: AttemptId,
        /// The kind of problem.
        kind: TroubleKind,
        /// The stage that the attempt reached.
        stage: Stage,
        /// When the next attempt may start; a random time from half a wait to a whole one.
        until: Timestamp,
        /// What failed and why.
        reason: String,
    }
    /// The problem is over: an attempt got further than the one that met it.
    81 1 CrewRecovered {
        /// Number of the attempt.
        attempt: AttemptId,
    }
    /// A profile can be used again: an agent has done some work with it.
    82 1 ProfileRecovered {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The profile that works.
        profile: ProfileName,
    }
    /// The wall clock gained more than the time in which the scheduler ran: it was set, or the
    /// scheduler or its machine was stopped. Durations leave that out.
    85 1 ClockJumped {
        /// The jump in milliseconds.
        by_ms: u64,
    }
    /// The agents that jobs may use, if they differ from the previous run's.
    75 1 ProfilesSet {
        /// All of them, as they are now.
        profiles: Profiles,
    }
    /// A process of an attempt, named by the envelope, gave a command that only people may give.
    70 1 CommandRefused {
        /// The attempt that it belongs to; `None` if the process has hidden it.
        attempt: Option<AttemptId>,
        /// The command: `skip #9`. At most [`CommandRefused::COMMAND_BYTES_MAX`] bytes.
        command: String,
        /// The reason, as text for people.
        reason: String,
    }
    /// The run's config, if it differs from the previous run's.
    71 1 ConfigRecorded {
        /// The whole config, as text in a content file.
        content: ContentHash,
        /// The first few changes; empty for the first run.
        changes: Vec<ConfigChange>,
        /// Number of all changed values.
        changes_total: u32,
    }
    /// Somebody else moved the branch: commits that were added and lost. `HeadMoved` or
    /// `MergeAborted` has recorded the new head before.
    72 1 BranchMoved {
        /// The head that was recorded.
        from: CommitId,
        /// The branch's present commit.
        to: CommitId,
        /// The newest added commits, the first few.
        added: Vec<NamedCommit>,
        /// Number of all added commits.
        added_total: u64,
        /// The newest lost commits, the first few.
        lost: Vec<NamedCommit>,
        /// Number of all lost commits.
        lost_total: u64,
    }
    /// A passing feature's merge is no longer on the branch, so the feature must be done again.
    73 1 WorkLost {
        /// Number of the feature.
        feature: FeatureId,
        /// Object id of its merged commit.
        commit: CommitId,
    }
    /// The branch is checked out somewhere, so nothing is merged; or it is free again.
    74 1 MergesHeld {
        /// Where it is checked out; empty if it is free again.
        at: String,
    }
    /// A note about an attempt that changes nothing and that people should know.
    93 1 AttemptNoted {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The note, in a sentence or two.
        note: String,
    }
}

impl CommandRefused {
    /// A verb and the feature numbers that it is about; a longer list is cut.
    pub const COMMAND_BYTES_MAX: usize = 200;
}

impl MergeStarted {
    /// A merge that touches more files counts as touching everything.
    pub const TOUCHED_MAX: usize = 512;
}
