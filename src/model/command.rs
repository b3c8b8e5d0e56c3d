//! Wishes. A command may be rejected; what was accepted is told by the events that it caused.

use serde::{Deserialize, Serialize};

use super::branch::BranchMove;
use super::config::ConfigChange;
use super::event::{ProcessIdentity, RankTerms, RunOutcome, TestTerms};
use super::evidence::Usage;
use super::feature::FeatureSpec;
use super::ids::{AttemptId, CommitId, ContentHash, FeatureId, WorkerId};
use super::report::Report;
use super::settings::{Settings, WorkerKind};

/// Runners-up that are worth keeping for "why not this one?".
pub const RUNNERS_UP_MAX: usize = 5;

/// Something that somebody wants to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A person, through a command line, a page or a tool.
    Person(PersonCommand),
    /// Begin a run, or go on with an unfinished one under these settings.
    StartRun {
        /// The integration branch.
        branch: String,
        /// Where it is.
        head: CommitId,
        /// The rules.
        settings: Settings,
        /// The seed of all that is drawn.
        seed: u64,
    },
    /// End the run.
    FinishRun {
        /// How.
        outcome: RunOutcome,
        /// In words.
        reason: String,
    },
    /// A worker process came.
    Join {
        /// What it takes.
        kind: WorkerKind,
        /// Which process it is.
        process: ProcessIdentity,
    },
    /// A worker process went; its open attempt, if any, is lost.
    Leave {
        /// Which.
        worker: WorkerId,
        /// How it is known.
        reason: String,
    },
    /// Give ready features to an idle coding worker.
    Assign {
        /// Whom.
        worker: WorkerId,
        /// Which, the one of highest rank first.
        features: Vec<FeatureId>,
        /// By what terms the first was chosen.
        terms: RankTerms,
        /// The next best.
        runners_up: Vec<(FeatureId, RankTerms)>,
        /// How many were ready.
        ready: u32,
    },
    /// Give passing features to an idle testing worker.
    AssignTest {
        /// Whom.
        worker: WorkerId,
        /// Which.
        features: Vec<FeatureId>,
        /// True at the end of a run.
        last: bool,
        /// The number drawn.
        draw: u64,
        /// By what terms the first weighed.
        terms: TestTerms,
        /// The other candidates.
        runners_up: Vec<(FeatureId, TestTerms)>,
    },
    /// A worker reports on its attempt.
    Report {
        /// The attempt, which is at the same time the token.
        attempt: AttemptId,
        /// What it says.
        report: Report,
        /// What the attempt used.
        usage: Usage,
        /// A number drawn for the jitter of the backoff.
        jitter: u64,
    },
    /// An attempt used so much in all so far, whatever becomes of its report.
    Spend {
        /// Which.
        attempt: AttemptId,
        /// How much.
        usage: Usage,
    },
    /// git answered whether the branch moved to the open merge's commit.
    SettleMerge {
        /// Whose merge.
        attempt: AttemptId,
        /// True when the branch contains the commit.
        merged: bool,
        /// Where the branch is.
        head: CommitId,
    },
    /// An attempt is over because its worker cannot be relied on any more.
    Lose {
        /// Which.
        attempt: AttemptId,
        /// How it is known.
        reason: String,
    },
    /// An attempt has got further than the trouble that keeps the crew back.
    Recover {
        /// Which.
        attempt: AttemptId,
    },
    /// The wall clock has jumped forward.
    NoteJump {
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// Record that a process of an attempt was refused what only people may do.
    Refuse {
        /// The attempt that it belongs to, if that is known.
        attempt: Option<AttemptId>,
        /// What it wanted, in words.
        wish: String,
        /// Why not.
        reason: String,
    },
    /// What the run is told.
    RecordConfig {
        /// The text's content file.
        content: ContentHash,
        /// What differs from the last text that was recorded.
        changes: Vec<ConfigChange>,
    },
    /// git says what lies between the recorded head and the one that the branch has.
    ExplainMove(Box<BranchMove>),
    /// The branch is checked out at a place (or free again), so that merges wait.
    HoldMerges {
        /// Where; none when it is free.
        at: Option<String>,
    },
    /// The branch is not where the log says.
    MoveHead {
        /// Where it is.
        head: CommitId,
    },
}

/// What people may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersonCommand {
    /// Bring features into the backlog, all or none.
    Import {
        /// Numbers and texts.
        features: Vec<(FeatureId, FeatureSpec)>,
        /// Features that exist already and differ are changed instead of refused.
        update: bool,
    },
    /// Take a feature out of the backlog.
    Remove {
        /// Which.
        feature: FeatureId,
    },
    /// Go on without a feature.
    Skip {
        /// Which.
        feature: FeatureId,
        /// Why.
        reason: String,
    },
    /// Try features again, their failures forgiven.
    Retry {
        /// Which; none means every one that failed for good: parked, or without a verdict.
        features: Vec<FeatureId>,
    },
    /// Answer an agent's question.
    Answer {
        /// For which feature.
        feature: FeatureId,
        /// What.
        answer: String,
    },
    /// Start no attempts until resumed.
    Pause {
        /// Why.
        reason: String,
    },
    /// Start attempts again.
    Resume,
    /// Change the rules.
    ChangeSettings {
        /// All of them.
        settings: Settings,
    },
}

/// The domain's no. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Rejection {
    /// No such feature.
    #[error("there is no feature {0}; `scheduler status` lists the backlog")]
    UnknownFeature(FeatureId),
    /// The number is taken by a feature that says something else.
    #[error(
        "feature {feature} ({name:?}) is in the backlog already and differs; import with --update to change it"
    )]
    FeatureExists {
        /// Which.
        feature: FeatureId,
        /// Its present name.
        name: String,
    },
    /// The name is taken.
    #[error(
        "the name {name:?} belongs to feature {feature} already; give the new feature another name"
    )]
    NameTaken {
        /// By which.
        feature: FeatureId,
        /// The name.
        name: String,
    },
    /// A text is empty, too long, or holds what it must not.
    #[error("feature {feature}: {problem}")]
    BadFeature {
        /// Which.
        feature: FeatureId,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Dependencies would go in a circle.
    #[error("these features would wait for each other for ever: {}; take one dependency out", chain(.0))]
    Cycle(Vec<FeatureId>),
    /// A dependency names no feature.
    #[error("feature {feature} depends on {missing}, which is not in the backlog")]
    UnknownDependency {
        /// Which.
        feature: FeatureId,
        /// On what.
        missing: FeatureId,
    },
    /// The backlog is as large as it may be.
    #[error("the backlog would have {0} features; at most {limit} are supported", limit = super::state::FEATURES_MAX)]
    TooManyFeatures(u64),
    /// The feature is in a state where this makes no sense.
    #[error("feature {feature} is {status}: {problem}")]
    WrongStatus {
        /// Which.
        feature: FeatureId,
        /// Its status, in words.
        status: String,
        /// Why not, and what to do.
        problem: String,
    },
    /// No run is open.
    #[error("no run is open; start one with `scheduler run`")]
    NoRun,
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] super::settings::SettingError),
    /// The head is not where the work stands; rebase, check, and report again.
    #[error("the branch has moved to {head}")]
    HeadMoved {
        /// Where it is.
        head: CommitId,
    },
    /// Another merge is open; wait for its end.
    #[error("another merge is under way")]
    MergeOpen,
    /// The attempt is not open, or not that worker's.
    #[error("attempt {0} is not open")]
    NotOpen(AttemptId),
    /// The assignment no longer fits: somebody was faster, or the rules changed.
    #[error("the assignment no longer fits: {0}")]
    Stale(String),
    /// It is so already.
    #[error("nothing to do: {0}")]
    NoChange(String),
    /// A process of an attempt may not steer the run that it is part of.
    #[error(
        "agents of an attempt cannot steer the run; this refusal is recorded, and people see it"
    )]
    Agent,
}

impl PersonCommand {
    /// The command's verb and what it is about, for people: `skip #9`.
    pub fn wish(&self) -> String {
        match self {
            Self::Import { features, update } => {
                let option = if *update { " with --update" } else { "" };
                format!("import {} features{option}", features.len())
            }
            Self::Remove { feature } => format!("remove {feature}"),
            Self::Skip { feature, .. } => format!("skip {feature}"),
            Self::Retry { features } if features.is_empty() => "retry all".to_owned(),
            Self::Retry { features } => format!("retry {}", names(features)),
            Self::Answer { feature, .. } => format!("answer {feature}"),
            Self::Pause { .. } => "pause the run".to_owned(),
            Self::Resume => "resume the run".to_owned(),
            Self::ChangeSettings { .. } => "change the settings".to_owned(),
        }
    }
}

/// Feature numbers, the first few.
fn names(features: &[FeatureId]) -> String {
    const NAMED_MAX: usize = 10;
    let named = features.iter().take(NAMED_MAX).map(ToString::to_string);
    let named = named.collect::<Vec<_>>().join(", ");
    match features.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn chain(ids: &[FeatureId]) -> String {
    // A cycle of thousands is as good as its beginning and its end for a person who mends it.
    let words: Vec<String> = ids.iter().map(ToString::to_string).collect();
    if words.len() <= 12 {
        return words.join(" -> ");
    }
    let (head, tail) = (&words[..8], &words[words.len() - 3..]);
    let hidden = words.len() - 11;
    format!(
        "{} -> ... {hidden} more ... -> {}",
        head.join(" -> "),
        tail.join(" -> ")
    )
}
