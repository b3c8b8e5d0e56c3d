//! What ends a scheduler.

use std::path::PathBuf;

use crate::model::command::Rejection;
use crate::{queue, workspace};

/// The scheduler cannot start or cannot go on. Nothing acknowledged is lost by any of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed; its durability is unknown from here on.
    #[error(transparent)]
    Log(#[from] queue::Error),
    /// git failed.
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    /// The run cannot begin.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The socket cannot be opened.
    #[error("cannot listen on {}: {source}; check the directory's permissions", path.display())]
    Listen {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The committing thread is gone.
    #[error("the thread that writes the log ended")]
    CommitterGone,
    /// The state cannot be written as a snapshot, or read from one.
    #[error("cannot write or read the state of a snapshot: {0}")]
    State(#[from] bincode::Error),
}
