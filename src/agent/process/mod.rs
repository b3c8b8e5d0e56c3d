//! Runs a program as a process tree that never outlives its worker.
//!
//! ```text
//! worker --socket--> guard --socket--> init --> program --> its children
//! ```
//!
//! The guard and init are our own executable. If the system allows it, init is process 1 of a pid
//! namespace: nothing in it survives init, neither `setsid` nor `env -i` children, nor a fork bomb.
//! Otherwise the guard, init and the worker are subreapers that end their descendants in a loop.
//! Every stage ends its tree when the socket to its parent ends. Every process has
//! `CREWLOG_TREE=<token>` in its environment, with which [`sweep`] finds what is left if several
//! stages were killed at the same moment.
//!
//! It does not know what the program is, what it prints, or whether it succeeded.

mod control;
mod guard;
mod init;
mod output;
mod run;
mod table;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

pub use output::Output;
pub use run::{Finished, run_masked, run_to_end};
pub use tree::{Ended, Tree};

use super::cage::Cage;
use super::cage::probe::PROBE_ARGUMENT;
use crate::model::actor::{GUARD_STAGE, INIT_STAGE, TREE_MARKER};
use crate::model::evidence::CheckEnd;
use crate::model::trouble::TroubleKind;
use table::Choice;

/// The environment variable that identifies the processes of a tree.
pub const MARKER: &str = TREE_MARKER;

const GUARD_ARGUMENT: &str = GUARD_STAGE;
const INIT_ARGUMENT: &str = INIT_STAGE;

/// Arguments of both stages that they do not use: the tree's token, its directory and its `TMPDIR`.
/// They identify a process by the command lines of its ancestors, which everybody may read and an
/// agent cannot change.
const NAMES: usize = 3;

/// How long [`sweep`] tries; what still lives then is in a state that no signal ends.
const SWEEP_LIMIT: Duration = Duration::from_secs(10);

/// How the processes of a tree are held together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A pid namespace if the system allows one, else subreapers.
    #[default]
    Auto,
    /// Subreapers and kill loops only.
    Subreaper,
    /// A pid namespace, or an error.
    Namespace,
}

/// The program's standard streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// Pipes for all three streams.
    #[default]
    Separate,
    /// No input; output and errors in one pipe, in the order in which they were written.
    Merged,
}

/// A program to run as a tree.
#[derive(Clone, Debug)]
pub struct TreeCommand {
    /// A path, or a name that is looked up in the `PATH` of `env`.
    pub program: OsString,
    /// Arguments after the program.
    pub args: Vec<OsString>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Its complete environment; the marker is added.
    pub env: BTreeMap<OsString, OsString>,
    /// Identifies the tree on this machine, e.g. `<project hash>-a123`.
    pub token: String,
    /// An executable whose `main` calls [`crate::agent::child_entry`] first; the running one,
    /// except in tests.
    pub own_executable: PathBuf,
    /// How it is held together.
    pub isolation: Isolation,
    /// Its standard streams.
    pub streams: Streams,
    /// What it may see, write and use; `None` for everything that the user may.
    pub cage: Option<Cage>,
}

impl TreeCommand {
    /// The running executable, even if its file was replaced since it started.
    pub const OWN_EXECUTABLE: &str = "/proc/self/exe";

    /// The longest argument or variable (`NAME=value`) that Linux passes to a program, with its
    /// closing NUL: 32 pages, whatever `ulimit` says.
    pub const STRING_BYTES_MAX: usize = 128 * 1024;

    /// Refuses what the system would refuse with "Argument list too long", and says what is too
    /// long.
    fn check_lengths(&self) -> Result<(), ProcessError> {
        let too_long = |what: String, bytes: usize, remedy| {
            Err(ProcessError::TooLong {
                what,
                program: self.program.to_string_lossy().into_owned(),
                bytes,
                remedy,
            })
        };
        for (number, arg) in (1..).zip(&self.args) {
            let bytes = arg.len() + 1;
            if bytes > Self::STRING_BYTES_MAX {
                let what = format!("argument {number}");
                let remedy = "write the text to a file and pass the file's name; an agent finds its prompt in {prompt_file} and on its standard input";
                return too_long(what, bytes, remedy);
            }
        }
        for (name, value) in &self.env {
            let bytes = name.len() + value.len() + 2;
            if bytes > Self::STRING_BYTES_MAX {
                let what = format!("the environment variable {}", name.to_string_lossy());
                let remedy = "write the text to a file and set the variable to the file's name, or remove it from `env` and `pass_env`";
                return too_long(what, bytes, remedy);
            }
        }
        Ok(())
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// It exited by itself, with this code from 0.
    Exited(i32),
    /// This signal ended it, from 1.
    Signalled(i32),
}

impl ProgramEnd {
    /// The end of a program whose tree was ended, or whose end nobody has seen.
    pub const KILLED: Self = Self::Signalled(libc::SIGKILL);

    /// The end as shells number it: a signal N is 128 + N.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => 128 + signal,
        }
    }
}

impl From<ProgramEnd> for CheckEnd {
    fn from(end: ProgramEnd) -> Self {
        match end {
            ProgramEnd::Exited(code) => Self::Exited(code),
            ProgramEnd::Signalled(signal) => Self::Signalled(signal),
        }
    }
}

/// A tree could not be started or watched.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program itself cannot be started.
    #[error(
        "cannot start {program}: {reason}; install it, or add its directory to PATH (an agent's program is set in its section of the config)"
    )]
    Program {
        /// Its name as configured.
        program: String,
        /// The system's error number; [`None`] if the system was not asked, or a cage around the
        /// program could not be built.
        errno: Option<i32>,
        /// The reason, as text for people.
        reason: String,
    },
    /// The system starts no program with such an argument or variable.
    #[error(
        "cannot start {program}: {what} has {bytes} bytes, but the system allows at most {}; {remedy}",
        TreeCommand::STRING_BYTES_MAX
    )]
    TooLong {
        /// The argument or variable.
        what: String,
        /// The program's name as configured.
        program: String,
        /// Its length, with the closing NUL.
        bytes: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A namespace was demanded and is not available.
    #[error(
        "this machine allows no pid namespace ({reason}); set `environment.isolation` to \"auto\""
    )]
    NoNamespace {
        /// The system's refusal.
        reason: String,
    },
    /// One of our own stages failed.
    #[error("cannot {what} for {program}: {source}")]
    Guard {
        /// The operation, as a verb.
        what: &'static str,
        /// The program that the guard was to start.
        program: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl ProcessError {
    /// What the machine lacks; `None` if the command itself cannot be started.
    pub fn trouble(&self) -> Option<TroubleKind> {
        Some(match self {
            Self::TooLong { .. } => return None,
            Self::Program { errno, reason, .. } => {
                let kind = match errno {
                    Some(errno) => TroubleKind::of_io(&std::io::Error::from_raw_os_error(*errno)),
                    // A cage's error has only the system's words.
                    None => TroubleKind::in_words(reason),
                };
                // A program that may not be executed is as good as none.
                let kind = kind.filter(|&kind| kind != TroubleKind::Permission);
                kind.unwrap_or(TroubleKind::Program)
            }
            Self::NoNamespace { .. } => TroubleKind::Other,
            Self::Guard { source, .. } => TroubleKind::of_io(source).unwrap_or(TroubleKind::Other),
        })
    }
}

/// Lets this process adopt the orphans of its descendants. A worker calls it once at its start: if
/// a guard is killed, its processes become the worker's children, and the worker ends them.
pub fn become_subreaper() -> std::io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(Into::into)
}

/// Ends every process of this user whose marker begins with `token_prefix`, and returns the pids
/// that were killed. Touches nothing without the marker. Blocks for up to ten seconds.
pub fn sweep(token_prefix: &str) -> Vec<u32> {
    let (killed, _) = table::end(&Choice::MarkedPrefix(token_prefix), SWEEP_LIMIT);
    killed.into_iter().collect()
}

/// Like [`sweep`], but spares descendants of the processes in `owners`.
pub fn sweep_strays(token_prefix: &str, owners: &BTreeSet<u32>) -> Vec<u32> {
    let prefix = token_prefix;
    let (killed, _) = table::end(&Choice::Strays { prefix, owners }, SWEEP_LIMIT);
    killed.into_iter().collect()
}

/// The living processes whose marker is exactly `token`. Blocks while it searches.
pub fn alive(token: &str) -> Vec<u32> {
    table::living(&Choice::Marked(token))
}

/// Runs the stage that `arguments` (without the program's own name) ask for, if any.
pub(super) fn child_stage(stage: &OsStr, arguments: impl Iterator<Item = OsString>) -> Option<i32> {
    if stage == GUARD_ARGUMENT {
        Some(guard::run(arguments))
    } else if stage == INIT_ARGUMENT {
        Some(init::run(arguments))
    } else if stage == PROBE_ARGUMENT {
        Some(guard::probe())
    } else {
        None
    }
}
