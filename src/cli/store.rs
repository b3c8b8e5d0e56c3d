//! The project's log, from a command's point of view: held by this command, or by a scheduler
//! that runs and is asked through its socket.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::{self, Client};
use super::config::Config;
use super::error::Error;
use super::exit::ExitCode;
use super::failures;
use super::project::Project;
use crate::model::command::PersonCommand;
use crate::model::ids::{CommandId, Sequence, Timestamp};
use crate::protocol::caller;
use crate::queue::{self, OpenOptions, SledLog, repair};
use crate::scheduler::offline;

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
    SledLog::open(&project.log, &open_options(config)).map_err(|error| failures::of_log(&error))
}

/// Where there is no log, there must be nothing that was made of one.
pub fn must_not_be_lost(project: &Project) -> Result<(), Error> {
    let lost = repair::lost(&project.log, &project.snapshots);
    match lost.map_err(|error| failures::of_log(&error))? {
        Some(error) => Err(failures::of_log(&error)),
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
    let accepted = offline::submit(log, snapshots, &actor, id, now(), command)
        .map_err(failures::of_scheduler)?;
    Ok((accepted.first, accepted.last))
}
