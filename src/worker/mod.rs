//! One job at a time: reserve, session, rebase, check, report. A worker holds no truth.
//!
//! | file | what it knows |
//! |---|---|
//! | [`machine`] | the worker's life, without I/O: what happened goes in, what to do comes out |
//! | [`outcome`], [`verdict`] | derive a report from sessions, claims and checks, without I/O |
//! | [`prompt`], [`job`] | the agent's prompt, and its files |
//! | [`shell`], `signals` | the loop: signals, timers, the step that runs |
//! | [`connection`] | the socket |
//! | [`executor`], `commands`, `session` | execute steps: git, hooks, checks, agents |
//! | `driver`, `template` | the agent's driver and the prompt template that the config asks for |
//! | [`preflight`] | checks that can fail before the first attempt |
//! | `trouble` | which failures are the machine's |
//! | [`spool`], [`ports`] | files and names whose locks die with the worker |
//! | [`config`] | the worker's configuration |
//!
//! It does not know the log, other workers, which feature is next, or how the branch moves.

pub mod cage;
mod commands;
pub mod config;
pub mod connection;
mod driver;
mod error;
pub mod executor;
pub mod job;
mod launcher;
pub mod machine;
pub mod outcome;
pub mod ports;
pub mod preflight;
pub mod presets;
pub mod prompt;
mod session;
pub mod shell;
mod signals;
pub mod spool;
mod template;
mod token;
mod trouble;
pub mod verdict;

pub use config::Config;
pub use error::{PreflightError, WorkerError};
pub use executor::OutputStore;
pub use job::secrets;
pub use machine::Exit;
pub use preflight::{check, check_agents, check_places, check_programs};
pub use shell::{Launch, Reporter, git_settings, launch, run};
pub use signals::{Hangup, Signals, hangups};
pub use token::{tree_prefix, tree_token};
