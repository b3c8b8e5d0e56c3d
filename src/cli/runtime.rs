//! What a command waits on.

use super::error::Error;

/// A single-threaded runtime: the loop, the sockets and git's answers all need little time.
pub fn start() -> Result<tokio::runtime::Runtime, Error> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(|error| {
        Error::internal(
            "cannot start the async runtime",
            error,
            "free some memory, or raise the limit on open files (ulimit -n)",
        )
    })
}
