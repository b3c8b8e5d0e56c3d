//! Errors of git: what failed, why, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on the repository failed. It has changed nothing visible, unless the variant says
/// otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `git` program to run.
    #[error(
        "cannot run git: there is no program {program:?}. Install git {needed} or newer, or put it on the PATH"
    )]
    GitMissing {
        /// Name or path of the program.
        program: PathBuf,
        /// The oldest version that works.
        needed: String,
    },
    /// The `git` program is too old, or prints no readable version.
    #[error(
        "git is too old: {program:?} says {found:?}, but {needed} or newer is needed. Update git"
    )]
    GitTooOld {
        /// Name or path of the program.
        program: PathBuf,
        /// What it printed as its version.
        found: String,
        /// The oldest version that works.
        needed: String,
    },
    /// The `git` program exists but could not be started.
    #[error("cannot {doing}: starting {program:?} in {dir:?} failed: {source}")]
    Start {
        /// The operation, as a verb.
        doing: &'static str,
        /// Name or path of the program.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A required directory does not exist.
    #[error("cannot {doing}: there is no directory {dir:?}")]
    NoDirectory {
        /// The operation, as a verb.
        doing: &'static str,
        /// Path of the directory.
        dir: PathBuf,
    },
    /// The project is not in a git repository.
    #[error(
        "{dir:?} is not in a git repository. Run `git init` and commit something there, or name another project directory"
    )]
    NotARepository {
        /// The project directory.
        dir: PathBuf,
    },
    /// git refuses the repository because it belongs to another user.
    #[error(
        "git does not trust the repository at {dir:?}, because another user owns it. If you do, run: git config --global --add safe.directory {dir:?}\ngit reports: {detail}"
    )]
    DubiousOwnership {
        /// The project directory.
        dir: PathBuf,
        /// What git printed to standard error.
        detail: String,
    },
    /// The repository has no commit to start from.
    #[error(
        "the repository at {dir:?} has no commit yet, so attempts cannot start. Make a first commit: git commit --allow-empty -m start"
    )]
    NoCommit {
        /// The project directory.
        dir: PathBuf,
    },
    /// The name cannot be a branch.
    #[error(
        "{name:?} is not a valid branch name (see git help check-ref-format). Set `run.branch` in .crewlog/config.toml to another name, such as \"main\""
    )]
    BranchName {
        /// The invalid name.
        name: String,
    },
    /// The integration branch is checked out somewhere, so it must not move.
    #[error(
        "the branch {branch} is checked out at {at}, and Crewlog does not move a branch that is checked out. Switch to another branch there (`git switch -`), or set `run.branch` in .crewlog/config.toml to another name"
    )]
    BranchCheckedOut {
        /// Name of the branch.
        branch: String,
        /// The worktree that has it checked out, and how.
        at: String,
    },
    /// A git that was asked earlier to move the branch has not ended yet.
    #[error(
        "a git process that was started earlier is still moving the integration branch (it holds {lock:?}), perhaps because the disk does not answer. The merge waits for it; `fuser {}` names the process", .lock.display()
    )]
    BranchBusy {
        /// The lock that it holds.
        lock: PathBuf,
    },
    /// Another branch occupies a part of the name.
    #[error(
        "the branch {branch} cannot be created next to the branch {by} (git does not allow both names). Rename that one (`git branch -m {by} NEW`), or set `run.branch` in .crewlog/config.toml to another name"
    )]
    BranchBlocked {
        /// Name of the branch.
        branch: String,
        /// The branch in its way.
        by: String,
    },
    /// The integration branch does not exist.
    #[error(
        "there is no branch {branch}; it may have been deleted. `git reflog` may show its last commit; `git branch {branch} COMMIT` restores it"
    )]
    BranchMissing {
        /// Name of the branch.
        branch: String,
    },
    /// The commit to merge is not one commit on top of the branch.
    #[error(
        "{commit} is not one commit on top of {onto}, so the branch cannot move to it. The attempt must rebase and be checked again"
    )]
    NotOnHead {
        /// Object id of the commit.
        commit: String,
        /// The commit that it should be on top of.
        onto: String,
    },
    /// git did not finish in time and was ended.
    #[error(
        "cannot {doing}: `git {command}` hung for {seconds} s and was ended. Check for a filter or merge driver that hangs, or a very slow disk.{detail}"
    )]
    TimeLimit {
        /// The operation, as a verb.
        doing: &'static str,
        /// The git command that was run.
        command: String,
        /// The limit in seconds.
        seconds: f64,
        /// What it was doing and had printed, in sentences; empty if unknown.
        detail: String,
    },
    /// git was ended because its result is no longer wanted.
    #[error("cannot {doing}: `git {command}` was ended.{detail}")]
    Cancelled {
        /// The operation, as a verb.
        doing: &'static str,
        /// The git command that was run.
        command: String,
        /// What it was doing, in sentences; empty if unknown.
        detail: String,
    },
    /// A signal ended git before it answered. That says nothing about the repository.
    #[error(
        "cannot {doing}: signal {signal} killed `git {command}` before it answered. Try again; if this repeats, check that the machine has enough memory"
    )]
    Killed {
        /// The operation, as a verb.
        doing: &'static str,
        /// The git command that was run.
        command: String,
        /// The signal's number.
        signal: i32,
    },
    /// git printed more than the limit.
    #[error("cannot {doing}: `git {command}` wrote more than {bytes} bytes")]
    OutputLimit {
        /// The operation, as a verb.
        doing: &'static str,
        /// The git command that was run.
        command: String,
        /// The limit in bytes.
        bytes: usize,
    },
    /// A git command failed.
    #[error("cannot {doing}: `git {command}` failed ({status}): {detail}")]
    Failed {
        /// The operation, as a verb.
        doing: &'static str,
        /// The git command that was run.
        command: String,
        /// Its exit code.
        status: String,
        /// What it printed, shortened.
        detail: String,
    },
    /// git printed something unexpected.
    #[error("cannot {doing}: `git {command}` answered {output:?}, which Crewlog cannot parse")]
    Unexpected {
        /// The operation, as a verb.
        doing: &'static str,
        /// The git command that was run.
        command: String,
        /// The output, shortened.
        output: String,
    },
    /// A lock of git's did not become free.
    #[error(
        "cannot {doing}: git's lock is held: {detail}. If no git is running in this repository, delete the lock file it names"
    )]
    Locked {
        /// The operation, as a verb.
        doing: &'static str,
        /// What git printed to standard error.
        detail: String,
    },
    /// The worktree contains nested repositories whose files git would not commit.
    #[error(
        "the work contains git repositories: {}. Their files would not be committed. Delete their .git, or declare them in .gitmodules",
        paths.join(", ")
    )]
    NestedRepository {
        /// The first of them, relative to the worktree.
        paths: Vec<String>,
    },
    /// Work inside a submodule cannot be committed.
    #[error("the work in the submodule {path} cannot be merged: {why}")]
    Submodule {
        /// Path of the submodule, relative to the worktree.
        path: String,
        /// Why, and what to do.
        why: String,
    },
    /// The worktree's directory does not exist any more, or is something else now.
    #[error("cannot {doing}: {path:?} is no longer the worktree's directory")]
    WorktreeGone {
        /// The operation, as a verb.
        doing: &'static str,
        /// Path where it was.
        path: PathBuf,
    },
    /// Something that Crewlog did not create is where a worktree should be.
    #[error("{path:?} was not created by Crewlog, so it is left alone. Move it away")]
    NotOurs {
        /// Path that the operation failed on.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("cannot {doing}: {path:?}: {source}")]
    Io {
        /// The operation, as a verb.
        doing: &'static str,
        /// Path that the operation failed on.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl Error {
    /// Whether the machine failed, rather than the repository or its configuration: the same call
    /// may work later.
    pub fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::Killed { .. }
                | Self::Cancelled { .. }
                | Self::TimeLimit { .. }
                | Self::Io { .. }
                | Self::Start { .. }
        )
    }

    /// For `map_err` on operations on a path.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of "choose another branch" must not have to search for the key.
    #[test]
    fn advice_names_the_key_or_the_command() {
        let branch = || "crewlog/x".to_owned();
        let errors = [
            Error::BranchName { name: "a b".into() },
            Error::BranchCheckedOut {
                branch: branch(),
                at: "/p".into(),
            },
            Error::BranchBlocked {
                branch: branch(),
                by: "crewlog".into(),
            },
        ];
        for error in errors {
            assert!(error.to_string().contains("`run.branch`"), "{error}");
        }
    }
}
