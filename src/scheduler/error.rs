//! Errors that end a scheduler.

use std::path::PathBuf;

use crate::model::command::Rejection;
use crate::{queue, workspace};

/// The scheduler cannot start or cannot continue. None of these loses anything acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed. Whether later events are durable is unknown.
    #[error(transparent)]
    Log(#[from] queue::Error),
    /// git failed at something that the scheduler needs.
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    /// The rules reject the start of a run.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The scheduler cannot listen on its socket.
    #[error("cannot listen on {}: {source}; check the directory's permissions", path.display())]
    Listen {
        /// Path of the socket.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The committing thread has ended.
    #[error("the thread that writes the log ended")]
    CommitterGone,
    /// The state cannot be written as a snapshot, or read from one.
    #[error("cannot write or read the state of a snapshot: {0}")]
    State(#[from] bincode::Error),
}
