//! What killed processes leave in the data directory and in directories for attempts: half-written
//! files, and places where attempts worked once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Project;
use super::identity::{IDENTITY, Identity, OWNER};
use crate::queue;
use crate::worker::spool;

impl Project {
    /// Removes half-written files. For who holds the log, at the start and at the end of a run,
    /// whether or not there is anything to do.
    pub fn remove_unfinished(&self) {
        let no_worker = spool::remove_unfinished(&self.data);
        let removed = queue::remove_unfinished(&self.data)
            .and_then(|()| queue::remove_unfinished(&self.snapshots));
        if let Err(error) = &removed {
            tracing::warn!(%error, "left half-written files for the next start");
        }
        match no_worker {
            Ok(true) => {
                let contents = queue::FileContents::open(&self.log.join("content"));
                if let Err(error) = contents.and_then(|contents| contents.remove_unfinished()) {
                    tracing::warn!(%error, "left half-written outputs for the next start");
                }
            }
            // Living workers may be writing; what is old was removed when the log was opened.
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "left half-written results for the next start"),
        }
    }

    /// Every directory in which attempts of this project work, or have worked: the first is that
    /// of today. Those that are another project's by now are not among them.
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

    /// Removes directories for attempts in which nothing is left. The next run makes its own again.
    pub fn release_attempts(&self) {
        for attempts in self.all_attempts() {
            let emptied = fs::remove_dir(&attempts);
            // A directory that holds something stays, and so does the file that says whose it is.
            if let Some(own) = attempts.parent().filter(|_| emptied.is_ok())
                && fs::remove_file(own.join(OWNER)).is_ok()
                && let Err(error) = fs::remove_dir(own)
            {
                tracing::debug!(%error, "kept the directory around that of the attempts");
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
