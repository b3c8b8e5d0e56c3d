//! Why an attempt ended without a verdict, and why a worker left.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clip::clip;
use super::evidence::Failure;
use super::trouble::TroubleKind;

/// Why an attempt was called off, given back or lost, or why a worker left.
///
/// In the log, a variant is its place in this list, so new ones are added at the end. JSON has its
/// name as `kind`, its words as `text`, and `seconds` or `detail` where it has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum EndReason {
    /// Words of an earlier version, of a worker that cannot continue, or of a test.
    Other(String),
    /// A person changed what the feature is.
    FeatureEdited,
    /// A person removed the feature.
    FeatureRemoved,
    /// A person skipped the feature.
    FeatureSkipped,
    /// The worker's process has ended.
    WorkerDied,
    /// The log has the attempt but not its worker.
    WorkerUnknown,
    /// The worker is connected and gave no sign of life for so long.
    WorkerSilent {
        /// Seconds.
        seconds: u64,
    },
    /// The worker had no connection for so long.
    Disconnected {
        /// Seconds.
        seconds: u64,
    },
    /// The attempt is open for so long, more than its limits allow together.
    TimeLimit {
        /// Seconds.
        seconds: u64,
    },
    /// A worker of this kind cannot report this, which is a report in a word.
    InvalidReport(String),
    /// The scheduler ends as soon as nothing is open.
    SchedulerEnding,
    /// A person stopped the scheduler.
    SchedulerStopped,
    /// Nothing is left to do in the run.
    RunOver,
    /// git cannot move the branch, and the run ends.
    GitFailed,
    /// The provider limits the use of the model, or refuses it.
    ProviderLimited,
    /// Another feature of the same job failed, and nothing is said of this one.
    OtherFeatureFailed,
    /// Another feature of the same job needs an answer first.
    OtherFeatureAsks,
    /// The agent asked about a feature that is not of its job.
    InvalidQuestion,
    /// The feature changed during its test.
    FeatureChanged,
    /// A person asked the worker to end after its attempt.
    WorkerEnding,
    /// A person stopped the worker.
    WorkerStopped,
    /// The worker waited too long for a scheduler.
    NoScheduler,
    /// The job is for a worker of another kind.
    InvalidJob,
    /// The worker whose result this is has died, and the result is of use to nobody.
    OwnerDied,
    /// The head has moved, but the attempt has no work to rebase.
    NothingToRebase,
    /// The machine failed it.
    Trouble(TroubleKind),
}

impl EndReason {
    /// Its name in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Other(_) => "other",
            Self::FeatureEdited => "feature_edited",
            Self::FeatureRemoved => "feature_removed",
            Self::FeatureSkipped => "feature_skipped",
            Self::WorkerDied => "worker_died",
            Self::WorkerUnknown => "worker_unknown",
            Self::WorkerSilent { .. } => "worker_silent",
            Self::Disconnected { .. } => "disconnected",
            Self::TimeLimit { .. } => "time_limit",
            Self::InvalidReport(_) => "invalid_report",
            Self::SchedulerEnding => "scheduler_ending",
            Self::SchedulerStopped => "scheduler_stopped",
            Self::RunOver => "run_over",
            Self::GitFailed => "git_failed",
            Self::ProviderLimited => "provider_limited",
            Self::OtherFeatureFailed => "other_feature_failed",
            Self::OtherFeatureAsks => "other_feature_asks",
            Self::InvalidQuestion => "invalid_question",
            Self::FeatureChanged => "feature_changed",
            Self::WorkerEnding => "worker_ending",
            Self::WorkerStopped => "worker_stopped",
            Self::NoScheduler => "no_scheduler",
            Self::InvalidJob => "invalid_job",
            Self::OwnerDied => "owner_died",
            Self::NothingToRebase => "nothing_to_rebase",
            Self::Trouble(_) => "trouble",
        }
    }

    /// The same reason, with foreign words cut at [`Failure::REASON_BYTES_MAX`].
    pub fn clipped(&self) -> Self {
        let cut = |text: &str| clip(text, Failure::REASON_BYTES_MAX).to_owned();
        match self {
            Self::Other(text) => Self::Other(cut(text)),
            Self::InvalidReport(report) => Self::InvalidReport(cut(report)),
            known => known.clone(),
        }
    }

    fn seconds(&self) -> Option<u64> {
        match self {
            Self::WorkerSilent { seconds }
            | Self::Disconnected { seconds }
            | Self::TimeLimit { seconds } => Some(*seconds),
            _ => None,
        }
    }

    /// The reason with this name; `None` if this version does not know it, or misses what belongs to it.
    fn named(kind: &str, seconds: Option<u64>, detail: Option<String>) -> Option<Self> {
        Some(match kind {
            "feature_edited" => Self::FeatureEdited,
            "feature_removed" => Self::FeatureRemoved,
            "feature_skipped" => Self::FeatureSkipped,
            "worker_died" => Self::WorkerDied,
            "worker_unknown" => Self::WorkerUnknown,
            "worker_silent" => Self::WorkerSilent { seconds: seconds? },
            "disconnected" => Self::Disconnected { seconds: seconds? },
            "time_limit" => Self::TimeLimit { seconds: seconds? },
            "invalid_report" => Self::InvalidReport(detail?),
            "scheduler_ending" => Self::SchedulerEnding,
            "scheduler_stopped" => Self::SchedulerStopped,
            "run_over" => Self::RunOver,
            "git_failed" => Self::GitFailed,
            "provider_limited" => Self::ProviderLimited,
            "other_feature_failed" => Self::OtherFeatureFailed,
            "other_feature_asks" => Self::OtherFeatureAsks,
            "invalid_question" => Self::InvalidQuestion,
            "feature_changed" => Self::FeatureChanged,
            "worker_ending" => Self::WorkerEnding,
            "worker_stopped" => Self::WorkerStopped,
            "no_scheduler" => Self::NoScheduler,
            "invalid_job" => Self::InvalidJob,
            "owner_died" => Self::OwnerDied,
            "nothing_to_rebase" => Self::NothingToRebase,
            "trouble" => {
                let same = |kind: &TroubleKind| Some(kind.as_str()) == detail.as_deref();
                Self::Trouble(TroubleKind::ALL.into_iter().find(same)?)
            }
            _ => return None,
        })
    }
}

/// The reason as text for people: a clause without a full stop.
impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other(text) => text,
            Self::FeatureEdited => "the feature was edited",
            Self::FeatureRemoved => "the feature was removed",
            Self::FeatureSkipped => "the feature was skipped",
            Self::WorkerDied => "the worker's process has ended",
            Self::WorkerUnknown => "the log does not know its worker",
            Self::WorkerSilent { seconds } => {
                return write!(f, "the worker has been silent for {seconds} s");
            }
            Self::Disconnected { seconds } => {
                let minutes = seconds / 60;
                return write!(f, "the worker has been disconnected for {minutes} min");
            }
            Self::TimeLimit { seconds } => {
                return write!(f, "the attempt exceeded its time limit ({seconds} s)");
            }
            Self::InvalidReport(report) => {
                return write!(f, "{report:?} is not a valid result for this kind of job");
            }
            Self::SchedulerEnding => "the scheduler is ending",
            Self::SchedulerStopped => "the scheduler was stopped",
            Self::RunOver => "the run is over",
            Self::GitFailed => "git cannot move the branch",
            Self::ProviderLimited => "the provider limits or refuses the use of the model",
            Self::OtherFeatureFailed => "another feature of the same job failed",
            Self::OtherFeatureAsks => "another feature of the same job needs an answer",
            Self::InvalidQuestion => "the question was about another job's feature",
            Self::FeatureChanged => {
                "the feature changed meanwhile, so the verdict no longer applies"
            }
            Self::WorkerEnding => "a person asked it to end",
            Self::WorkerStopped => "a person stopped it",
            Self::NoScheduler => "no scheduler",
            Self::InvalidJob => "the job is for another kind of worker",
            Self::OwnerDied => "its worker died",
            Self::NothingToRebase => "there is nothing to rebase",
            Self::Trouble(kind) => {
                return write!(f, "{} ({})", kind.whose(), kind.as_str());
            }
        })
    }
}

impl From<String> for EndReason {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl From<&str> for EndReason {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

#[derive(Serialize, Deserialize)]
struct Shown {
    kind: String,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// JSON of this version, or only words, as spool files of earlier versions have them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Read {
    Words(String),
    Shown(Shown),
}

impl Serialize for EndReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return Self::serialize(self, serializer);
        }
        let detail = match self {
            Self::InvalidReport(report) => Some(report.clone()),
            Self::Trouble(kind) => Some(kind.as_str().to_owned()),
            _ => None,
        };
        let shown = Shown {
            kind: self.kind().to_owned(),
            text: self.to_string(),
            seconds: self.seconds(),
            detail,
        };
        Serialize::serialize(&shown, serializer)
    }
}

impl<'de> Deserialize<'de> for EndReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Self::deserialize(deserializer);
        }
        Ok(match Read::deserialize(deserializer)? {
            Read::Words(text) => Self::Other(text),
            // A reason of a later version is still one for people.
            Read::Shown(it) => {
                let known = Self::named(&it.kind, it.seconds, it.detail);
                known.unwrap_or(Self::Other(it.text))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every variant, in order: its place is its number in the log.
    fn all() -> Vec<EndReason> {
        use EndReason::*;
        let seconds = 90;
        vec![
            Other("words".to_owned()),
            FeatureEdited,
            FeatureRemoved,
            FeatureSkipped,
            WorkerDied,
            WorkerUnknown,
            WorkerSilent { seconds },
            Disconnected { seconds },
            TimeLimit { seconds },
            InvalidReport("tested".to_owned()),
            SchedulerEnding,
            SchedulerStopped,
            RunOver,
            GitFailed,
            ProviderLimited,
            OtherFeatureFailed,
            OtherFeatureAsks,
            InvalidQuestion,
            FeatureChanged,
            WorkerEnding,
            WorkerStopped,
            NoScheduler,
            InvalidJob,
            OwnerDied,
            NothingToRebase,
            Trouble(TroubleKind::Memory),
        ]
    }

    #[test]
    fn the_log_has_a_number_for_each() {
        for (index, reason) in all().into_iter().enumerate() {
            let bytes = bincode::serialize(&reason).unwrap();
            assert_eq!(bytes[..4], (index as u32).to_le_bytes(), "{reason}");
            assert_eq!(bincode::deserialize::<EndReason>(&bytes).unwrap(), reason);
        }
    }

    #[test]
    fn json_has_the_kind_and_the_words() {
        for reason in all() {
            let json = serde_json::to_value(&reason).unwrap();
            assert_eq!(json["kind"], reason.kind());
            assert_eq!(json["text"], reason.to_string());
            assert_eq!(serde_json::from_value::<EndReason>(json).unwrap(), reason);
        }
        for words in [
            r#""in words""#,
            r#"{"kind": "of_tomorrow", "text": "in words"}"#,
            r#"{"kind": "worker_silent", "text": "in words"}"#,
        ] {
            let read: EndReason = serde_json::from_str(words).unwrap();
            assert_eq!(read, EndReason::Other("in words".to_owned()));
        }
    }

    #[test]
    fn foreign_words_are_cut() {
        let long = "x".repeat(5_000);
        for reason in [
            EndReason::Other(long.clone()),
            EndReason::InvalidReport(long),
        ] {
            assert!(reason.clipped().to_string().len() < 2_100);
        }
        assert_eq!(EndReason::RunOver.clipped(), EndReason::RunOver);
    }
}
