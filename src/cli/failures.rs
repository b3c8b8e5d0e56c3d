//! What fails below, in the words and with the exit code of a command.

use std::io::ErrorKind;

use super::error::Error;
use super::exit::ExitCode;
use crate::model::command::Rejection;
use crate::{queue, scheduler, workspace};

/// What to do about a damaged log.
pub const DAMAGED_NEXT: &str = "`scheduler verify` names the first bad event; `scheduler repair` shows what can be kept, and asks";

/// What to do about a log that is gone.
pub const LOST_NEXT: &str = "put the log's directory back where it was, or import a backup with `scheduler import --portable FILE`; to begin with an empty log, move the snapshots away";

/// A failure of the log in the words and with the exit code of a command.
pub fn of_log(error: &queue::Error) -> Error {
    let (code, what, next) = match error {
        queue::Error::Held { .. } => (
            ExitCode::LogHeld,
            "the project's log is in use",
            "wait for that process, or end it with `scheduler stop`",
        ),
        queue::Error::Damaged { why, .. } => {
            return Error::new(
                ExitCode::LogDamaged,
                "the project's log is damaged",
                why,
                DAMAGED_NEXT,
            );
        }
        queue::Error::Lost { .. } => (ExitCode::LogDamaged, "the project's log is gone", LOST_NEXT),
        queue::Error::Decode { .. }
        | queue::Error::ContentMissing(_)
        | queue::Error::ContentAltered(_) => (
            ExitCode::LogDamaged,
            "the project's log is damaged",
            DAMAGED_NEXT,
        ),
        queue::Error::Vanished { .. } => (
            ExitCode::Internal,
            "the project's log has vanished",
            "if the project was moved, start again where it is now; if the files were deleted, put them back from a backup, or import one with `scheduler import --portable`",
        ),
        queue::Error::NetworkFilesystem { .. } => (
            ExitCode::Usage,
            "the project's log cannot be kept here",
            "or give --allow-network-filesystem if you know that its locks and syncs hold",
        ),
        queue::Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => (
            ExitCode::Internal,
            "the project's log cannot be opened",
            "run the command as the user whose project it is",
        ),
        _ => (
            ExitCode::Internal,
            "the project's log failed",
            "check the disk (is it full, or read-only?), then start again; nothing acknowledged is lost",
        ),
    };
    Error::new(code, what, error, next)
}

/// A failure of the scheduler in the words and with the exit code of a command.
pub fn of_scheduler(error: scheduler::Error) -> Error {
    match error {
        scheduler::Error::Log(error) => of_log(&error),
        scheduler::Error::Rejected(rejection) => refused(&rejection),
        scheduler::Error::Workspace(error @ workspace::Error::BranchCheckedOut { .. }) => {
            Error::new(
                ExitCode::WaitingForPerson,
                "nothing could be merged for as long as `run.worker_wait` allows",
                error,
                "run `git switch -` there and start the run again; the open merge is carried out then",
            )
        }
        scheduler::Error::Workspace(error) => Error::internal(
            "git failed",
            error,
            "mend the repository and start again; nothing is lost, an open merge is looked at then",
        ),
        other => Error::internal("the scheduler failed", other, "start it again"),
    }
}

/// The domain's no, in the words of a command.
pub fn refused(rejection: &Rejection) -> Error {
    let text = rejection.to_string();
    // A rejection says what is wrong and, where that alone is no help, what to do about it.
    let (why, next) = text.rsplit_once("; ").unwrap_or((&text, ""));
    Error::usage("refused, nothing was changed", why, next)
}
