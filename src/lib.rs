//! Crewlog runs a crew of coding agents on one repository's feature backlog.
//!
//! Read the modules in this order; the table says where new code belongs.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`model`] | types and rules: what may happen, and what comes next. No I/O, clock or randomness |
//! | [`queue`] | disk: the durable event log, its encoding, snapshots and content files |
//! | [`protocol`] | wire: the messages between worker, command and scheduler, and the framing |
//! | [`workspace`] | git: worktrees, commits, rebase, the compare-and-swap of the branch |
//! | [`agent`] | child processes: one agent session, its adapters, its process tree, its limits |
//! | [`scheduler`] | waiting, on the side that decides: the single-writer loop, connections, recovery |
//! | [`worker`] | waiting, on the side that works: reserve, session, rebase, check, report |
//! | [`notify`] | telling a person's own program or a web address what deserves a notice |
//! | [`cli`] | arguments, and what people see in a terminal |
//! | [`stopwatch`] | limits on real time, for code that waits for a process |

// First, because their macros are used everywhere.
#[macro_use]
mod planted;
#[macro_use]
mod bug;

pub mod agent;
pub mod cli;
pub mod model;
pub mod notify;
pub mod protocol;
pub mod queue;
pub mod scheduler;
pub mod stopwatch;
pub mod worker;
pub mod workspace;

// Compiled into the library's own tests, because planted bugs exist nowhere else.
#[cfg(test)]
#[path = "../tests/simulation/mod.rs"]
mod simulation;
