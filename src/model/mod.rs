//! The domain's types, and the rules of what may happen and what comes next.
//!
//! Nothing here waits, reads a clock, draws a number, or touches a file, a socket or a process.
//! Only ordered maps are used, so the same events give the same state, byte for byte.

pub mod actor;
pub mod apply;
pub mod backlog;
pub mod branch;
pub mod check;
pub mod clip;
pub mod command;
pub mod config;
pub mod decide;
pub mod derived_status;
pub mod encoding;
pub mod end_reason;
pub mod ending;
pub mod event;
pub mod evidence;
pub mod feature;
pub mod format;
pub mod graph;
pub mod ids;
pub mod lifecycle;
pub mod load;
pub mod nearest;
pub mod plan;
pub mod profile;
pub mod rank;
pub mod remaining;
pub mod report;
pub mod running;
pub mod settings;
pub mod state;
pub mod trouble;
pub mod views;
