//! What fails below, in the words and with the exit code of a command.

use std::io::ErrorKind;

use super::error::Error;
use super::exit::ExitCode;
use crate::model::command::Rejection;
use crate::{queue, scheduler, workspace};

/// Advice for a damaged log.
pub const DAMAGED_NEXT: &str = "`scheduler verify` names the first bad event; `scheduler repair` shows what can be kept, and asks before it changes anything";

/// Advice for a deleted log.
pub const LOST_NEXT: &str = "restore the log's directory, or import a backup with `scheduler import --portable FILE`; to start with an empty log, move the snapshots away";

/// Turns an error of the log into an error of a command.
pub fn of_log(error: &queue::Error) -> Error {
    let (code, what, next) = match error {
        queue::Error::Held { .. } => (
            ExitCode::LogHeld,
            "the project's log is in use",
            "wait for that process to end, or end it with `scheduler stop`",
        ),
        queue::Error::Damaged { why, .. } => {
            return Error::new(
                ExitCode::LogDamaged,
                "the project's log is damaged",
                why,
                DAMAGED_NEXT,
            );
        }
        queue::Error::Lost { .. } => (
            ExitCode::LogDamaged,
            "the project's log is missing",
            LOST_NEXT,
        ),
        queue::Error::Decode { .. }
        | queue::Error::ContentMissing(_)
        | queue::Error::ContentAltered(_) => (
            ExitCode::LogDamaged,
            "the project's log is damaged",
            DAMAGED_NEXT,
        ),
        queue::Error::Vanished { .. } => (
            ExitCode::Internal,
            "the project's log was moved or deleted while it was in use",
            "if the project was moved, start again at its new place; if files were deleted, restore them from a backup, or import one with `scheduler import --portable FILE`",
        ),
        queue::Error::NetworkFilesystem { .. } => (
            ExitCode::Usage,
            "the project's log cannot be kept here",
            "use a local directory; or, if you know that locking and fsync are reliable there, set `log.allow_network_filesystem = true` in .crewlog/config.toml",
        ),
        queue::Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => (
            ExitCode::Internal,
            "the project's log cannot be opened",
            "run the command as the user who owns the project",
        ),
        queue::Error::Fenced { .. } => (
            ExitCode::Internal,
            "another scheduler writes the project's log",
            "`scheduler status` shows what it does; nothing acknowledged is lost",
        ),
        queue::Error::Format { .. } => (
            ExitCode::Internal,
            "this version cannot read the project's log",
            "export it with the version that wrote it (`scheduler export --portable FILE`), and import that file",
        ),
        queue::Error::Import(_) => (ExitCode::Internal, "the log cannot be imported", ""),
        queue::Error::Conflict { .. }
        | queue::Error::NotNext { .. }
        | queue::Error::Encode(_)
        | queue::Error::Oversized { .. } => (
            ExitCode::Internal,
            "the project's log refused an event",
            "this is a bug in Crewlog; please report it. Then start again; nothing acknowledged is lost",
        ),
        _ => (
            ExitCode::Internal,
            "the project's log failed",
            "check whether the disk is full or read-only, then start again; nothing acknowledged is lost",
        ),
    };
    Error::new(code, what, error, next)
}

/// Turns an error of the scheduler into an error of a command.
pub fn of_scheduler(error: scheduler::Error) -> Error {
    match error {
        scheduler::Error::Log(error) => of_log(&error),
        scheduler::Error::Rejected(rejection) => refused(&rejection),
        scheduler::Error::Workspace(error @ workspace::Error::BranchCheckedOut { .. }) => {
            Error::new(
                ExitCode::WaitingForPerson,
                "nothing could be merged within `run.worker_wait`",
                error,
                "run `git switch -` there and start the run again; it then completes the open merge",
            )
        }
        scheduler::Error::Workspace(error) => Error::internal(
            "git failed",
            error,
            "fix this and start the run again; nothing is lost, and it then completes an open merge",
        ),
        other => Error::internal(
            "the scheduler failed",
            other,
            "start the run again; nothing acknowledged is lost",
        ),
    }
}

/// What a rejected command did.
const REJECTED: &str = "the command was rejected; nothing was changed";

/// Turns a rejection into an error of a command.
pub fn refused(rejection: &Rejection) -> Error {
    if let Rejection::Backlog(errors) = rejection {
        return Error::usage(REJECTED, errors, "");
    }
    let problem = rejection.problem();
    Error::usage(REJECTED, problem.what, problem.advice)
}
