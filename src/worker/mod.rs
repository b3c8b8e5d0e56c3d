//! One job at a time: reserve, session, rebase, check, report. A worker holds no truth.
//!
//! | file | what it knows |
//! |---|---|
//! | [`machine`] | the worker's life, without I/O: what happened goes in, what to do comes out |
//! | [`outcome`], [`verdict`] | what sessions, claims and checks come to; pure |
//! | [`prompt`], [`job`] | what an agent is told, and what is laid out for it |
//! | [`shell`], `signals` | the loop: signals, timers, the step that runs |
//! | [`connection`] | the socket |
//! | [`executor`], `commands`, `session` | carrying steps out: git, hooks, checks, agents |
//! | `driver`, `template` | the agent's driver and the prompt template that the config asks for |
//! | [`preflight`] | what can be seen to be wrong before the first attempt |
//! | `trouble` | which failures are the machine's |
//! | [`spool`], [`ports`] | files and names whose locks die with the worker |
//! | [`config`] | what a worker has to be told |
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
pub use machine::Exit;
pub use preflight::{check, check_agents, check_places, check_programs};
pub use shell::{Launch, Reporter, git_settings, launch, run};
pub use signals::{Asked, Signals};
pub use token::{tree_prefix, tree_token};
