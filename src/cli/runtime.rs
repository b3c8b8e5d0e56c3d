//! What a command needs of its own process: a runtime to wait on, and its executable.

use std::path::PathBuf;

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

/// The executable of this process, which also is the worker and the scripted agent.
pub fn own_executable() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(|error| {
        Error::internal(
            "cannot find this program's own executable",
            error,
            "mount /proc, and start the program again",
        )
    })
}
