//! A log's directory: the names in it and beside it, its locks, and how a new log replaces it.
//! Engine, salvage and repair all use this.

mod lock;
mod swap;

pub use self::lock::{Holder, Lock, holder, holder_of, lock};
pub use self::swap::exists;
pub(super) use self::swap::{
    REPAIRED, begin, finish, give_up, install, place, remove, rename, sibling,
};

/// The copy of a log that turned out to be damaged. Only the first one is kept: a later one would
/// show what an opening has left.
pub(super) const PRE_OPEN_COPY: &str = "sled.as-found";
