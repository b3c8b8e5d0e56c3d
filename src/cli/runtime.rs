//! What a command waits on.

use super::error::Error;

/// A runtime on this thread alone: the loop, the sockets and git's answers are all quick.
pub fn start() -> Result<tokio::runtime::Runtime, Error> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(|error| Error::internal("cannot start", error, "free some memory or files"))
}
