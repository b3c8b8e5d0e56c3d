//! One job at a time: reserve, session, rebase, check, report. A worker holds no truth.

pub mod config;

pub use config::Config;
