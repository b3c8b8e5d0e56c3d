//! git: worktrees, commits, rebase, the compare-and-swap of the branch.
//!
//! Everything is done by the `git` program, called with explicit directories. Two rules shape it:
//!
//! - **Only [`Repository::advance`] moves the integration branch**, by compare-and-swap, and what
//!   it moved to is on the disk before it returns.
//! - **Nothing that an agent can write is trusted.** An attempt's worktree is a linked worktree,
//!   so that git works in it as people expect; but our own calls use the repository's common
//!   directory and a private index beside the worktree, never the worktree's `.git` file, its
//!   index or its `HEAD`. What counts is what lies in the directory.
//!
//! Never touched: the user's working tree, index, `HEAD` and branches. Never run: hooks,
//! fsmonitor, garbage collection, signing. Filters and merge drivers that the *configuration*
//! defines do run (git-lfs would otherwise commit the wrong bytes), under the call's time limit;
//! so whoever can write the repository's `config` can run programs as the worker. That cannot be
//! prevented here: an agent's sandbox must keep `config` and `hooks` of the common directory, and
//! the directory that holds the worktrees, read-only.

pub mod answers;
mod audit;
mod branch;
mod changes;
mod commit;
mod create;
mod durable;
mod error;
mod git;
mod locate;
mod message;
mod rebase;
mod remove;
mod repository;
mod restore;
mod torn;
mod worktree;

pub use branch::Advance;
pub use changes::Changes;
pub use error::Error;
pub use git::Git;
pub use locate::Location;
pub use message::{Author, CommitMessage};
pub use rebase::Rebase;
pub use remove::Swept;
pub use repository::{Repository, Version};
pub use restore::Ignored;
pub use worktree::{Committed, Worktree};

/// What every operation here returns.
pub type Result<T> = std::result::Result<T, Error>;
