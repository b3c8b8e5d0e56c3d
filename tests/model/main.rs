//! The rules, told from outside: given these events, when this command, then those events.

mod assignment;
mod attempts;
mod backlog;
mod clock;
mod commands;
mod driver;
mod given;
mod import;
mod lacking;
mod limits;
mod liveness;
mod merge;
mod oracle;
mod parking;
mod property;
mod returns;
mod run;
mod senseless;
mod testing;
mod transitions;
mod trouble;
