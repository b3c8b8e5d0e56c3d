//! Locks that a killed git left in the main repository. None of our calls needs them: refs are
//! created and moved under their own locks. But the person's git does, and nothing else tells the
//! person why it fails.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::Result;
use super::blocking::blocking;
use super::repository::Repository;

/// git holds these while it writes one file; only a checkout of a large tree holds the index for
/// longer.
const STALE: Duration = Duration::from_secs(60);

const LOCKS: [&str; 5] = [
    "HEAD.lock",
    "config.lock",
    "packed-refs.lock",
    "shallow.lock",
    "reftable/tables.list.lock",
];

impl Repository {
    /// Locks of the main repository that are too old to belong to a living git. They are not ours,
    /// so a person has to delete them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn stale_locks(&self) -> Result<Vec<PathBuf>> {
        let mut locks = vec![self.git_dir().join("index.lock")];
        locks.extend(LOCKS.map(|name| self.common_dir().join(name)));
        let dir = self.common_dir().to_owned();
        blocking("search for locks", dir, move |_| {
            locks.retain(|lock| {
                let modified = fs::symlink_metadata(lock).and_then(|meta| meta.modified());
                let age = modified.ok().and_then(|time| time.elapsed().ok());
                age.is_some_and(|age| age > STALE)
            });
            Ok(locks)
        })
        .await
    }
}
