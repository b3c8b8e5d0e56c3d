//! The lock for moving the integration branch.
//!
//! git is a process of its own, and may outlive the scheduler that started it: on a disk that
//! hangs, a killed git ends only when the disk answers, and may move the branch before. So git
//! holds this lock itself, as its standard input, and the kernel releases it with its last process.
//! The holder of the lock knows that no earlier git is still running, so the branch stays where it
//! is.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Result;
use super::error::Error;

/// How long to wait for the lock: another project in this repository moves its branch within
/// milliseconds. The caller tries again later.
const WAIT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// The lock, held while this value or a git that got it lives.
#[derive(Clone, Debug)]
pub struct MoveLock(Arc<File>);

impl MoveLock {
    /// Takes the lock of the repository whose working trees share `common_dir`.
    ///
    /// # Errors
    /// [`Error::BranchBusy`] if a git of an earlier scheduler still holds it after [`WAIT`], and
    /// the disk's errors.
    pub(super) async fn take(common_dir: &Path) -> Result<Self> {
        let path = common_dir.join("crewlog").join("branch.flock");
        let failed = |source| Error::io("lock", &path)(source);
        let file = open(&path).map_err(failed)?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Arc::new(file))),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) if waited >= WAIT => {
                    return Err(Error::BranchBusy { lock: path });
                }
                Err(TryLockError::WouldBlock) => {}
            }
            // The kernel reports the release of a lock only to a thread that waits for it.
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
    }

    /// The same lock for another process; it is released with the last holder.
    pub(super) fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

impl PartialEq for MoveLock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MoveLock {}

fn open(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir)?;
    }
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(path)
}
