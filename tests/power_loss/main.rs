//! Acknowledged means on the disk. Programs run here with a shim between them and the disk
//! (`shim/`), which writes down what they do to it; what a power cut would have left is made
//! from that for every moment (`disk.rs`), and opened again. The shim also fails calls.
//!
//! All is drawn from seeds, which are printed on failure:
//!
//! - `CREWLOG_SEED=N` begins with this seed instead of a fresh one;
//! - `CREWLOG_POWER_LOSS_SECONDS=N` goes on for so long instead of the few seconds for which each
//!   test does by default.

#[path = "../storage_common/mod.rs"]
mod storage_common;

#[path = "../real/mod.rs"]
mod real;

mod disk;
mod faults;
mod git;
mod log;
mod project;
mod rounds;
mod run;
mod spool;
mod trace;
