//! One job at a time: reserve, session, rebase, check, report. A worker holds no truth.

pub mod config;
pub mod job;
pub mod machine;
pub mod outcome;
pub mod ports;
pub mod prompt;
pub mod spool;
mod token;
pub mod verdict;

pub use config::Config;
pub use token::tree_token;
