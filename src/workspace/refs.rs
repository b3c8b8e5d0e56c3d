//! Refs of the main repository: reads them, and creates ours.

use std::time::Duration;

use super::git::{Call, Output, shorten};
use super::repository::{Repository, commit_id};
use super::{Error, Result};
use crate::model::ids::{AttemptId, CommitId};

/// Prefix of refs that keep discarded work reachable.
const PRESERVED: &str = "refs/crewlog/preserved";

/// An attempt is preserved once, its agent's own commits once more; a new log counts its attempts
/// from the start again. More than a hundred refs of the same name are a mistake.
const NAMESAKES_MAX: u32 = 100;

/// git holds a lock for milliseconds, on a loaded machine for tenths of a second. Together these
/// waits (doubling from 10 ms, at most 500 ms each) are some 5 s.
pub(super) const LOCK_TRIES: u32 = 15;

impl Repository {
    /// Keeps discarded work reachable, and returns its ref: usually
    /// `refs/crewlog/preserved/<attempt>`. An existing ref is never moved; other work under the
    /// same number gets a `-2`, `-3`, ... appended. On return everything is durable.
    ///
    /// # Errors
    /// The commit does not exist, or git's locks stay held.
    pub async fn preserve(&self, attempt: AttemptId, commit: &CommitId) -> Result<String> {
        self.preserve_as(&attempt.0.to_string(), commit).await
    }

    /// The ref that keeps the unmerged work of an attempt, if any.
    ///
    /// # Errors
    /// git fails.
    pub async fn preserved(&self, attempt: AttemptId) -> Result<Option<String>> {
        let name = format!("{PRESERVED}/{}", attempt.0);
        Ok(self.read_ref(&name).await?.map(|_| name))
    }

    pub(super) async fn preserve_as(&self, name: &str, commit: &CommitId) -> Result<String> {
        let doing = "preserve work";
        // A ref to something that a power cut destroyed would break the user's `git gc`.
        self.sync_history(commit).await?;
        for number in 1..=NAMESAKES_MAX {
            let reference = match number {
                1 => format!("{PRESERVED}/{name}"),
                _ => format!("{PRESERVED}/{name}-{number}"),
            };
            match self.create_ref(doing, &reference, commit).await? {
                Some(there) if there != *commit => {}
                _ => {
                    self.sync_ref(&reference).await?;
                    return Ok(reference);
                }
            }
        }
        Err(Error::Locked {
            doing,
            detail: format!("{NAMESAKES_MAX} refs named {PRESERVED}/{name} already exist"),
        })
    }

    /// Creates a ref. If it exists, returns its commit instead.
    pub(super) async fn create_ref(
        &self,
        doing: &'static str,
        reference: &str,
        commit: &CommitId,
    ) -> Result<Option<CommitId>> {
        let mut tried = 0;
        loop {
            let (call, output) = self
                .call(doing)
                .args(["update-ref", "-m", doing, reference, commit.as_str()])
                .arg(self.no_commit())
                .run_keeping()
                .await?;
            if output.code == 0 {
                return Ok(None);
            }
            if let Some(there) = self.read_ref(reference).await? {
                return Ok(Some(there));
            }
            tried += 1;
            self.wait_for_lock(&call, &output, reference, tried).await?;
        }
    }

    /// What a ref points to, if it exists.
    ///
    /// # Errors
    /// git cannot tell: the ref or the repository is broken.
    pub(super) async fn read_ref(&self, reference: &str) -> Result<Option<CommitId>> {
        self.resolve("read a ref", reference).await
    }

    /// The commit of this name, if it exists.
    ///
    /// # Errors
    /// git cannot tell.
    pub(super) async fn find_commit(&self, name: &str) -> Result<Option<CommitId>> {
        let name = format!("{name}^{{commit}}");
        self.resolve("find a commit", &name).await
    }

    async fn resolve(&self, doing: &'static str, name: &str) -> Result<Option<CommitId>> {
        let (call, output) = self
            .call(doing)
            .args(["rev-parse", "--verify", "--quiet", name])
            .run_keeping()
            .await?;
        match output.code {
            0 => commit_id(&call, &output).map(Some),
            // git complains about what is broken.
            1 if output.stderr.trim().is_empty() => Ok(None),
            _ => Err(call.failed(&output)),
        }
    }

    /// After the `tried`th failure of `call`: waits if a lock was the reason, and removes a dead
    /// git's lock; otherwise, or at last, it is an error.
    pub(super) async fn wait_for_lock(
        &self,
        call: &Call,
        output: &Output,
        reference: &str,
        tried: u32,
    ) -> Result<()> {
        if !output.stderr.contains(".lock'") {
            return Err(call.failed(output));
        }
        if tried >= LOCK_TRIES {
            return Err(Error::Locked {
                doing: call.doing,
                detail: shorten(output.stderr.trim()),
            });
        }
        self.clear_stale_lock(reference);
        let wait_ms = (10_u64 << tried.min(6)).min(500);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok(())
    }
}
