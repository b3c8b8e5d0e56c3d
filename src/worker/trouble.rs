//! Which failures are the machine's and not the feature's.
//!
//! Every error of a step is read where it arises, by its type ([`Problem`]); what it means depends
//! on how far the attempt is ([`At`]): before the agent has touched anything, whatever fails is the
//! machine's. Afterwards an agent may have brought it about.

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
/// their half-written files before they end, so that more is left than none.
pub const FREE_BYTES_MIN: u64 = 16 << 20;

/// An error that may be the machine's.
pub(super) trait Problem: Display {
    /// What it is, as far as can be told without knowing where in the attempt it arose.
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
            // A git that dies has not failed at what it was asked.
            Error::Killed { .. } => FailureKind::Trouble(TroubleKind::Git),
            Error::Failed { detail, .. } => known(TroubleKind::in_words(detail)),
            // What hangs at one feature's files does not hang at the others'.
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

/// A refusal of the system's, and what was to be done.
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

/// For `map_err` on what the worker itself does with files.
pub(super) fn refused(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let doing = doing.into();
    move |source| setup(Refusal { doing, source })
}

/// What a check printed cannot be kept: wherever that is, no feature can bring it about.
pub(super) fn unstored(error: io::Error) -> Failure {
    let kind = TroubleKind::of_io(&error).filter(|&kind| kind != TroubleKind::Permission);
    let words = format!("cannot store the output of a check: {error}");
    Failure::new(
        FailureKind::Trouble(kind.unwrap_or(TroubleKind::Disk)),
        words,
    )
}

/// Why no session came to be, unless somebody wanted that or the provider did.
pub(super) fn unstarted(result: &agent::SessionResult) -> Option<Failure> {
    let kind = match (result.failure, result.end) {
        (Some(kind @ FailureKind::Trouble(_)), _) => kind,
        // Its own prompt is too long for the system, for example.
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
    /// An agent has been at work.
    Work,
    /// Only the worker's own files are at stake.
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

    /// Whose failure it is. A session that fails before it has come to be is no session.
    pub(super) fn judge(self, failure: Failure) -> Failure {
        let kind = match (self, failure.kind) {
            (Self::Untouched, FailureKind::HookFailed) => FailureKind::Trouble(TroubleKind::Hook),
            (Self::Untouched, FailureKind::Setup) => FailureKind::Trouble(TroubleKind::Other),
            // An agent may take its own files' permissions away.
            (Self::Work, FailureKind::Trouble(TroubleKind::Permission | TroubleKind::Other)) => {
                FailureKind::Setup
            }
            (_, kind) => kind,
        };
        Failure { kind, ..failure }
    }
}

/// The result of a step on a disk of which so much is free: what fails for want of space says
/// nothing about the feature, in whatever words it fails.
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

/// True for what may have failed for want of space.
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
            ended && session.failure.is_none()
        }
        Ok(Finished::Checked(checks)) => checks.iter().any(|one| one.failure().is_some()),
        Ok(_) => false,
    }
}

/// Bytes that this user may still write on the disk of `path`; none where files cannot be made any
/// more, `None` when nobody knows.
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
