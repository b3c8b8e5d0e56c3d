//! Signals with which a user or the system asks a process to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What SIGHUP means: the terminal is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// It asks for an end, too: somebody started the process in that terminal.
    Ends,
    /// Nothing: somebody else decides how long this process lives.
    Ignored,
}

/// The signals that ask for an end, caught from now on.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started to outlive its terminal (`nohup`).
    hangup: Option<Signal>,
    meaning: Hangup,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new(meaning: Hangup) -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangups()?,
            meaning,
        })
    }

    /// The next request.
    pub async fn next(&mut self) {
        let hangup = async {
            match (&mut self.hangup, self.meaning) {
                (Some(hangup), Hangup::Ends) => hangup.recv().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// SIGHUP, caught from now on; `None` if the process was started with it ignored, which a handler
/// would undo.
///
/// # Errors
/// The system refuses.
pub fn hangups() -> std::io::Result<Option<Signal>> {
    match is_ignored(SignalKind::hangup()) {
        true => Ok(None),
        false => signal(SignalKind::hangup()).map(Some),
    }
}

/// Whether this process was started with the signal ignored. A handler would undo that.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status, kind)
}

fn ignored_in(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(u32::MAX);
    mask.unwrap_or(0).checked_shr(bit).unwrap_or(0) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_found_in_the_kernels_words() {
        let hangup = SignalKind::hangup();
        let terminate = SignalKind::terminate();
        let status = |mask: &str| format!("Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\n");
        for (mask, hup, term) in [
            ("0000000000000000", false, false),
            ("0000000000000001", true, false),
            ("0000000000004000", false, true),
            ("no mask", false, false),
        ] {
            let status = status(mask);
            assert_eq!(ignored_in(&status, hangup), hup, "{mask}");
            assert_eq!(ignored_in(&status, terminate), term, "{mask}");
        }
        assert!(!ignored_in("", hangup));
    }
}
