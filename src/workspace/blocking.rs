//! Runs disk work on another thread than the loop that waits for it.

use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Result};

/// Runs disk work on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let name = path.clone();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    let result = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map_err(Error::io(doing, &name))
}
