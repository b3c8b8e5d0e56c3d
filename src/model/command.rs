//! Commands: requests that may be rejected. The events of a command say what it changed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::backlog::{BacklogErrors, BacklogFeature};
use super::branch::BranchMove;
use super::config::ConfigChange;
use super::end_reason::EndReason;
use super::event::{ProcessIdentity, RankTerms, RunOutcome, TestTerms};
use super::evidence::Usage;
use super::feature::FeatureSpec;
use super::ids::{AttemptId, CommitId, ContentHash, FeatureId, WorkerId};
use super::profile::{ProfileName, Profiles};
use super::report::Report;
use super::settings::{SettingError, Settings, WorkerKind};
use super::state::FEATURES_MAX;

/// Number of runners-up that are kept to explain "why not this one?".
pub const RUNNERS_UP_MAX: usize = 5;

/// A request to change the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A person's command, from the command line or a tool.
    Person(PersonCommand),
    /// Start a run, or continue an unfinished one with these settings.
    StartRun {
        /// The integration branch.
        branch: String,
        /// Current head of the branch.
        head: CommitId,
        /// Settings of the run.
        settings: Settings,
        /// Seed for all random choices.
        seed: u64,
    },
    /// The run's agents; before anything is assigned.
    SetProfiles {
        /// All of them.
        profiles: Profiles,
    },
    /// End the run.
    FinishRun {
        /// How the run ended.
        outcome: RunOutcome,
        /// Why, as text for people.
        reason: String,
    },
    /// A worker process connected for the first time.
    Join {
        /// Kind of jobs it takes.
        kind: WorkerKind,
        /// Identity of its process.
        process: ProcessIdentity,
    },
    /// A worker process ended; its open attempt, if any, is lost.
    Leave {
        /// The worker that ended.
        worker: WorkerId,
        /// Why it ended.
        reason: EndReason,
    },
    /// Give ready features to an idle coding worker.
    Assign {
        /// The idle worker.
        worker: WorkerId,
        /// The job's features, highest rank first.
        features: Vec<FeatureId>,
        /// The agent that works on it.
        profile: ProfileName,
        /// Rank of the first feature.
        terms: RankTerms,
        /// The next best features, best first.
        runners_up: Vec<(FeatureId, RankTerms)>,
        /// Number of ready features.
        ready: u32,
    },
    /// Give passing features to an idle testing worker.
    AssignTest {
        /// The idle worker.
        worker: WorkerId,
        /// Features to test.
        features: Vec<FeatureId>,
        /// The agent that tests them; `None` if their checks do.
        profile: Option<ProfileName>,
        /// True for the verification at the end of a run.
        last: bool,
        /// The random number that chose the first feature.
        draw: u64,
        /// Weight of the first feature.
        terms: TestTerms,
        /// The other candidates of the draw.
        runners_up: Vec<(FeatureId, TestTerms)>,
    },
    /// A worker reports on its attempt.
    Report {
        /// The attempt. Its number is also the fencing token: reports on ended attempts are ignored.
        attempt: AttemptId,
        /// Result of the attempt.
        report: Report,
        /// Tokens and money that the attempt used in total.
        usage: Usage,
        /// Random number for the jitter of the backoff.
        jitter: u64,
    },
    /// Record what an attempt has used so far, even if its report is ignored.
    Spend {
        /// Number of the attempt.
        attempt: AttemptId,
        /// Tokens and money used in total.
        usage: Usage,
    },
    /// Complete or abort the open merge, after git said whether the branch contains its commit.
    SettleMerge {
        /// The attempt whose commit is merged.
        attempt: AttemptId,
        /// True if the branch contains the commit.
        merged: bool,
        /// Current head of the branch.
        head: CommitId,
    },
    /// End an attempt whose worker is dead or does not respond.
    Lose {
        /// Number of the attempt.
        attempt: AttemptId,
        /// How the scheduler knows.
        reason: EndReason,
    },
    /// An attempt got past the problem of the machine, so others may start again.
    Recover {
        /// Number of the attempt.
        attempt: AttemptId,
    },
    /// Record that the wall clock jumped forward.
    NoteJump {
        /// Milliseconds of the jump.
        by_ms: u64,
    },
    /// Record that a command was refused because it came from a process of an attempt.
    Refuse {
        /// The attempt, if known.
        attempt: Option<AttemptId>,
        /// The refused command, as text.
        wish: String,
        /// Why it was refused.
        reason: String,
    },
    /// Record the config of the run.
    RecordConfig {
        /// Content file with the config's text.
        content: ContentHash,
        /// Values that differ from the last recorded config.
        changes: Vec<ConfigChange>,
    },
    /// Record which commits somebody else added to the branch or removed from it, as found by git.
    ExplainMove(Box<BranchMove>),
    /// Record that merges wait because the branch is checked out, or that it is free again.
    HoldMerges {
        /// Where the branch is checked out; `None` if it is free.
        at: Option<String>,
    },
    /// Record that somebody else moved the branch.
    MoveHead {
        /// Current head of the branch.
        head: CommitId,
    },
}

/// A command that only people may give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersonCommand {
    /// Add features to the backlog: all, or none if one is invalid.
    Import {
        /// Numbers and specs of the features.
        features: Vec<(FeatureId, FeatureSpec)>,
        /// Change existing features that differ, instead of rejecting the import.
        update: bool,
    },
    /// Remove a feature from the backlog.
    Remove {
        /// The feature to remove.
        feature: FeatureId,
    },
    /// Continue without a feature.
    Skip {
        /// The feature to skip.
        feature: FeatureId,
        /// The person's reason; may be empty.
        reason: String,
    },
    /// Try features again with their failures forgiven.
    Retry {
        /// Features; empty means every one that failed for good: parked, or without a verdict.
        features: Vec<FeatureId>,
    },
    /// Answer an agent's question.
    Answer {
        /// The feature whose agent asked.
        feature: FeatureId,
        /// The answer, at most 64 KiB.
        answer: String,
    },
    /// Start no new attempts until `Resume`.
    Pause {
        /// The person's reason; may be empty.
        reason: String,
    },
    /// Start attempts again after a pause, a provider's limit or a problem of the machine.
    Resume,
    /// Change some of the run's settings. A later run takes them from the config again.
    ChangeSettings {
        /// The settings to change; the others stay as they are.
        changes: Vec<SettingChange>,
    },
    /// Add the features of a backlog file to the backlog, all or none. Their names become numbers
    /// when the command is decided.
    ImportFile {
        /// The features, in the order of the file.
        features: Vec<BacklogFeature>,
        /// Change features that exist and differ instead of refusing the file.
        update: bool,
    },
}

/// A new value for one of the run's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// The name of a field of [`Settings`].
    pub name: String,
    /// The new value in the field's unit; 0 or 1 for a flag.
    pub value: u64,
}

/// Why a command was rejected. A rejected command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// The log has no such feature.
    UnknownFeature(FeatureId),
    /// The number belongs to an existing feature with a different spec.
    FeatureExists {
        /// The existing feature.
        feature: FeatureId,
        /// Its current name.
        name: String,
    },
    /// The name belongs to another feature.
    NameTaken {
        /// The feature that has the name.
        feature: FeatureId,
        /// The name that is taken.
        name: String,
    },
    /// A feature's spec is invalid.
    BadFeature {
        /// The invalid feature.
        feature: FeatureId,
        /// What is wrong and what to do.
        problem: Problem,
    },
    /// The dependencies contain a cycle.
    Cycle(Vec<FeatureId>),
    /// A dependency does not exist.
    UnknownDependency {
        /// The feature with the dependency.
        feature: FeatureId,
        /// The feature that does not exist.
        missing: FeatureId,
    },
    /// The backlog would become too large.
    TooManyFeatures(u64),
    /// The command does not apply to a feature with this status.
    WrongStatus {
        /// Number of the feature.
        feature: FeatureId,
        /// Name of its status.
        status: String,
        /// Why the command does not apply, and what to do.
        problem: Problem,
    },
    /// The command needs an open run.
    NoRun,
    /// A setting is out of its range.
    Setting(SettingError),
    /// The branch moved since the work was checked: rebase, check, and report again.
    HeadMoved {
        /// Current head of the branch.
        head: CommitId,
    },
    /// Another merge is open; report again when it has ended.
    MergeOpen,
    /// The attempt has ended, or belongs to another worker.
    NotOpen(AttemptId),
    /// The command was decided on an older state and no longer applies.
    Stale(String),
    /// The state is already as the command asks.
    NoChange(String),
    /// The command came from a process of an attempt, which must not control its run.
    Agent,
    /// The backlog file does not fit the features that exist.
    Backlog(BacklogErrors),
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do; empty if `what` says enough.
    pub advice: String,
}

impl Problem {
    /// A problem and the advice for it, which may be empty.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        let (what, advice) = (what.into(), advice.into());
        Self { what, advice }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.advice.as_str() {
            "" => Ok(()),
            advice => write!(f, "; {advice}"),
        }
    }
}

impl Rejection {
    /// What is wrong, and what to do about it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::UnknownFeature(feature) => Problem::new(
                format!("there is no feature {feature}"),
                "`scheduler status --format json` lists every feature",
            ),
            Self::FeatureExists { feature, name } => Problem::new(
                format!("feature {feature} ({name:?}) is already in the backlog and differs"),
                "to change it, import with --update",
            ),
            Self::NameTaken { feature, name } => Problem::new(
                format!("feature {feature} already has the name {name:?}"),
                "give the new feature another name",
            ),
            Self::BadFeature { feature, problem } => Problem::new(
                format!("feature {feature}: {}", problem.what),
                problem.advice.as_str(),
            ),
            Self::Cycle(cycle) => Problem::new(
                format!("dependency cycle: {}", chain(cycle)),
                "remove one of these dependencies",
            ),
            Self::UnknownDependency { feature, missing } => Problem::new(
                format!("feature {feature} depends on {missing}, which is not in the backlog"),
                "add it, or remove the dependency",
            ),
            Self::TooManyFeatures(count) => Problem::new(
                format!(
                    "the backlog would have {count} features, but at most {FEATURES_MAX} are supported"
                ),
                "",
            ),
            Self::WrongStatus {
                feature,
                status,
                problem,
            } => Problem::new(
                format!("feature {feature} is {status}: {}", problem.what),
                problem.advice.as_str(),
            ),
            Self::NoRun => Problem::new("no run is open", "start one with `scheduler run`"),
            Self::Setting(error) => Problem::new(error.to_string(), ""),
            Self::HeadMoved { head } => Problem::new(format!("the branch has moved to {head}"), ""),
            Self::MergeOpen => Problem::new("another merge is in progress", ""),
            Self::NotOpen(attempt) => Problem::new(format!("attempt {attempt} is not open"), ""),
            Self::Stale(why) => Problem::new(format!("out of date: {why}"), ""),
            Self::NoChange(why) => Problem::new(format!("nothing to do: {why}"), ""),
            Self::Agent => Problem::new(
                "an attempt's agents, checks and hooks cannot control the run. The refusal is recorded, and people see it",
                "",
            ),
            Self::Backlog(errors) => Problem::new(errors.to_string(), ""),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem().fmt(f)
    }
}

impl std::error::Error for Rejection {}

impl From<SettingError> for Rejection {
    fn from(error: SettingError) -> Self {
        Self::Setting(error)
    }
}

impl From<BacklogErrors> for Rejection {
    fn from(errors: BacklogErrors) -> Self {
        Self::Backlog(errors)
    }
}

impl PersonCommand {
    /// Changes all settings to these.
    pub fn change_to(settings: &Settings) -> Self {
        let changes = Settings::NAMES.iter().filter_map(|&name| {
            let (name, value) = (name.to_owned(), settings.get(name)?);
            Some(SettingChange { name, value })
        });
        Self::ChangeSettings {
            changes: changes.collect(),
        }
    }

    /// The command as text for people: `skip #9`.
    pub fn wish(&self) -> String {
        match self {
            Self::Import { features, update } => import_wish(features.len(), *update),
            Self::ImportFile { features, update } => import_wish(features.len(), *update),
            Self::Remove { feature } => format!("remove {feature}"),
            Self::Skip { feature, .. } => format!("skip {feature}"),
            Self::Retry { features } if features.is_empty() => "retry all".to_owned(),
            Self::Retry { features } => format!("retry {}", names(features)),
            Self::Answer { feature, .. } => format!("answer {feature}"),
            Self::Pause { .. } => "pause the run".to_owned(),
            Self::Resume => "resume the run".to_owned(),
            Self::ChangeSettings { changes } => {
                let named = changes.iter().take(NAMED_MAX);
                let named = named.map(|it| format!("{}={}", it.name, it.value));
                format!("set {}", named.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// How many items a text lists.
const NAMED_MAX: usize = 10;

fn import_wish(count: usize, update: bool) -> String {
    let option = if update { " with --update" } else { "" };
    format!("import {count} features{option}")
}

/// The first few feature numbers.
fn names(features: &[FeatureId]) -> String {
    let named = features.iter().take(NAMED_MAX).map(ToString::to_string);
    let named = named.collect::<Vec<_>>().join(", ");
    match features.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn chain(ids: &[FeatureId]) -> String {
    // Of a long cycle, the start and the end are enough to find a dependency to remove.
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
