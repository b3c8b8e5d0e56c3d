//! The scheduler: its machine in every situation that we know of and in thousands that we do not,
//! and its shell on real sockets.

mod actors;
mod branch;
mod kit;
mod lives;
mod merges;
mod missing_workers;
mod outage;
mod parts;
mod recovery;
mod regressions;
mod spool;
mod trouble;
mod workers;
