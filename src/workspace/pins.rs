//! Refs that keep the commit of an open attempt from git's garbage collection. A merge may wait for
//! hours, because the branch is checked out or checks run, and a person's `git gc --prune=now`
//! would remove what no ref reaches.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Result;
use super::blocking::blocking;
use super::places::Places;
use super::repository::Repository;
use crate::model::ids::{AttemptId, CommitId};

/// Prefix of the refs; below it, one name for each directory of attempts, because projects of one
/// repository number their attempts independently.
const OPEN: &str = "refs/crewlog/open";

/// Bytes of the digest that stands for a directory of attempts; a repository has some ten projects.
const DIGEST_BYTES: usize = 6;

impl Repository {
    /// Makes `commit`, which must be durable, reachable while its attempt is open.
    ///
    /// # Errors
    /// git fails, or the disk does.
    pub(super) async fn pin(
        &self,
        places: &Places,
        attempt: AttemptId,
        commit: &CommitId,
    ) -> Result<()> {
        let Some(reference) = name(places.all(), attempt) else {
            return Ok(());
        };
        let doing = "keep the commit of an open attempt";
        let mut tried = 0;
        loop {
            let call = self.call(doing).args(["update-ref", "-m", doing]);
            let call = call.args([reference.as_str(), commit.as_str()]);
            let (call, output) = call.run_keeping().await?;
            if output.code == 0 {
                return self.sync_ref(&reference).await;
            }
            tried += 1;
            self.wait_for_lock(&call, &output, &reference, tried)
                .await?;
        }
    }

    /// Deletes the ref of [`pin`](Self::pin). A ref that is a file of its own is deleted as one:
    /// git would wait for the lock of the packed refs, which somebody else's killed git may have
    /// left behind. Packed refs are deleted by [`unpin_all`].
    ///
    /// [`unpin_all`]: Self::unpin_all
    pub(super) async fn unpin(&self, places: &Places, attempt: AttemptId) -> Result<()> {
        let Some(reference) = name(places.all(), attempt) else {
            return Ok(());
        };
        if self.has_ref_tables() {
            let call = self.call("release a commit");
            return call
                .args(["update-ref", "-d", &reference])
                .ok()
                .await
                .map(drop);
        }
        let file = self.common_dir().join(&reference);
        blocking("release a commit", file, |file| {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // The last one to leave removes it. git creates a directory again that another process
            // removes.
            for dir in file.ancestors().skip(1).take(2) {
                if fs::remove_dir(dir).is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    /// Deletes the refs of attempts that are over.
    pub(super) async fn unpin_all(
        &self,
        attempts_dir: &Path,
        over: impl Fn(AttemptId) -> bool,
    ) -> Result<()> {
        let above = group(attempts_dir);
        let call = self.call("search for commits of ended attempts");
        let listed = call.args(["for-each-ref", "--format=%(refname)", &above]);
        let listed = listed.ok().await?;
        for reference in listed.text().lines() {
            let number = reference
                .rsplit('/')
                .next()
                .and_then(|last| last.parse().ok());
            if number.is_some_and(|number| over(AttemptId(number))) {
                let call = self.call("release a commit");
                call.args(["update-ref", "-d", reference]).ok().await?;
            }
        }
        Ok(())
    }

    fn has_ref_tables(&self) -> bool {
        self.common_dir().join("reftable").is_dir()
    }
}

fn name(attempts_dir: Option<&Path>, attempt: AttemptId) -> Option<String> {
    Some(format!("{}/{}", group(attempts_dir?), attempt.0))
}

fn group(attempts_dir: &Path) -> String {
    let really = attempts_dir.canonicalize();
    let attempts_dir = really.as_deref().unwrap_or(attempts_dir);
    let digest = Sha256::digest(attempts_dir.as_os_str().as_bytes());
    let digest: String = digest
        .iter()
        .take(DIGEST_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{OPEN}/{digest}")
}
