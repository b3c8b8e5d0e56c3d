//! Taking possession of a directory for attempts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::identity::{IDENTITY, Identity, OWNER};
use super::{Project, attempts, cannot, legible, private_directory};
use crate::cli::error::Error;

/// In a project's own directory below the base, what attempts make.
const ATTEMPTS: &str = "attempts";

impl Project {
    /// The project with a directory for its attempts, where the config wants it, made when there
    /// is none. For who holds the log: the place may change.
    ///
    /// # Errors
    /// No such directory can be had, it lies in the repository, or something is in its way.
    pub fn claim_attempts(&self, attempts_dir: &str) -> Result<Self, Error> {
        let (mut identity, fresh) = self.identity()?;
        let wanted = Self::attempts_base(attempts_dir)?;
        let key = match identity.attempts.as_deref().and_then(Path::parent) {
            // Named for what the project was called at first.
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

    /// The directory below which a run would claim one for the attempts of this project.
    ///
    /// # Errors
    /// `run.attempts_dir` is no such path, or there is no home directory.
    pub fn attempts_base(attempts_dir: &str) -> Result<PathBuf, Error> {
        Ok(attempts::really(&attempts::base(attempts_dir)?))
    }

    /// The project with the directory for attempts that a scheduler has claimed; claims one where
    /// none has yet.
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

    /// Who this project is, and whether the file has to be written. A copy of a project's data,
    /// whose original is alive, is a project of its own; data that was moved is what it was.
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

    /// Whether the data directory that an identity names is another than ours, and the same
    /// project's.
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
        // The last characters of an identifier are its random ones.
        let id = identity.id.to_ascii_lowercase();
        let random = id.get(id.len().saturating_sub(12)..).unwrap_or_default();
        format!("{}-{random}", legible(Path::new(name)))
    }

    fn refuse_inside(&self, attempts: &Path) -> Result<(), Error> {
        let places = [&self.top, &self.root, &self.common_dir];
        attempts::refuse_below(attempts, &places.map(PathBuf::as_path))
    }

    /// Makes the directory and writes down whose it is. One that is somebody else's is left alone.
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
                "the directory for attempts cannot be used",
                match owner {
                    Some(owner) => format!("{} belongs to {}", own.display(), owner.data.display()),
                    None => format!(
                        "{} is there already, and Crewlog did not make it",
                        own.display()
                    ),
                },
                "move it away, or name another place with `run.attempts_dir` in .crewlog/config.toml",
            ));
        }
        let unusable = |error| {
            Error::usage(
                "the directory for attempts cannot be used",
                format!("{}: {error}", attempts.display()),
                "make it writable, or name another place with `run.attempts_dir` in .crewlog/config.toml",
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
