//! Claims a directory for a project's attempts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::identity::{IDENTITY, Identity, OWNER};
use super::{Project, attempts, cannot, legible, private_directory};
use crate::cli::error::Error;

/// Name of the attempts' directory in the project's directory below the base.
const ATTEMPTS: &str = "attempts";

impl Project {
    /// The project with a directory for its attempts at the place that the config sets, created if
    /// it is missing. The caller must hold the log, because the place may change.
    ///
    /// # Errors
    /// If the directory cannot be created, is in the repository, or belongs to somebody else.
    pub fn claim_attempts(&self, attempts_dir: &str) -> Result<Self, Error> {
        let (mut identity, fresh) = self.identity()?;
        let wanted = Self::attempts_base(attempts_dir)?;
        let key = match identity.attempts.as_deref().and_then(Path::parent) {
            // Keeps the name from when the project got its first directory.
            Some(own) => own.file_name().unwrap_or_default().to_owned(),
            None => self.key(&identity).into(),
        };
        let wanted = wanted.join(key).join(ATTEMPTS);
        self.refuse_inside(&wanted)?;
        self.own(&wanted, &identity)?;
        if fresh || identity.attempts.as_ref() != Some(&wanted) {
            identity.move_attempts(wanted.clone());
            self.write_identity(&identity)?;
        }
        Ok(Self {
            worktrees: wanted,
            copied: identity.copied,
            ..self.clone()
        })
    }

    /// The directory in which a run would claim one for this project's attempts.
    ///
    /// # Errors
    /// If `run.attempts_dir` is not a valid path, or there is no home directory.
    pub fn attempts_base(attempts_dir: &str) -> Result<PathBuf, Error> {
        Ok(attempts::really(&attempts::base(attempts_dir)?))
    }

    /// The project with the directory for attempts that a scheduler claimed; claims one if none has.
    ///
    /// # Errors
    /// As for [`Project::claim_attempts`].
    pub fn join_attempts(&self, attempts_dir: &str) -> Result<Self, Error> {
        match self.identity()? {
            (
                Identity {
                    attempts: Some(worktrees),
                    ..
                },
                false,
            ) => Ok(Self {
                worktrees,
                ..self.clone()
            }),
            _ => self.claim_attempts(attempts_dir),
        }
    }

    /// The project's identity, and whether its file must be written. Data copied from a project that
    /// still exists gets a new identity; data that was moved keeps its own.
    fn identity(&self) -> Result<(Identity, bool), Error> {
        let file = self.data.join(IDENTITY);
        let found = Identity::read(&file).map_err(|error| cannot("read", &file, error))?;
        Ok(match found {
            Some(known) if known.data == self.data => (known, false),
            Some(known) if self.is_other(&known) => {
                let copied = true;
                let identity = Identity::new(&self.data);
                (Identity { copied, ..identity }, true)
            }
            Some(known) => {
                let data = self.data.clone();
                (Identity { data, ..known }, true)
            }
            None => (Identity::new(&self.data), true),
        })
    }

    /// Whether an identity names a different data directory that exists and has the same identity.
    pub(super) fn is_other(&self, known: &Identity) -> bool {
        let there = Identity::read(&known.data.join(IDENTITY)).ok().flatten();
        let same = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
        there.is_some_and(|there| there.id == known.id) && same(&known.data) != same(&self.data)
    }

    fn write_identity(&self, identity: &Identity) -> Result<(), Error> {
        let file = self.data.join(IDENTITY);
        identity
            .write(&file)
            .map_err(|error| cannot("write", &file, error))
    }

    fn key(&self, identity: &Identity) -> String {
        let name = self.root.file_name().unwrap_or_default();
        // Only the last characters of a ULID are random.
        let id = identity.id.to_ascii_lowercase();
        let random = id.get(id.len().saturating_sub(12)..).unwrap_or_default();
        format!("{}-{random}", legible(Path::new(name)))
    }

    fn refuse_inside(&self, attempts: &Path) -> Result<(), Error> {
        let places = [&self.top, &self.root, &self.common_dir];
        attempts::refuse_below(attempts, &places.map(PathBuf::as_path))
    }

    /// Creates the directory and its owner file. Fails if it belongs to somebody else.
    fn own(&self, attempts: &Path, identity: &Identity) -> Result<(), Error> {
        let own = attempts.parent().unwrap_or(attempts);
        let file = own.join(OWNER);
        let owner = Identity::read(&file).map_err(|error| cannot("read", &file, error))?;
        let ours = match &owner {
            Some(owner) => owner.id == identity.id && !self.is_other(owner),
            None => fs::read_dir(own).map_or(true, |mut entries| entries.next().is_none()),
        };
        if !ours {
            return Err(Error::usage(
                "cannot use the directory for attempts",
                match owner {
                    Some(owner) => format!("{} belongs to {}", own.display(), owner.data.display()),
                    None => format!(
                        "{} already exists, and Crewlog did not create it",
                        own.display()
                    ),
                },
                "move it away, or set `run.attempts_dir` in .crewlog/config.toml to another directory",
            ));
        }
        let unusable = |error| {
            Error::usage(
                "cannot use the directory for attempts",
                format!("{}: {error}", attempts.display()),
                "make it writable, or set `run.attempts_dir` in .crewlog/config.toml to another directory",
            )
        };
        private_directory(attempts).map_err(unusable)?;
        let access = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::access(attempts, access).map_err(|error| unusable(error.into()))?;
        let says = Identity {
            attempts: Some(attempts.to_owned()),
            before: Vec::new(),
            ..identity.clone()
        };
        if owner.as_ref() != Some(&says) {
            says.write(&file)
                .map_err(|error| cannot("write", &file, error))?;
        }
        Ok(())
    }
}
