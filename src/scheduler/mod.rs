//! The single-writer loop, the connections, and recovery.
//!
//! | file | what it knows |
//! |---|---|
//! | [`core`] | command in, events out: decide, record, apply; the batch that waits for the disk |
//! | [`machine`] | everything that can happen to a scheduler, as inputs and effects, without I/O |
//! | [`merge_call`] | how often git is asked about a merge, until it answers |
//! | [`merging`] | which attempt is merged next, so that none starves |
//! | [`cycle`] | one turn of the loop, for the runtime and the simulation alike |
//! | [`pipeline`] | the order of effects: none is executed before earlier decisions are durable |
//! | [`clock`] | time that never goes back |
//! | [`worker_pool`] | how many workers of its own a scheduler keeps running |
//! | [`runtime`] | the thin loop: inbox, committer, timers; executes the effects |
//! | [`socket`] | accepting connections, frames to inputs, messages to frames |
//! | [`committer`] | the one thread that appends to the log |
//! | [`ports`] | the world that the loop needs: git, processes, spool files |
//! | `handle` | the base of front ends inside the process: commands, live view, log, past states |
//! | [`load`] | loads the state from a log and its snapshots |
//! | [`offline`] | a person's command without a running scheduler |
//!
//! It does not know agents, prompts, checks, or terminals.

pub mod clock;
pub mod committer;
pub mod core;
pub mod cycle;
mod error;
mod handle;
pub mod load;
pub mod machine;
pub mod merge_call;
pub mod merging;
pub mod offline;
pub mod pipeline;
pub mod ports;
pub mod processes;
pub mod runtime;
pub mod socket;
pub mod worker_pool;

pub use error::Error;
pub use handle::{Handle, HandleError};
pub use runtime::{Ending, Observer, Options, RunConfig, Silent, run};
