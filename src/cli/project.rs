//! Where a project's files are.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::error::Error;

/// The directory that marks a project.
const MARK: &str = ".crewlog";

/// A project: the user's repository, and Crewlog's own files in it. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The user's git repository.
    pub root: PathBuf,
    /// The config; may be absent.
    pub config: PathBuf,
    /// Everything that Crewlog writes for itself; readable by its user only.
    pub data: PathBuf,
    /// The event log.
    pub log: PathBuf,
    /// Texts that are too long for events, named by their hash.
    pub content: PathBuf,
    /// Folded states.
    pub snapshots: PathBuf,
    /// What agents said, one file for each attempt.
    pub transcripts: PathBuf,
    /// Results that no scheduler has acknowledged yet.
    pub spool: PathBuf,
    /// The scheduler's unix socket; may be longer than a socket address can be.
    pub socket: PathBuf,
    /// The attempts' working directories.
    pub worktrees: PathBuf,
}

impl Project {
    /// The project whose repository is at `root`, an absolute path, whether or not it has been
    /// set up yet.
    pub fn at(root: &Path) -> Self {
        let own = root.join(MARK);
        let data = own.join("data");
        Self {
            root: root.to_owned(),
            config: own.join("config.toml"),
            log: data.join("log"),
            content: data.join("content"),
            snapshots: data.join("snapshots"),
            transcripts: data.join("transcripts"),
            spool: data.join("spool"),
            socket: data.join("socket"),
            worktrees: own.join("worktrees"),
            data,
        }
    }

    /// The project at `start`, or at the nearest directory above that has been set up. `start`
    /// is the current directory when the arguments name none.
    pub fn find(start: Option<&Path>) -> Result<Self, Error> {
        let start = start_directory(start)?;
        match nearest(&start, MARK) {
            Some(root) => Ok(Self::at(&root)),
            None => Err(Error::usage(
                "found no Crewlog project",
                format!(
                    "neither {} nor any directory above it has {MARK}/",
                    start.display()
                ),
                "run `scheduler init` in your repository, or name the project with -C DIR",
            )),
        }
    }

    /// The git repository at `start` or above, as a project that may not be set up yet.
    pub fn repository(start: Option<&Path>) -> Result<Self, Error> {
        let start = start_directory(start)?;
        match nearest(&start, ".git") {
            Some(root) => Ok(Self::at(&root)),
            None => Err(Error::usage(
                "cannot set up a project here",
                format!(
                    "{} is in no git repository, and agents' work is kept as commits",
                    start.display()
                ),
                "run `git init` and make a first commit, or name your repository with -C DIR",
            )),
        }
    }

    /// Makes the data directory when there is none, closed to other users: what agents say and
    /// the socket by which they are commanded are nobody else's business.
    pub fn create_data(&self) -> Result<(), Error> {
        let failed = |error: io::Error| {
            Error::internal(
                format!("cannot make {}", self.data.display()),
                error,
                "check that the directory is yours and that its disk is neither full nor read-only",
            )
        };
        private_directory(&self.data).map_err(failed)
    }
}

/// Makes a directory and those above it, all with mode 0700; an existing one stays as it is.
fn private_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn start_directory(start: Option<&Path>) -> Result<PathBuf, Error> {
    let start = start.unwrap_or(Path::new("."));
    let failed = |why: String| {
        Error::usage(
            format!("cannot use the directory {}", start.display()),
            why,
            "name an existing directory with -C DIR",
        )
    };
    let path = start
        .canonicalize()
        .map_err(|error| failed(error.to_string()))?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(failed("it is no directory".to_owned()))
    }
}

/// The directory at or above `start` that has an entry named `mark`.
fn nearest(start: &Path, mark: &str) -> Option<PathBuf> {
    let found = start.ancestors().find(|dir| dir.join(mark).exists());
    found.map(Path::to_owned)
}
