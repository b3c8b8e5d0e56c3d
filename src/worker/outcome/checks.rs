//! What the checks of a feature came to.

use crate::model::clip::clip;
use crate::model::evidence::{CheckEnd, CheckRun, Failure, FailureKind};
use crate::model::ids::FeatureId;
use crate::model::trouble::TroubleKind;

/// The checks of one feature, run in order up to the first failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureChecks {
    /// Number of the feature.
    pub feature: FeatureId,
    /// What was run; all with exit code 0 but perhaps the last.
    pub runs: Vec<CheckRun>,
    /// The last lines of the output of the last run; of interest when it failed.
    pub tail: String,
    /// Ignored files that the agent had made and that were removed before the checks; of interest when
    /// one failed.
    pub removed: Vec<String>,
    /// Whether SIGKILL ended the last run or a part of it. It comes from a person, or from a kernel
    /// that is out of memory, never from the code that is checked: it says nothing about the feature.
    pub killed: bool,
}

/// What a shell exits with when SIGKILL has ended its command. The reason says so where nothing shows
/// that it was a kill, because a lack of memory that is not the machine's is found by nobody else.
const SHELL_KILLED: i32 = 137;

impl FeatureChecks {
    /// Why the feature does not pass, if it does not.
    pub fn failure(&self) -> Option<Failure> {
        if planted!(FailedChecksPass) {
            return None;
        }
        let last = self.runs.last().filter(|run| !run.end.passed())?;
        let how = match last.end {
            CheckEnd::TimedOut => "took longer than its limit, `run.check_limit`".to_owned(),
            end if self.killed => format!(
                "{end}, which came from another process or the kernel; if memory is short, lower `run.max_concurrency`"
            ),
            CheckEnd::Exited(SHELL_KILLED) => format!(
                "exited with {SHELL_KILLED}, as a shell does after a command that was killed"
            ),
            end => end.to_string(),
        };
        let mut reason = format!("`{}` {how}", last.command.trim_matches([' ', '\n', '\t']));
        if !self.tail.is_empty() {
            reason = format!("{reason}: {}", self.tail);
        }
        let kind = match self.killed {
            true => FailureKind::Trouble(TroubleKind::Memory),
            false => FailureKind::CheckFailed,
        };
        let mut failure = Failure::new(kind, reason);
        failure.checks.clone_from(&self.runs);
        let removed = match kind {
            FailureKind::CheckFailed => self.removed_words(&last.command),
            _ => None,
        };
        Some(match removed {
            Some(words) => failure.with_more(&words),
            None => failure,
        })
    }

    /// That files were removed before the checks, which explains many a failure that nothing else
    /// explains; `None` when none were. Those that the check speaks of come first.
    fn removed_words(&self, command: &str) -> Option<String> {
        let spoken_of = |file: &&String| {
            let name = file.trim_end_matches('/');
            command.contains(name) || self.tail.contains(name)
        };
        let (named, others): (Vec<&String>, Vec<&String>) =
            self.removed.iter().partition(spoken_of);
        let shown: Vec<String> = named
            .iter()
            .chain(&others)
            .take(REMOVED_SHOWN)
            .map(|file| clip(file, REMOVED_BYTES_MAX).to_owned())
            .collect();
        let more = match self.removed.len().saturating_sub(REMOVED_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!shown.is_empty()).then(|| {
            format!(
                "Removed before the checks, because git ignores them: {}{more}. If a check needs one, remove it from .gitignore so that it is committed, or add it to `checks.keep_ignored`.",
                shown.join(", ")
            )
        })
    }
}

/// Removed files that a failure names, each cut at so many bytes: they share its reason with the
/// check's last words.
const REMOVED_SHOWN: usize = 6;
const REMOVED_BYTES_MAX: usize = 100;
