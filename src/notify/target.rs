//! Somebody who is told.

use super::payload::Payload;

/// Delivers one payload, within a time limit of its own.
pub trait Target: Send {
    /// What it is, for log lines. Never contains the address, which may be a secret.
    fn name(&self) -> &'static str;

    /// Tries once. `given_up` becomes true when the process wants to end.
    fn deliver(&self, payload: &Payload, given_up: &dyn Fn() -> bool) -> Result<(), Failed>;
}

/// Why a notice was not delivered.
#[derive(Debug)]
pub struct Failed {
    /// As text for a log line.
    pub why: String,
    /// False if trying again cannot help.
    pub again: bool,
}
