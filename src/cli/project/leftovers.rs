//! Removes what killed processes leave behind: half-written files in the data directory, and empty
//! directories for attempts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Project;
use super::identity::{IDENTITY, Identity, OWNER};
use crate::queue;
use crate::worker::spool;

impl Project {
    /// Removes half-written files, at the start and end of every run. The caller must hold the log.
    pub fn remove_unfinished(&self) {
        let no_worker = spool::remove_unfinished(&self.data);
        let removed = queue::remove_unfinished(&self.data)
            .and_then(|()| queue::remove_unfinished(&self.snapshots));
        if let Err(error) = &removed {
            tracing::warn!(%error, "cannot remove half-written files; the next start tries again");
        }
        match no_worker {
            Ok(true) => {
                let contents = queue::FileContents::open(&self.log.join("content"));
                if let Err(error) = contents.and_then(|contents| contents.remove_unfinished()) {
                    tracing::warn!(%error, "cannot remove half-written outputs; the next start tries again");
                }
            }
            // Living workers may be writing; old files were removed when the log was opened.
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot remove half-written results; the next start tries again")
            }
        }
    }

    /// The current directory for attempts, then earlier ones that still belong to this project.
    pub fn all_attempts(&self) -> Vec<PathBuf> {
        let mut all = vec![self.worktrees.clone()];
        if let Ok(Some(identity)) = Identity::read(&self.data.join(IDENTITY)) {
            let before = identity.before.iter();
            all.extend(before.filter(|dir| self.owns(dir, &identity)).cloned());
        }
        all.push(self.old_worktrees());
        all
    }

    fn owns(&self, attempts: &Path, identity: &Identity) -> bool {
        let owner = attempts.parent().map(|own| own.join(OWNER));
        let owner = owner.and_then(|file| Identity::read(&file).ok().flatten());
        owner.is_some_and(|owner| owner.id == identity.id && !self.is_other(&owner))
    }

    /// Removes empty directories for attempts. The next run creates its own again.
    pub fn release_attempts(&self) {
        for attempts in self.all_attempts() {
            let emptied = fs::remove_dir(&attempts);
            // A directory that is not empty stays, with its owner file.
            if let Some(own) = attempts.parent().filter(|_| emptied.is_ok())
                && fs::remove_file(own.join(OWNER)).is_ok()
                && let Err(error) = fs::remove_dir(own)
            {
                tracing::debug!(%error, "kept the parent of the directory for attempts");
            }
            if let Err(error) = emptied
                && error.kind() != io::ErrorKind::NotFound
            {
                let at = attempts.display();
                tracing::debug!(%error, %at, "kept the directory for attempts");
            }
        }
    }
}
