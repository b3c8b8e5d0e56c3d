//! The rules, told from outside: given these events, when this command, then those events.

mod assignment;
mod attempts;
mod backlog;
mod clock;
mod commands;
mod driver;
mod give_backs;
mod given;
mod import;
mod limits;
mod liveness;
mod merge;
mod missing_workers;
mod oracle;
mod parking;
mod profiles;
mod property;
mod run;
mod senseless;
mod testing;
mod transitions;
mod trouble;
