//! Decides which failures are the machine's and not the feature's.
//!
//! Every error of a step is classified where it arises, by its type ([`Problem`]). What it means
//! depends on how far the attempt is ([`At`]): before the agent has touched anything, every failure
//! is the machine's. Afterwards an agent may have caused it.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::agent::{self, process::ProcessError};
use crate::model::evidence::{Failure, FailureKind, SessionEnd};
use crate::model::trouble::TroubleKind;
use crate::workspace;

use super::machine::{Finished, HookPoint, StepKind};
use super::ports::PortsError;
use super::spool::SpoolError;

/// A failure on a disk with less than this left is the disk's. Builds that run out of space remove
/// their half-written files before they end, so some space is free afterwards.
pub const FREE_BYTES_MIN: u64 = 16 << 20;

/// An error that may be the machine's.
pub(super) trait Problem: Display {
    /// Its kind, as far as it can be known without the stage of the attempt.
    fn kind(&self) -> FailureKind;
}

fn known(kind: Option<TroubleKind>) -> FailureKind {
    kind.map_or(FailureKind::Setup, FailureKind::Trouble)
}

impl Problem for &str {
    fn kind(&self) -> FailureKind {
        FailureKind::Setup
    }
}

impl Problem for String {
    fn kind(&self) -> FailureKind {
        FailureKind::Setup
    }
}

impl Problem for workspace::Error {
    fn kind(&self) -> FailureKind {
        use workspace::Error;
        match self {
            Error::GitMissing { .. } | Error::GitTooOld { .. } => {
                FailureKind::Trouble(TroubleKind::Program)
            }
            Error::Start { source, .. } | Error::Io { source, .. } => {
                known(TroubleKind::of_io(source))
            }
            // A git that is killed has not failed at its task.
            Error::Killed { .. } => FailureKind::Trouble(TroubleKind::Git),
            Error::Failed { detail, .. } => known(TroubleKind::in_words(detail)),
            // One feature's files may hang where others' do not.
            Error::TimeLimit { .. } => FailureKind::TimeLimit,
            _ => FailureKind::Setup,
        }
    }
}

impl Problem for SpoolError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Io { source, .. } => {
                let kind = TroubleKind::of_io(source);
                FailureKind::Trouble(kind.unwrap_or(TroubleKind::Disk))
            }
            Self::Held { .. } => FailureKind::Setup,
        }
    }
}

impl Problem for ProcessError {
    fn kind(&self) -> FailureKind {
        match self {
            // A working directory that an agent has removed is "not found", too.
            Self::Guard { source, .. } => known(TroubleKind::of_io(source)),
            other => known(other.trouble()),
        }
    }
}

impl Problem for PortsError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Io { source } => known(TroubleKind::of_io(source)),
            Self::AllTaken { .. } => FailureKind::Trouble(TroubleKind::Other),
        }
    }
}

/// A refusal by the system, and the operation.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub(super) struct Refusal {
    pub doing: String,
    pub source: io::Error,
}

impl Problem for Refusal {
    fn kind(&self) -> FailureKind {
        known(TroubleKind::of_io(&self.source))
    }
}

/// For `map_err` on the worker's own file operations.
pub(super) fn refused(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let doing = doing.into();
    move |source| setup(Refusal { doing, source })
}

/// The output of a check cannot be stored: no feature can cause that, wherever it happens.
pub(super) fn unstored(error: io::Error) -> Failure {
    let kind = TroubleKind::of_io(&error).filter(|&kind| kind != TroubleKind::Permission);
    let words = format!("cannot store the output of a check: {error}");
    Failure::new(
        FailureKind::Trouble(kind.unwrap_or(TroubleKind::Disk)),
        words,
    )
}

/// Why no session was set up, unless somebody cancelled it or the provider refused.
pub(super) fn unstarted(result: &agent::SessionResult) -> Option<Failure> {
    let kind = match (result.failure, result.end) {
        (Some(kind @ FailureKind::Trouble(_)), _) => kind,
        // For example, its own prompt is too long for the system.
        (Some(FailureKind::Setup), _) => return None,
        (None, SessionEnd::Cancelled | SessionEnd::Completed) => return None,
        (None, SessionEnd::Limited | SessionEnd::Overloaded) => return None,
        (None, SessionEnd::AuthFailed | SessionEnd::QuotaExhausted) => return None,
        _ => FailureKind::Trouble(TroubleKind::Agent),
    };
    let words = format!("cannot start a session with the agent: {}", result.reason);
    Some(Failure::new(kind, words))
}

/// A problem as a failure of the attempt.
pub(super) fn setup(problem: impl Problem) -> Failure {
    Failure::new(problem.kind(), problem.to_string())
}

/// How far the attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// No agent has touched anything.
    Untouched,
    /// An agent has worked.
    Work,
    /// Only the worker's own files are involved.
    Own,
}

impl At {
    pub(super) fn of(step: &StepKind) -> Self {
        match step {
            StepKind::Make(_)
            | StepKind::Hook(HookPoint::AfterCreate | HookPoint::BeforeRun)
            | StepKind::Session(_) => Self::Untouched,
            StepKind::Hook(HookPoint::AfterRun)
            | StepKind::Commit
            | StepKind::Rebase(_)
            | StepKind::Check { .. } => Self::Work,
            StepKind::Preserve | StepKind::Spool(_) | StepKind::Clean => Self::Own,
        }
    }

    /// Decides whose failure it is. A session that fails during its setup counts as none.
    pub(super) fn judge(self, failure: Failure) -> Failure {
        let kind = match (self, failure.kind) {
            (Self::Untouched, FailureKind::HookFailed) => FailureKind::Trouble(TroubleKind::Hook),
            (Self::Untouched, FailureKind::Setup) => FailureKind::Trouble(TroubleKind::Other),
            // An agent may remove its own files' permissions.
            (Self::Work, FailureKind::Trouble(TroubleKind::Permission | TroubleKind::Other)) => {
                FailureKind::Setup
            }
            (_, kind) => kind,
        };
        Failure { kind, ..failure }
    }
}

/// Adjusts a step's result to the free space on the disk: a failure for lack of space says nothing
/// about the feature, whatever its message.
pub(super) fn on_disk(
    result: Result<Finished, Failure>,
    free: impl FnOnce() -> Option<u64>,
) -> Result<Finished, Failure> {
    if !failed(&result) {
        return result;
    }
    let Some(free) = free().filter(|&free| free < FREE_BYTES_MIN) else {
        return result;
    };
    let full = |reason: &str| {
        let words = format!(
            "the attempt's disk is full ({} KiB left): {reason}",
            free >> 10
        );
        Failure::new(FailureKind::Trouble(TroubleKind::Disk), words)
    };
    match result {
        Err(failure) => Err(full(&failure.reason)),
        Ok(Finished::Session(mut session)) => {
            session.failure = Some(FailureKind::Trouble(TroubleKind::Disk));
            session.detail = full(session.detail.trim()).reason;
            Ok(Finished::Session(session))
        }
        Ok(Finished::Checked(checks)) => {
            let failure = checks.iter().find_map(|one| one.failure());
            Err(full(&failure.map_or_else(String::new, |it| it.reason)))
        }
        other => other,
    }
}

/// True for failures that lack of space may have caused.
fn failed(result: &Result<Finished, Failure>) -> bool {
    match result {
        Err(failure) => matches!(
            failure.kind,
            FailureKind::Setup | FailureKind::HookFailed | FailureKind::Trouble(_)
        ),
        Ok(Finished::Session(session)) => {
            let ended = matches!(
                session.end,
                SessionEnd::Crashed | SessionEnd::NoTerminalEvent
            );
            // A provider is blamed where nothing else is known.
            let unexplained = matches!(
                session.failure,
                None | Some(FailureKind::Trouble(TroubleKind::Provider))
            );
            ended && unexplained
        }
        Ok(Finished::Checked(checks)) => checks.iter().any(|one| one.failure().is_some()),
        Ok(_) => false,
    }
}

/// Bytes that this user may still write on the disk of `path`; 0 if no more files can be created,
/// `None` if unknown.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let found = path.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(found).ok()?;
    // Some file systems have no table of files.
    let out_of_files = disk.f_files > 0 && disk.f_favail == 0;
    Some(match out_of_files {
        true => 0,
        false => disk.f_bavail.saturating_mul(disk.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::Usage;
    use crate::worker::outcome::{Seen, SessionResult};
    use crate::worker::verdict::Reading;

    /// An agent that cannot write its first file ends before it has done anything, as one without a
    /// provider does.
    #[test]
    fn a_session_that_ends_on_a_full_disk_is_the_disks() {
        for (free, expected) in [(0, TroubleKind::Disk), (1 << 40, TroubleKind::Provider)] {
            let mut session = SessionResult {
                end: SessionEnd::Crashed,
                failure: None,
                detail: "cannot write".to_owned(),
                limited_until: None,
                usage: Usage::default(),
                verdict: Reading::default(),
                seen: Seen::default(),
            };
            session.blame_provider();
            let result = on_disk(Ok(Finished::Session(Box::new(session))), || Some(free));
            let Ok(Finished::Session(session)) = result else {
                panic!("{result:?}");
            };
            assert_eq!(session.failure, Some(FailureKind::Trouble(expected)));
        }
    }
}
