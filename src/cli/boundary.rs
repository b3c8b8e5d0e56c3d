//! No command of a person is an agent's to give, whether or not a scheduler runs.

use std::path::Path;

use super::error::Error;
use crate::model::actor::may_use;
use crate::protocol::caller;
use crate::worker::tree_prefix;

/// Refuses a command that finds itself inside an attempt, unless the project at `root` (absolute,
/// without links) lies in the attempt's own directories.
pub fn check(root: &Path) -> Result<(), Error> {
    let around = caller::surroundings();
    may_use(&around, root, &tree_prefix(root)).map_err(|why| {
        Error::usage(
            "refused: agents of an attempt cannot steer the run",
            why,
            "write into the verdict file what a person should know; people run this command outside of the attempt",
        )
    })
}
