//! Creates a repository for the demo.

use std::path::Path;

use super::git::Git;
use super::{Author, Result};

impl super::Repository {
    /// Makes `dir` a repository with its contents as the first commit. `author` is written into the
    /// new repository's own config, so that the user's config is not needed.
    ///
    /// # Errors
    /// git is missing or refuses.
    pub async fn found(dir: &Path, author: &Author, message: &str) -> Result<()> {
        let git = Git::default();
        let call = |doing| git.call(doing).dir(dir).whole_tree();
        let call = |doing, args: &[&str]| call(doing).args(args).ok();
        call("create a repository", &["init", "-q", "-b", "main"]).await?;
        call("set its author", &["config", "user.name", &author.name]).await?;
        call("set its author", &["config", "user.email", &author.email]).await?;
        call("stage its files", &["add", "-A"]).await?;
        call("create its first commit", &["commit", "-q", "-m", message]).await?;
        Ok(())
    }
}
