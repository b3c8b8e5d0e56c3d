//! Refuses commands from inside an attempt, whether or not a scheduler is running.

use std::path::Path;

use super::error::Error;
use crate::model::actor::may_use;
use crate::protocol::caller;
use crate::worker::tree_prefix;

/// Fails if this process runs inside an attempt, unless the project at `root` (absolute, without
/// symbolic links) is in the attempt's own directories.
pub fn check(root: &Path) -> Result<(), Error> {
    let around = caller::surroundings();
    may_use(&around, root, &tree_prefix(root)).map_err(|why| {
        Error::usage(
            "the command was refused: an attempt's agents, checks and hooks cannot control the run",
            why,
            "an agent reports through its verdict file ($CREWLOG_VERDICT); run this command outside the attempt",
        )
    })
}
