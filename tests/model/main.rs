//! The rules, told from outside: given these events, when this command, then those events.

mod backlog;
#[allow(dead_code, reason = "the tables that use the rest are on their way")]
mod given;
