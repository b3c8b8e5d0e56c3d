//! Access to the project's log: a command holds the log itself, or asks the running scheduler that
//! holds it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::{self, Client};
use super::config::Config;
use super::error::{Cause, Error};
use super::exit::ExitCode;
use super::failures;
use super::project::Project;
use crate::model::command::{PersonCommand, Rejection};
use crate::model::ids::{CommandId, Sequence, Timestamp};
use crate::protocol::caller;
use crate::queue::{self, OpenOptions, SledLog, repair};
use crate::scheduler::{self, offline};

/// The current wall-clock time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_millis() as u64))
}

/// A new, globally unique command id.
pub fn new_command() -> CommandId {
    CommandId(ulid::Ulid::generate().0)
}

/// The directory of the project's content files.
pub fn contents(project: &Project) -> std::path::PathBuf {
    project.log.join("content")
}

/// The options for opening the log, from the config.
pub fn open_options(config: &Config) -> OpenOptions {
    OpenOptions {
        allow_network_filesystem: config.allow_network_filesystem(),
        ..OpenOptions::default()
    }
}

/// Opens the project's log and holds it.
///
/// If the log was deleted but its snapshots remain, this fails: a new log would hide the loss.
pub fn open(project: &Project, config: &Config) -> Result<SledLog, Error> {
    must_not_be_lost(project)?;
    project.create_data()?;
    SledLog::open(&project.log, &open_options(config)).map_err(|error| failures::of_log(&error))
}

/// Fails if there is no log although snapshots of one remain.
pub fn must_not_be_lost(project: &Project) -> Result<(), Error> {
    let lost = repair::lost(&project.log, &project.snapshots);
    match lost.map_err(|error| failures::of_log(&error))? {
        Some(error) => Err(failures::of_log(&error)),
        None => Ok(()),
    }
}

/// Opens the project's log for a scheduler. A command holds the log only briefly, so this tries again
/// for a short time, unless a scheduler holds it.
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

/// The error when a process holds the log but does not answer at the socket.
pub fn unheard(project: &Project, pid: Option<u32>) -> Error {
    let holder = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
    let end = pid.map_or("end that process".to_owned(), |pid| format!("`kill {pid}`"));
    let socket = project.socket.display();
    let why = match project.socket.exists() {
        true => format!("{holder} holds it and does not answer at {socket}"),
        false => format!("{holder} holds it, but its socket {socket} is missing"),
    };
    let next = format!(
        "try again in a second, when the scheduler has restored its socket; if that does not help, {end} and start it again (nothing is lost)"
    );
    Error::new(ExitCode::LogHeld, "the project's log is in use", why, next)
}

fn if_unheard(project: &Project, error: Error) -> Error {
    match error.code {
        ExitCode::LogHeld => unheard(project, queue::holder(&project.log).and_then(|it| it.pid)),
        _ => error,
    }
}

/// Submits a person's command: to the running scheduler, or directly to the log if none is running.
/// Returns the first and last event that it caused; the last is lower if it caused none.
pub async fn submit(
    project: &Project,
    config: &Config,
    command: PersonCommand,
) -> Result<(Sequence, Sequence), Error> {
    submit_as(project, config, new_command(), command).await
}

/// The same with a command id from the caller; a repeated id takes effect only once.
pub async fn submit_as(
    project: &Project,
    config: &Config,
    id: CommandId,
    command: PersonCommand,
) -> Result<(Sequence, Sequence), Error> {
    let answer = ask(project, config, id, command).await?;
    answer.map_err(|rejection| failures::refused(&rejection))
}

/// The same, for who makes something of a rejection.
pub async fn ask(
    project: &Project,
    config: &Config,
    id: CommandId,
    command: PersonCommand,
) -> Result<Result<(Sequence, Sequence), Rejection>, Error> {
    let project = &project.settle()?;
    // A scheduler may be starting or ending right now: ask the process that holds the log.
    for _ in 0..client::TRIES {
        if let Some(mut client) = Client::connect(&project.socket).await? {
            match client.command(id, command.clone()).await {
                // The scheduler ended. The repeated command id shows whether the command took effect.
                Err(error) if error.cause == Cause::ConnectionLost => {
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
) -> Result<Result<(Sequence, Sequence), Rejection>, Error> {
    let (snapshots, actor): (&Path, _) = (&project.snapshots, caller::own_person());
    match offline::submit(log, snapshots, &actor, id, now(), command) {
        Ok(accepted) => Ok(Ok((accepted.first, accepted.last))),
        Err(scheduler::Error::Rejected(rejection)) => Ok(Err(rejection)),
        Err(error) => Err(failures::of_scheduler(error)),
    }
}
