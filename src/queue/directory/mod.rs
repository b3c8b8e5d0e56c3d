//! A log's directory: the names in it and beside it, who holds it, and how a new log takes its place.
//! Engine, salvage and repair all stand on this.

mod lock;
mod swap;

pub use self::lock::{Holder, Lock, holder, holder_of, lock};
pub use self::swap::exists;
pub(super) use self::swap::{
    REPAIRED, begin, finish, give_up, install, place, remove, rename, sibling,
};

/// The copy of a log that turned out to be damaged. The first one is kept: later ones would be of
/// what an opening has left.
pub(super) const PRE_OPEN_COPY: &str = "sled.as-found";
