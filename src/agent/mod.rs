//! Runs one agent session as a child process.
//!
//! Reading order: [`driver`] (what all agents have in common), [`process`] (the tree that a session
//! runs in), [`command`], [`acp`], [`claude`] and [`codex`] (the ways to drive an agent), [`scripted`] (an agent of
//! our own). It does not know the scheduler, git, or what a session's result means for a feature.

pub mod acp;
pub mod cage;
pub mod claude;
pub mod codex;
pub mod command;
pub mod driver;
mod errors;
#[cfg(test)]
mod fixtures;
pub mod limits;
mod lines;
pub mod mask;
pub mod placeholders;
pub mod process;
mod program;
pub mod record;
#[cfg(test)]
mod recordings;
mod reset;
pub mod scripted;
mod stderr;
pub mod transcript;
mod watch;

use std::ffi::OsString;

pub use acp::{AcpDriver, AcpSettings, Permission};
pub use claude::{ClaudeDriver, ClaudeSettings};
pub use codex::{CodexDriver, CodexSettings};
pub use command::CommandDriver;
pub use driver::{AgentEvent, Driver, JobPaths, Session, SessionResult};
pub use limits::SessionLimits;
pub use transcript::Transcript;

/// Runs this executable as one of its own children (a process tree's guard and init, and the
/// scripted agent: `scripted-agent --script DIR`), and returns the exit code; `None` if the
/// arguments ask for none. Call it first in `main`: the stages rely on being alone in their
/// process.
pub fn child_entry(arguments: impl Iterator<Item = OsString>) -> Option<i32> {
    let mut arguments = arguments.skip(1);
    let stage = arguments.next()?;
    if stage == scripted::ARGUMENT {
        return Some(scripted::run(arguments));
    }
    process::child_stage(&stage, arguments)
}
