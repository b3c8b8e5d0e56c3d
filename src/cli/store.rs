//! The project's log, from a command's point of view: held by this command, or by a scheduler
//! that runs and is asked through its socket.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::{self, Client};
use super::config::Config;
use super::error::Error;
use super::exit::ExitCode;
use super::project::Project;
use crate::model::command::{PersonCommand, Rejection};
use crate::model::ids::{CommandId, Sequence, Timestamp};
use crate::protocol::caller;
use crate::queue::{self, OpenOptions, SledLog, repair};
use crate::scheduler::{self, offline};

/// Now, by the wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_millis() as u64))
}

/// A name for a new command that nobody else will ever give.
pub fn new_command() -> CommandId {
    CommandId(ulid::Ulid::generate().0)
}

/// Where a project's scheduler keeps its content files.
pub fn contents(project: &Project) -> std::path::PathBuf {
    project.log.join("content")
}

/// How the config wants the log to be opened.
pub fn open_options(config: &Config) -> OpenOptions {
    OpenOptions {
        allow_network_filesystem: config.allow_network_filesystem(),
        ..OpenOptions::default()
    }
}

/// Opens the project's log for this process alone.
///
/// Makes none where there was one and is gone: that would hide the loss.
pub fn open(project: &Project, config: &Config) -> Result<SledLog, Error> {
    must_not_be_lost(project)?;
    project.create_data()?;
    SledLog::open(&project.log, &open_options(config)).map_err(|error| of_log(&error))
}

/// Where there is no log, there must be nothing that was made of one.
pub fn must_not_be_lost(project: &Project) -> Result<(), Error> {
    let lost = repair::lost(&project.log, &project.snapshots);
    match lost.map_err(|error| of_log(&error))? {
        Some(error) => Err(of_log(&error)),
        None => Ok(()),
    }
}

/// Opens the project's log for a scheduler. A command that only looks has it for a moment, so
/// that this waits for a moment, too, unless it is a scheduler that has it.
pub async fn hold(project: &Project, config: &Config) -> Result<SledLog, Error> {
    for _ in 1..client::TRIES {
        match open(project, config) {
            Err(error) if error.code == ExitCode::LogHeld => {
                if Client::connect(&project.socket).await?.is_some() {
                    return Err(error);
                }
                client::pause().await;
            }
            opened => return opened,
        }
    }
    open(project, config).map_err(|error| if_unheard(project, error))
}

/// Somebody has the log, and nobody listens: what is missing, and what to do.
pub fn unheard(project: &Project, pid: Option<u32>) -> Error {
    let holder = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
    let end = pid.map_or("end that process".to_owned(), |pid| format!("`kill {pid}`"));
    let socket = project.socket.display();
    let why = match project.socket.exists() {
        true => format!("{holder} has it and does not answer at {socket}"),
        false => format!("{holder} has it, and its socket {socket} is missing"),
    };
    let next = format!(
        "a scheduler puts its socket back within a second: try again; if that does not help, {end} and start it again, nothing is lost"
    );
    Error::new(ExitCode::LogHeld, "the project's log is in use", why, next)
}

fn if_unheard(project: &Project, error: Error) -> Error {
    match error.code {
        ExitCode::LogHeld => unheard(project, queue::holder(&project.log).and_then(|it| it.pid)),
        _ => error,
    }
}

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
        scheduler::Error::Workspace(error @ crate::workspace::Error::BranchCheckedOut { .. }) => {
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

/// Has a person's command decided: by the scheduler that runs, or right here when none does.
/// Returns the first and the last event that it caused; the last is less when there was none.
pub async fn submit(
    project: &Project,
    config: &Config,
    command: PersonCommand,
) -> Result<(Sequence, Sequence), Error> {
    submit_as(project, config, new_command(), command).await
}

/// The same under a name that the caller gives, so that a repetition is carried out once.
pub async fn submit_as(
    project: &Project,
    config: &Config,
    id: CommandId,
    command: PersonCommand,
) -> Result<(Sequence, Sequence), Error> {
    let project = &project.settle()?;
    // A scheduler may be starting or ending at this moment: whoever has the log is the one to ask.
    for _ in 0..client::TRIES {
        if let Some(mut client) = Client::connect(&project.socket).await? {
            match client.command(id, command.clone()).await {
                // It has ended; whether it had carried the command out, its name will tell.
                Err(error) if client::is_lost(&error) => {
                    client::pause().await;
                    continue;
                }
                answered => return answered,
            }
        }
        match open(project, config) {
            Ok(log) => return offline(&log, project, id, command),
            Err(error) if error.code == ExitCode::LogHeld => client::pause().await,
            Err(error) => return Err(error),
        }
    }
    open(project, config)
        .map_err(|error| if_unheard(project, error))
        .and_then(|log| offline(&log, project, id, command))
}

fn offline(
    log: &SledLog,
    project: &Project,
    id: CommandId,
    command: PersonCommand,
) -> Result<(Sequence, Sequence), Error> {
    let (snapshots, actor): (&Path, _) = (&project.snapshots, caller::own_person());
    let accepted =
        offline::submit(log, snapshots, &actor, id, now(), command).map_err(of_scheduler)?;
    Ok((accepted.first, accepted.last))
}
