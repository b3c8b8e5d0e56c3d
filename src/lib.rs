//! Crewlog runs a crew of coding agents on one repository's feature backlog.
//!
//! Read the modules in this order; each line says where a new line of code belongs.

/// A child process: one agent session, its adapters, its process tree, its limits.
pub mod agent;
/// Arguments and what people see in a terminal.
pub mod cli;
/// A noun or a rule: what may happen, and what comes next. Pure: no I/O, clock or randomness.
pub mod model;
/// Wire: what worker and scheduler say to each other, and the framing.
pub mod protocol;
/// Disk: the durable event log, its encoding, snapshots and content files.
pub mod queue;
/// Waiting, on the side that decides: the single-writer loop, connections, recovery.
pub mod scheduler;
/// Waiting, on the side that works: reserve, session, rebase, check, report.
pub mod worker;
/// git: worktrees, commits, rebase, the compare-and-swap of the branch.
pub mod workspace;
