//! git: worktrees, commits, rebase, the compare-and-swap of the branch.
//!
//! Everything is done by the `git` program, called with explicit directories. Two rules shape it:
//!
//! - **Only [`Repository::advance`] moves the integration branch**, by compare-and-swap, and the
//!   new position is durable before it returns.
//! - **Nothing that an agent can write is trusted.** An attempt's working tree has a repository of
//!   its own, which borrows objects and shares nothing else. Our own calls never read that: they
//!   have a git directory, a configuration and index files beside it. Only the contents of the
//!   working tree count.
//!
//! Never touched: the user's working tree, index, `HEAD` and branches. Never run: hooks, fsmonitor,
//! garbage collection, signing, and programs named by a configuration that may have changed since
//! the run began. Filters and merge drivers of the person's own configuration, as read at the start
//! of the run, do run for attempts (git-lfs would otherwise commit the wrong bytes), under the
//! attempt's limits; work salvaged from dead attempts is taken byte for byte.

mod blocking;
mod blueprint;
mod branch;
mod changes;
mod commit;
mod create;
mod durable;
mod error;
mod git;
mod gitdir;
mod ignored;
mod inspect;
pub mod launch;
mod locate;
mod locks;
mod message;
pub mod move_lock;
mod moves;
mod own_commits;
pub mod parse;
mod partial_objects;
mod pins;
mod places;
mod read_settings;
mod rebase;
mod refs;
mod remove;
mod repository;
mod restore;
mod settings;
mod submodules;
mod version;
mod worktree;

pub use branch::Advance;
pub use changes::Changes;
pub use error::Error;
pub use git::{Git, Limits};
pub use locate::Location;
pub use message::{Author, CommitMessage};
pub use rebase::Rebase;
pub use remove::Swept;
pub use repository::Repository;
pub use restore::Ignored;
pub use settings::Settings;
pub use version::Version;
pub use worktree::{Committed, Worktree};

/// The result of every operation here.
pub type Result<T> = std::result::Result<T, Error>;
