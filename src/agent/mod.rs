//! One agent session as a child process.
//!
//! Knows nothing of the scheduler, of git, or of what a session's result means for a feature.

pub mod process;

use std::ffi::OsString;

/// Runs a stage that this executable is to its own children (a process tree's guard and init),
/// and returns its exit code; `None` when the arguments ask for none. To be called first thing in
/// `main`: the stages rely on being alone in their process.
pub fn child_entry(arguments: impl Iterator<Item = OsString>) -> Option<i32> {
    let mut arguments = arguments.skip(1);
    let stage = arguments.next()?;
    process::child_stage(&stage, arguments)
}
