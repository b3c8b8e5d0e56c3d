//! Where a project's files are.

mod attempts;
mod claim;
mod identity;
mod leftovers;
mod migrate;
mod standing;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::identity::Identity;
pub use self::standing::is_own;
use super::boundary;
use super::error::Error;
use super::runtime;
use crate::workspace::{self, Location};

/// The directory that marks a project.
const MARK: &str = ".crewlog";

/// In a git common directory, what belongs to Crewlog.
const HOME: &str = "crewlog";

/// A name that is made of another one is cut after so many characters: file names may have 255
/// bytes, and two of them and their hashes stand in one.
const NAME_CHARS_MAX: usize = 60;

/// A project: the user's repository, and Crewlog's own files in it. All paths are absolute.
///
/// Several working trees of one repository, and several directories of one working tree, are
/// projects of their own, each with a data directory of its own in the common git directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The directory that holds `.crewlog`.
    pub root: PathBuf,
    /// The top of the working tree that `root` lies in, or the bare repository.
    pub top: PathBuf,
    /// The git directory that all working trees share.
    pub common_dir: PathBuf,
    /// The config; may be absent.
    pub config: PathBuf,
    /// Everything that Crewlog writes for itself, but attempts; readable by its user only.
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
    /// The attempts' working directories, outside of the repository. Before the first run, a place
    /// where nothing is made; see [`Project::claim_attempts`].
    pub worktrees: PathBuf,
    /// It began as a copy of a project that lived on, so that processes in its log may be the
    /// other's. Known once attempts are claimed.
    pub copied: bool,
    /// Where [`Project::data`] belongs. It is elsewhere only in a project that an older build has
    /// laid out, until the first command that writes.
    home: PathBuf,
    /// Where older builds had it.
    old: PathBuf,
}

impl Project {
    /// The project at the top of an ordinary repository, `root`, whether or not either has been
    /// made yet. For repositories of our own making; [`Project::find`] asks git.
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

    /// What follows from where the data is; the rest is empty.
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

    /// The project at `start`, or at the nearest directory above that has been set up. `start`
    /// is the current directory when the arguments name none.
    pub fn find(start: Option<&Path>) -> Result<Self, Error> {
        let start = start_directory(start)?;
        let Some(root) = start.ancestors().find(|dir| dir.join(MARK).exists()) else {
            return Err(Error::usage(
                "found no Crewlog project",
                format!(
                    "neither {} nor any directory above it has {MARK}/",
                    start.display()
                ),
                "run `scheduler init` in your repository, or name the project with -C DIR",
            ));
        };
        let found = match runtime::start()?.block_on(Location::ask(root)) {
            Err(error @ workspace::Error::NotARepository { .. }) => Err(error),
            // A git that is missing, dies or refuses keeps nobody from looking at the log.
            Err(error) => Location::read(root).ok_or(error),
            found => found,
        };
        let location = found.map_err(|error| no_repository("cannot use this project", error))?;
        boundary::check(root)?;
        Ok(Self::of(root, &location))
    }

    /// The git repository that `start` lies in, as a project that may not be set up yet.
    pub fn repository(start: Option<&Path>) -> Result<Self, Error> {
        let start = start_directory(start)?;
        let location = runtime::start()?
            .block_on(Location::ask(&start))
            .map_err(|error| no_repository("cannot set up a project here", error))?;
        boundary::check(location.home())?;
        Ok(Self::of(location.home(), &location))
    }

    /// The project with its data where it belongs: moved there from where an older build had it,
    /// or made. For every command that writes.
    ///
    /// # Errors
    /// An older build uses the data where it is, or the disk refuses.
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

    /// The directory of attempts in the layout of older builds; may be absent.
    pub fn old_worktrees(&self) -> PathBuf {
        self.root.join(MARK).join("worktrees")
    }

    /// Makes the data directory when there is none, closed to other users: what agents say and
    /// the socket by which they are commanded are nobody else's business. Nothing is made where
    /// there is no repository any more.
    pub fn create_data(&self) -> Result<(), Error> {
        for dir in [self.data.parent().unwrap_or(&self.data), &self.data] {
            let made = std::fs::DirBuilder::new().mode(0o700).create(dir);
            match made {
                Err(_) if dir.is_dir() => {}
                made => made.map_err(|error| cannot("make", dir, error))?,
            }
        }
        Ok(())
    }
}

fn cannot(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::internal(
        format!("cannot {doing} {}", path.display()),
        error,
        "check that the directory is yours and that its disk is neither full nor read-only",
    )
}

fn no_repository(what: &str, error: workspace::Error) -> Error {
    match error {
        workspace::Error::NotARepository { dir } => Error::usage(
            what,
            format!(
                "{} is in no git repository, and agents' work is kept as commits",
                dir.display()
            ),
            "run `git init` and make a first commit, or name your repository with -C DIR",
        ),
        error => Error::usage(what, error, ""),
    }
}

/// What the project is called among those of its repository. It does not change when the
/// repository, or a linked worktree, is moved.
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

/// A name that is as good as the one it is made of, and can be part of a file's name.
fn plain(path: &Path) -> String {
    let legible = legible(path);
    match path.to_str() {
        Some(same) if same == legible => legible,
        _ => format!("{legible}-{}", hash(path)),
    }
}

/// What people recognise of a path; others may give the same.
fn legible(path: &Path) -> String {
    let allowed = |c: char| match c.is_ascii_alphanumeric() || "-_.".contains(c) {
        true => c,
        false => '-',
    };
    let text = path.to_string_lossy();
    text.chars().take(NAME_CHARS_MAX).map(allowed).collect()
}

/// Eight hexadecimal digits: enough to tell the directories of one repository apart.
fn hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
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

#[cfg(test)]
mod tests;
