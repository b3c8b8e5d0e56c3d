//! A project and the places of its files.

mod attempts;
mod claim;
mod identity;
mod leftovers;
mod migrate;
mod path_guard;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::identity::Identity;
pub use self::path_guard::is_own;
use super::boundary;
use super::error::Error;
use super::runtime;
use crate::workspace::{self, Location};

/// Name of the directory that marks a project.
const MARK: &str = ".crewlog";

/// Name of Crewlog's directory in the common git directory.
const HOME: &str = "crewlog";

/// Names derived from others are cut after this many characters: a file name may have 255 bytes,
/// and contains two of them and their hashes.
const NAME_CHARS_MAX: usize = 60;

/// A project: the user's repository, and Crewlog's files in it. All paths are absolute.
///
/// Each working tree of a repository, and each directory of a working tree, can be a separate
/// project with its own data directory in the common git directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The directory that contains `.crewlog`.
    pub root: PathBuf,
    /// The top of the working tree that contains `root`, or the bare repository.
    pub top: PathBuf,
    /// The git directory shared by all working trees.
    pub common_dir: PathBuf,
    /// The config file; may be absent.
    pub config: PathBuf,
    /// The data directory, readable only by its user: everything that Crewlog writes for itself,
    /// except attempts.
    pub data: PathBuf,
    /// Directory of the event log.
    pub log: PathBuf,
    /// Directory of texts that are too long for events, named by their hash.
    pub content: PathBuf,
    /// Directory of snapshots of the state.
    pub snapshots: PathBuf,
    /// Directory of transcripts, one file per attempt.
    pub transcripts: PathBuf,
    /// Directory of results that no scheduler has acknowledged yet.
    pub spool: PathBuf,
    /// The scheduler's Unix socket; the path may be longer than a socket address can be.
    pub socket: PathBuf,
    /// Parent of the attempts' directories, outside the repository. Before the first run this is a
    /// placeholder that is never created; see [`Project::claim_attempts`].
    pub worktrees: PathBuf,
    /// True for a copy of a project that still exists: processes in its log may belong to the
    /// original. Known once attempts are claimed.
    pub copied: bool,
    /// Where [`Project::data`] belongs. A project from an older version has it elsewhere until the
    /// first command that writes.
    home: PathBuf,
    /// Where older versions kept the data.
    old: PathBuf,
}

impl Project {
    /// The project at `root`, the top of an ordinary repository; neither needs to exist yet. Only
    /// for repositories that Crewlog creates; [`Project::find`] asks git.
    pub fn at(root: &Path) -> Self {
        let git_dir = root.join(".git");
        let location = Location {
            common_dir: git_dir.clone(),
            git_dir,
            top: Some(root.to_owned()),
        };
        Self::of(root, &location)
    }

    fn of(root: &Path, location: &Location) -> Self {
        let own = root.join(MARK);
        let home = location.common_dir.join(HOME).join(name(root, location));
        let old = own.join("data");
        let data = match !home.exists() && old.is_dir() {
            true => old.clone(),
            false => home.clone(),
        };
        Self {
            root: root.to_owned(),
            top: location.home().to_owned(),
            common_dir: location.common_dir.clone(),
            config: own.join("config.toml"),
            old,
            ..Self::with_data(data, home)
        }
    }

    /// A project with the paths inside `data`; the other fields are empty.
    fn with_data(data: PathBuf, home: PathBuf) -> Self {
        let identity = Identity::read(&data.join(identity::IDENTITY));
        let claimed = identity.ok().flatten().filter(|who| who.data == data);
        let claimed = claimed.and_then(|who| who.attempts);
        Self {
            root: PathBuf::new(),
            top: PathBuf::new(),
            common_dir: PathBuf::new(),
            config: PathBuf::new(),
            old: PathBuf::new(),
            copied: false,
            home,
            log: data.join("log"),
            content: data.join("content"),
            snapshots: data.join("snapshots"),
            transcripts: data.join("transcripts"),
            spool: data.join("spool"),
            socket: data.join("socket"),
            worktrees: claimed.unwrap_or_else(|| data.join("attempts")),
            data,
        }
    }

    /// The project at `start` (default: the current directory) or the nearest directory above it.
    pub fn find(start: Option<&Path>) -> Result<Self, Error> {
        let start = start_directory(start)?;
        let Some(root) = start.ancestors().find(|dir| dir.join(MARK).exists()) else {
            return Err(Error::usage(
                "no Crewlog project found",
                format!(
                    "neither {} nor any directory above it has {MARK}/",
                    start.display()
                ),
                "run `scheduler init` in your repository, or give the project's directory with -C DIR",
            ));
        };
        let found = match runtime::start()?.block_on(Location::ask(root)) {
            Err(error @ workspace::Error::NotARepository { .. }) => Err(error),
            // The log can be read even if git is missing, crashes or refuses.
            Err(error) => Location::read(root).ok_or(error),
            found => found,
        };
        let location = found.map_err(|error| no_repository("cannot use this project", error))?;
        boundary::check(root)?;
        Ok(Self::of(root, &location))
    }

    /// The git repository that contains `start`, as a project that may not be set up yet.
    pub fn repository(start: Option<&Path>) -> Result<Self, Error> {
        let start = start_directory(start)?;
        let location = runtime::start()?
            .block_on(Location::ask(&start))
            .map_err(|error| no_repository("cannot set up a project here", error))?;
        boundary::check(location.home())?;
        Ok(Self::of(location.home(), &location))
    }

    /// The project with its data directory in place: created, or moved from where an older version
    /// kept it. Every command that writes calls this.
    ///
    /// # Errors
    /// If a process of an older version uses the data, or on an I/O error.
    pub fn settle(&self) -> Result<Self, Error> {
        self.migrate()?;
        let settled = Self {
            root: self.root.clone(),
            top: self.top.clone(),
            common_dir: self.common_dir.clone(),
            config: self.config.clone(),
            old: self.old.clone(),
            ..Self::with_data(self.home.clone(), self.home.clone())
        };
        settled.create_data()?;
        Ok(settled)
    }

    /// The project's identity, which stays the same when it moves; `None` before the first command
    /// that writes.
    pub fn id(&self) -> Option<String> {
        let identity = Identity::read(&self.data.join(identity::IDENTITY));
        Some(identity.ok().flatten()?.id)
    }

    /// The directory of attempts in the layout of older versions; may be absent.
    pub fn old_worktrees(&self) -> PathBuf {
        self.root.join(MARK).join("worktrees")
    }

    /// Creates the data directory if it is missing, with access only for its user, because it has
    /// transcripts and the scheduler's socket. Fails if the repository no longer exists.
    pub fn create_data(&self) -> Result<(), Error> {
        for dir in [self.data.parent().unwrap_or(&self.data), &self.data] {
            let made = std::fs::DirBuilder::new().mode(0o700).create(dir);
            match made {
                Err(_) if dir.is_dir() => {}
                made => made.map_err(|error| cannot("create", dir, error))?,
            }
        }
        Ok(())
    }
}

fn cannot(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::internal(
        format!("cannot {doing} {}", path.display()),
        error,
        "make sure that you can write to the directory, and that its disk is not full or read-only",
    )
}

fn no_repository(what: &str, error: workspace::Error) -> Error {
    match error {
        workspace::Error::NotARepository { dir } => Error::usage(
            what,
            format!(
                "{} is not in a git repository, and Crewlog keeps agents' work as commits",
                dir.display()
            ),
            "run `git init` and make a first commit, or give your repository with -C DIR",
        ),
        error => Error::usage(what, error, ""),
    }
}

/// The project's name among those of its repository. It stays the same when the repository or a
/// linked worktree is moved.
fn name(root: &Path, location: &Location) -> String {
    let linked = location.common_dir.join("worktrees");
    let tree = match location.git_dir.strip_prefix(linked) {
        Ok(name) => format!("worktree-{}", plain(name)),
        Err(_) if location.git_dir == location.common_dir => "main".to_owned(),
        Err(_) => format!("at-{}", plain(&location.git_dir)),
    };
    match root.strip_prefix(location.home()) {
        Ok(below) if below.as_os_str().is_empty() => tree,
        Ok(below) => format!("{tree}+{}-{}", legible(below), hash(below)),
        Err(_) => format!("{tree}+{}-{}", legible(root), hash(root)),
    }
}

/// A unique name for a path that can be part of a file name.
fn plain(path: &Path) -> String {
    let legible = legible(path);
    match path.to_str() {
        Some(same) if same == legible => legible,
        _ => format!("{legible}-{}", hash(path)),
    }
}

/// The readable part of a path; not unique.
fn legible(path: &Path) -> String {
    let allowed = |c: char| match c.is_ascii_alphanumeric() || "-_.".contains(c) {
        true => c,
        false => '-',
    };
    let text = path.to_string_lossy();
    text.chars().take(NAME_CHARS_MAX).map(allowed).collect()
}

/// Eight hexadecimal digits of a path's hash: enough to distinguish directories of a repository.
fn hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Creates a directory and its parents with mode 0700; existing ones keep their mode.
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
            "give an existing directory with -C DIR",
        )
    };
    let path = start
        .canonicalize()
        .map_err(|error| failed(error.to_string()))?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(failed("not a directory".to_owned()))
    }
}

#[cfg(test)]
mod tests;
