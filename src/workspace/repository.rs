//! One repository, as all worktrees share it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::git::{Call, Git, Output};
use super::{Author, Error, Result};
use crate::model::ids::{AttemptId, CommitId};

/// Where work that is thrown away stays reachable.
const PRESERVED: &str = "refs/crewlog/preserved";

/// An attempt is preserved once, its agent's own commits once more; a log that was begun anew
/// counts its attempts from the start again. More than a hundred namesakes are a mistake.
const NAMESAKES_MAX: u32 = 100;

/// git holds a lock for milliseconds, on a loaded machine for tenths of a second. Together these
/// waits (doubling from 10 ms, at most 500 ms each) are some 5 s.
pub(super) const LOCK_TRIES: u32 = 15;

/// A version of git: major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// The oldest that works; Debian 11 has it.
    pub const OLDEST: Self = Self(2, 30);

    /// The first whose `merge-tree` merges without a working tree and from a named base.
    pub(super) const MERGE_TREE: Self = Self(2, 40);

    /// The first that knows `core.fsync`.
    pub(super) const FSYNC: Self = Self(2, 36);

    /// Reads what `git version` prints, whatever the vendor appends.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix("git version ")?;
        let mut parts = numbers.split(|c: char| !c.is_ascii_digit());
        let mut next = || parts.next()?.parse().ok();
        Some(Self(next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// How the repository names objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectFormat {
    Sha1,
    Sha256,
}

/// A git repository that the project lies in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    git: Git,
    version: Version,
    common_dir: PathBuf,
    project_dir: PathBuf,
    prefix: PathBuf,
    format: ObjectFormat,
    author: Author,
    committer: Author,
}

impl Repository {
    /// Finds the repository that `project_dir` lies in: an ordinary, bare or shallow one, or a
    /// linked worktree of one. Its state (a merge or rebase in progress, changes) is the user's
    /// business and does not matter.
    ///
    /// # Errors
    /// No git or an old one, no repository, one that git does not trust, one without a commit.
    pub async fn discover(project_dir: &Path) -> Result<Self> {
        Self::discover_with(project_dir, Git::default()).await
    }

    /// The same with a chosen git program.
    ///
    /// # Errors
    /// As for [`Self::discover`].
    pub async fn discover_with(project_dir: &Path, git: Git) -> Result<Self> {
        let doing = "look at the repository";
        let project_dir =
            &std::path::absolute(project_dir).map_err(Error::io(doing, project_dir))?;
        let version = git.version().await?;
        let git = git.of_version(version);
        let (call, found) = git
            .call("find the repository")
            .dir(project_dir)
            .args(["rev-parse", "--show-object-format", "--show-prefix"])
            .arg("--git-common-dir")
            .run_keeping()
            .await?;
        if found.code != Some(0) {
            return Err(not_found(project_dir, &call, &found));
        }
        // The directories are last and may hold anything; a trailing line feed ends each.
        let answer = String::from_utf8_lossy(&found.stdout).into_owned();
        let mut lines = answer.splitn(3, '\n');
        let (Some(format), Some(prefix), Some(common)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(call.unexpected(&found));
        };
        let common = project_dir.join(common.trim_end_matches('\n'));
        let common_dir = common.canonicalize().map_err(Error::io(doing, &common))?;
        let format = match format {
            "sha1" => ObjectFormat::Sha1,
            "sha256" => ObjectFormat::Sha256,
            _ => return Err(call.unexpected(&found)),
        };
        let (author, committer) = identities(&git, project_dir).await?;
        let repository = Self(Arc::new(Inner {
            git,
            version,
            common_dir,
            project_dir: project_dir.clone(),
            prefix: PathBuf::from(prefix),
            format,
            author,
            committer,
        }));
        repository.user_head().await?;
        Ok(repository)
    }

    /// The directory that all worktrees of this repository share, absolute.
    pub fn common_dir(&self) -> &Path {
        &self.0.common_dir
    }

    /// Where the project lies below the top of its repository; empty when it is the top. The
    /// project's files are at the same place in every worktree.
    pub fn prefix(&self) -> &Path {
        &self.0.prefix
    }

    /// The version of git that is used.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// The same repository, as an older git would treat it; for tests of the older ways.
    #[doc(hidden)]
    #[must_use]
    pub fn pretend_version(&self, version: Version) -> Self {
        Self(Arc::new(Inner {
            git: self.0.git.clone().of_version(version),
            version,
            common_dir: self.0.common_dir.clone(),
            project_dir: self.0.project_dir.clone(),
            prefix: self.0.prefix.clone(),
            format: self.0.format,
            author: self.0.author.clone(),
            committer: self.0.committer.clone(),
        }))
    }

    /// The commit that the user has checked out.
    pub(super) async fn user_head(&self) -> Result<CommitId> {
        let call = self.0.git.call("find the commit to start from");
        let (call, output) = call
            .dir(&self.0.project_dir)
            .args(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
            .run_keeping()
            .await?;
        match output.code {
            Some(0) => commit_id(&call, &output),
            _ => Err(Error::NoCommit {
                dir: self.0.project_dir.clone(),
            }),
        }
    }

    /// Says whether work can begin from here: git takes the directory, and something is committed.
    ///
    /// # Errors
    /// There is no commit yet, or git fails.
    pub async fn check_commit(&self) -> Result<()> {
        self.user_head().await.map(drop)
    }

    /// A call in the user's own working tree, with the user's own index, that changes neither.
    pub(super) fn users_call(&self, doing: &'static str) -> Call {
        let call = self.0.git.call(doing).dir(&self.0.project_dir);
        // Without the variable, git would refresh the index on the way.
        call.env("GIT_OPTIONAL_LOCKS", "0")
    }

    /// The tree of a commit: what evidence names beside the commit.
    ///
    /// # Errors
    /// The commit does not exist.
    pub async fn tree_of(&self, commit: &CommitId) -> Result<CommitId> {
        let call = self.call("find the tree of a commit");
        let (call, output) = call
            .args(["rev-parse", "--verify"])
            .arg(format!("{commit}^{{tree}}"))
            .run_keeping()
            .await?;
        match output.code {
            Some(0) => commit_id(&call, &output),
            _ => Err(call.failed(&output)),
        }
    }

    /// Keeps work that is thrown away reachable, and says under which ref: in general
    /// `refs/crewlog/preserved/<attempt>`. A ref that is there already is never moved; other work
    /// under the same number gets a `-2`, `-3`, ... appended. On return all of it is on the disk.
    ///
    /// # Errors
    /// The commit does not exist, or git's locks stay held.
    pub async fn preserve(&self, attempt: AttemptId, commit: &CommitId) -> Result<String> {
        self.preserve_as(&attempt.0.to_string(), commit).await
    }

    /// The ref under which the work of an attempt that was not merged is kept, if there is any.
    ///
    /// # Errors
    /// git fails.
    pub async fn preserved(&self, attempt: AttemptId) -> Result<Option<String>> {
        let name = format!("{PRESERVED}/{}", attempt.0);
        Ok(self.read_ref(&name).await?.map(|_| name))
    }

    pub(super) async fn preserve_as(&self, name: &str, commit: &CommitId) -> Result<String> {
        let doing = "preserve work";
        // A ref to something that a power cut took away would spoil the user's `git gc`.
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
            detail: format!("{NAMESAKES_MAX} refs named {PRESERVED}/{name} exist already"),
        })
    }

    /// Creates a ref. `Some` is what it is already, when it exists.
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
            if output.code == Some(0) {
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
    pub(super) async fn read_ref(&self, reference: &str) -> Result<Option<CommitId>> {
        let (call, output) = self
            .call("read a ref")
            .args(["rev-parse", "--verify", "--quiet"])
            .arg(format!("{reference}^{{commit}}"))
            .run_keeping()
            .await?;
        match output.code {
            Some(0) => commit_id(&call, &output).map(Some),
            _ => Ok(None),
        }
    }

    /// After the `tried`th failure of `call`: waits when a lock was the reason, and takes a dead
    /// git's lock away; otherwise, or at last, it is an error.
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
                detail: super::git::shorten(output.stderr.trim()),
            });
        }
        self.clear_stale_lock(reference);
        let wait_ms = (10_u64 << tried.min(6)).min(500);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok(())
    }

    /// A call on the shared part of the repository.
    pub(super) fn call(&self, doing: &'static str) -> Call {
        let common_dir = &self.0.common_dir;
        self.0.git.call(doing).git_dir(common_dir).dir(common_dir)
    }

    /// A call that compares commits. git would look at the user's index meanwhile, which is no
    /// business of ours, and end if a power cut has torn it.
    pub(super) fn compare_call(&self, doing: &'static str) -> Call {
        let none = self.0.common_dir.join("crewlog-no-index");
        self.call(doing).env("GIT_INDEX_FILE", none)
    }

    /// A call on the working tree of an attempt, with an index that no agent can write.
    pub(super) fn tree_call(&self, doing: &'static str, tree: &Path, index: &Path) -> Call {
        self.0
            .git
            .call(doing)
            .git_dir(&self.0.common_dir)
            .work_tree(tree)
            .env("GIT_INDEX_FILE", index)
    }

    /// A call on what belongs to one linked worktree: its `HEAD`. The shared part is named
    /// explicitly, because the worktree's own `commondir` file can be rewritten by its agent.
    pub(super) fn linked_call(&self, doing: &'static str, git_dir: &Path) -> Call {
        let call = self.0.git.call(doing).git_dir(git_dir);
        call.env("GIT_COMMON_DIR", &self.0.common_dir)
            .dir(&self.0.common_dir)
    }

    /// A call of `commit-tree` with the identities of the user's configuration.
    pub(super) fn commit_call(&self, doing: &'static str, author: Option<&Author>) -> Call {
        let author = author.unwrap_or(&self.0.author);
        self.call(doing)
            .env("GIT_AUTHOR_NAME", &author.name)
            .env("GIT_AUTHOR_EMAIL", &author.email)
            .env("GIT_COMMITTER_NAME", &self.0.committer.name)
            .env("GIT_COMMITTER_EMAIL", &self.0.committer.email)
            .arg("commit-tree")
    }

    /// The id that means "no such ref" to `update-ref`.
    pub(super) fn no_commit(&self) -> String {
        "0".repeat(match self.0.format {
            ObjectFormat::Sha1 => 40,
            ObjectFormat::Sha256 => 64,
        })
    }
}

/// Reads an answer that is one object id.
pub(super) fn commit_id(call: &Call, output: &Output) -> Result<CommitId> {
    let id: Option<CommitId> = output.text().parse().ok();
    id.filter(|id| !id.is_none())
        .ok_or_else(|| call.unexpected(output))
}

pub(super) fn not_found(dir: &Path, call: &Call, output: &Output) -> Error {
    let dir = dir.to_owned();
    if output.stderr.contains("dubious ownership") || output.stderr.contains("unsafe repository") {
        let detail = super::git::shorten(output.stderr.trim());
        Error::DubiousOwnership { dir, detail }
    } else if output.stderr.contains("not a git repository") {
        Error::NotARepository { dir }
    } else {
        call.failed(output)
    }
}

/// Author and committer from the user's configuration; whoever has not both a name and an
/// address there is Crewlog, instead of what git would guess from the host.
async fn identities(git: &Git, dir: &Path) -> Result<(Author, Author)> {
    let (call, output) = git
        .call("read the identity for commits")
        .dir(dir)
        .args(["config", "-z", "--get-regexp"])
        .arg("^(user|author|committer)\\.(name|email)$")
        .run_keeping()
        .await?;
    // 1 means that nothing is configured.
    if !matches!(output.code, Some(0 | 1)) {
        return Err(call.failed(&output));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |key: &str| {
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('\n'));
        let found = pairs.rev().find(|(name, _)| *name == key)?.1.trim();
        (!found.is_empty()).then(|| found.to_owned())
    };
    let identity = |role: &str| {
        let part = |part: &str| {
            value(&format!("{role}.{part}")).or_else(|| value(&format!("user.{part}")))
        };
        match (part("name"), part("email")) {
            (Some(name), Some(email)) => Author { name, email },
            _ => Author::default(),
        }
    };
    Ok((identity("author"), identity("committer")))
}
