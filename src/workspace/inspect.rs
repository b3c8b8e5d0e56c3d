//! Questions about a repository that need only its contents.

use std::collections::BTreeMap;

use super::Result;
use crate::model::ids::CommitId;

impl super::Repository {
    /// Number of the branch's commits for each feature, by their `Crewlog-Feature` trailer as it is
    /// written (`#12`).
    ///
    /// # Errors
    /// The branch does not exist, or git fails.
    pub async fn merged_features(&self, branch: &str) -> Result<BTreeMap<String, u32>> {
        let call = self.call("list the branch's commits");
        let output = call
            .args(["log", "--format=%(trailers:key=Crewlog-Feature,valueonly)"])
            .arg(format!("refs/heads/{branch}"))
            .arg("--")
            .ok();
        let text = output.await?.text();
        let mut merged = BTreeMap::new();
        for feature in text.lines().filter(|line| !line.is_empty()) {
            *merged.entry(feature.to_owned()).or_default() += 1;
        }
        Ok(merged)
    }

    /// The commit that the user has checked out.
    ///
    /// # Errors
    /// There is none.
    pub async fn users_head(&self) -> Result<CommitId> {
        self.user_head().await
    }

    /// Paths in the user's own working tree that differ from what is checked out there.
    ///
    /// # Errors
    /// git fails.
    pub async fn users_changes(&self) -> Result<Vec<String>> {
        let call = self.users_call("check the working tree").whole_tree();
        let output = call.args(["status", "--porcelain"]).ok().await?;
        Ok(output.text().lines().map(str::to_owned).collect())
    }

    /// Whether everything that the branch reaches exists and is complete.
    ///
    /// # Errors
    /// Something is missing or broken; git's message says what.
    pub async fn is_whole(&self, branch: &str) -> Result<()> {
        let call = self.call("check the branch's objects").whole_tree();
        let reference = format!("refs/heads/{branch}");
        let checked = call.args(["fsck", "--no-dangling", "--no-progress", &reference]);
        checked.ok().await.map(|_| ())
    }
}
