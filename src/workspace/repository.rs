//! One repository, as all worktrees share it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::git::{Call, Git, Limits, Output};
use super::launch::Launcher;
use super::settings::Settings;
use super::version::{Version, only_own_config};
use super::{Author, Error, Result};
use crate::model::ids::CommitId;

/// How the repository names objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectFormat {
    Sha1,
    Sha256,
}

/// The git repository of the project. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    git: Git,
    version: Version,
    common_dir: PathBuf,
    git_dir: PathBuf,
    project_dir: PathBuf,
    prefix: PathBuf,
    format: ObjectFormat,
    author: Author,
    committer: Author,
    /// The person's configuration, once it is known.
    settings: Arc<OnceCell<Settings>>,
}

impl Repository {
    /// Finds the repository of `project_dir`: an ordinary, bare or shallow one, or a linked
    /// worktree of one. Its state (a merge or rebase in progress, changes) does not matter.
    ///
    /// # Errors
    /// No git or an old one, no repository, one that git does not trust, or one without a commit.
    pub async fn discover(project_dir: &Path) -> Result<Self> {
        Self::discover_with(project_dir, Git::default()).await
    }

    /// Like [`Self::discover`], with a chosen git program.
    ///
    /// # Errors
    /// As for [`Self::discover`].
    pub async fn discover_with(project_dir: &Path, git: Git) -> Result<Self> {
        let doing = "check the repository";
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
        if found.code != 0 {
            return Err(not_found(project_dir, &call, &found));
        }
        // The directories are last and may contain anything; a trailing line feed ends each.
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
            git_dir: linked_git_dir(project_dir).unwrap_or_else(|| common_dir.clone()),
            common_dir,
            project_dir: project_dir.clone(),
            prefix: PathBuf::from(prefix),
            format,
            author,
            committer,
            settings: Arc::default(),
        }));
        repository.user_head().await?;
        Ok(repository)
    }

    /// The directory that all worktrees of this repository share, absolute.
    pub fn common_dir(&self) -> &Path {
        &self.0.common_dir
    }

    /// The project's directory below the top of its repository; empty if it is the top. The
    /// project's files are at the same place in every worktree.
    pub fn prefix(&self) -> &Path {
        &self.0.prefix
    }

    /// The version of git that is used.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// The same repository, treated as by an older git; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn pretend_version(&self, version: Version) -> Self {
        self.with(|inner| {
            inner.git = inner.git.clone().of_version(version);
            inner.version = version;
        })
    }

    /// The same repository with another launcher and other limits for git.
    #[must_use]
    pub fn started_by(&self, launcher: Arc<dyn Launcher>, limits: Limits) -> Self {
        self.with(|inner| inner.git = inner.git.clone().started_by(launcher, limits))
    }

    /// The same repository with other limits for git.
    #[must_use]
    pub fn within(&self, limits: Limits) -> Self {
        self.with(|inner| inner.git = inner.git.clone().within(limits))
    }

    /// The limits of its git calls.
    pub fn limits(&self) -> &Limits {
        self.0.git.limits()
    }

    /// The same repository, with the person's configuration as it was read earlier.
    #[must_use]
    pub fn with_settings(&self, settings: Settings) -> Self {
        self.with(|inner| inner.settings = Arc::new(OnceCell::new_with(Some(settings))))
    }

    fn with(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// Caches the person's configuration.
    pub(super) fn known_settings(&self) -> &OnceCell<Settings> {
        &self.0.settings
    }

    /// The project's directory, absolute.
    pub(super) fn project_dir(&self) -> &Path {
        &self.0.project_dir
    }

    /// The git directory of the project's own working tree. In a linked worktree, it differs from
    /// the common one.
    pub(super) fn git_dir(&self) -> PathBuf {
        self.0.git_dir.clone()
    }

    pub(super) fn format(&self) -> ObjectFormat {
        self.0.format
    }

    pub(super) fn author(&self) -> &Author {
        &self.0.author
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
            0 => commit_id(&call, &output),
            1 if output.stderr.trim().is_empty() => Err(Error::NoCommit {
                dir: self.0.project_dir.clone(),
            }),
            _ => Err(call.failed(&output)),
        }
    }

    /// Checks that work can begin: git accepts the directory, and there is a commit.
    ///
    /// # Errors
    /// There is no commit yet, or git fails.
    pub async fn check_commit(&self) -> Result<()> {
        self.user_head().await.map(drop)
    }

    /// A call in the user's own working tree, with the user's own index, that changes neither.
    pub(super) fn users_call(&self, doing: &'static str) -> Call {
        // git does not refresh the index: no call takes optional locks.
        self.persons_call(doing)
    }

    /// A call with the person's own configuration.
    pub(super) fn persons_call(&self, doing: &'static str) -> Call {
        self.0.git.call(doing).dir(&self.0.project_dir)
    }

    /// The tree of a commit, which evidence names beside the commit.
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
            0 => commit_id(&call, &output),
            _ => Err(call.failed(&output)),
        }
    }

    /// A call on the shared part of the repository, for objects and refs. Anybody may have changed
    /// its configuration, but none of these calls runs a program that it names: `SETTINGS` and the
    /// variables here prevent that.
    pub(super) fn call(&self, doing: &'static str) -> Call {
        let common_dir = &self.0.common_dir;
        let call = self.0.git.call(doing).git_dir(common_dir).dir(common_dir);
        self.own_config(call)
            // A missing object stays missing: to fetch it, git would run what a remote names.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
    }

    pub(super) fn own_config(&self, call: Call) -> Call {
        let set = only_own_config(self.0.version).into_iter();
        set.fold(call, |call, (name, value)| call.env(name, value))
    }

    /// A call that compares commits, without the user's index, which is not ours to read and which
    /// a power cut may have torn.
    pub(super) fn compare_call(&self, doing: &'static str) -> Call {
        let none = self.0.common_dir.join("crewlog-no-index");
        self.call(doing).env("GIT_INDEX_FILE", none)
    }

    /// A call on a git directory of our own, which reads and writes the main repository's objects.
    pub(super) fn own_call(&self, doing: &'static str, git_dir: &Path) -> Call {
        let call = self.0.git.call(doing).git_dir(git_dir).dir(git_dir);
        self.own_config(call)
            .env("GIT_OBJECT_DIRECTORY", self.0.common_dir.join("objects"))
    }

    /// Author and committer of commits: the identities of the user's configuration.
    pub(super) fn with_identity(&self, call: Call, author: Option<&Author>) -> Call {
        let author = author.unwrap_or(&self.0.author);
        call.env("GIT_AUTHOR_NAME", &author.name)
            .env("GIT_AUTHOR_EMAIL", &author.email)
            .env("GIT_COMMITTER_NAME", &self.0.committer.name)
            .env("GIT_COMMITTER_EMAIL", &self.0.committer.email)
    }

    /// The id that means "no such ref" to `update-ref`.
    pub(super) fn no_commit(&self) -> String {
        "0".repeat(match self.0.format {
            ObjectFormat::Sha1 => 40,
            ObjectFormat::Sha256 => 64,
        })
    }
}

/// The git directory of the linked worktree or submodule that contains `dir`.
fn linked_git_dir(dir: &Path) -> Option<PathBuf> {
    let top = dir.ancestors().find(|dir| dir.join(".git").exists())?;
    let link = super::places::read_small(&top.join(".git"))?;
    let path = link.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    top.join(path).canonicalize().ok()
}

/// Parses an answer that is one object id.
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

/// Author and committer from the user's configuration. Without both a name and an address, it is
/// Crewlog, because git would guess them from the host.
async fn identities(git: &Git, dir: &Path) -> Result<(Author, Author)> {
    let (call, output) = git
        .call("read the identity for commits")
        .dir(dir)
        .args(["config", "-z", "--get-regexp"])
        .arg("^(user|author|committer)\\.(name|email)$")
        .run_keeping()
        .await?;
    // 1 means that nothing is configured.
    if !matches!(output.code, 0 | 1) {
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
