//! Why a worker cannot start.

use std::io;
use std::path::PathBuf;

use crate::agent::cage::probe::LANDLOCK_LEAST;
use crate::workspace;

use super::config::ConfigError;
use super::ports::PortsError;
use super::spool::SpoolError;
use super::trouble::FREE_BYTES_MIN;

/// A worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The config cannot work.
    #[error("the config is invalid: {0}")]
    Config(#[from] ConfigError),
    /// The agent cannot be driven.
    #[error("the config is invalid: agent: {0}")]
    Agent(String),
    /// The kernel does not support a cage.
    #[error(
        "environment.isolation = \"cage\": the kernel's Landlock has ABI {found}, and {} is needed (Linux 6.7 or later); with \"auto\" agents run without a cage",
        LANDLOCK_LEAST
    )]
    Cage {
        /// The version of Landlock's interface; 0 without Landlock.
        found: u32,
    },
    /// A prompt template cannot be used.
    #[error("cannot use the prompt template {path:?} (`{key}`): {problem}")]
    Template {
        /// The key of the config that names it.
        key: String,
        /// Path of the file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The machine lacks something that every attempt needs.
    #[error(transparent)]
    Machine(#[from] PreflightError),
    /// An error of git.
    #[error(transparent)]
    Repository(#[from] workspace::Error),
    /// An error of the spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// An error of the port range.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// The system refused something.
    #[error("cannot {doing}: {source}")]
    System {
        /// The operation, as a verb.
        doing: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
}

/// The machine lacks something that every attempt needs.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// A program is not in the path.
    #[error(
        "{key} is {program:?}, but there is no such program in PATH ({path}). Install it, or set {key} to its full path"
    )]
    NotInPath {
        /// The key of the config that names it.
        key: String,
        /// Name or path of the program.
        program: String,
        /// The path that was searched.
        path: String,
    },
    /// A program's file cannot be executed.
    #[error("{key} is {program:?}, but {reason}. Correct the path, or run `chmod +x` on the file")]
    NotExecutable {
        /// The key of the config that names it.
        key: String,
        /// Name or path of the program.
        program: String,
        /// Why the file cannot be executed.
        reason: String,
    },
    /// The directory of attempts or of their results is not writable.
    #[error("cannot write to {what} {path:?}: {source}. Free disk space, or fix its permissions")]
    NotWritable {
        /// The contents of the directory.
        what: &'static str,
        /// Path of the file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// An agent starts, but no session with it is possible.
    #[error("cannot start a session with {program:?}: {reason}. {advice}")]
    NoSession {
        /// Name or path of the program.
        program: String,
        /// The agent's message.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// The disk is almost full.
    #[error(
        "{what} {path:?} has {free_kib} KiB of free space; at least {} MiB are needed. Free disk space", FREE_BYTES_MIN >> 20
    )]
    DiskFull {
        /// The contents of the directory.
        what: &'static str,
        /// Path of the file or directory.
        path: PathBuf,
        /// Free space on its disk.
        free_kib: u64,
    },
}
