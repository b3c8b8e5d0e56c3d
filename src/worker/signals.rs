//! Signals with which a user or the system asks a process to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// End: SIGINT or SIGTERM.
    End,
    /// The terminal is closed: SIGHUP.
    Hangup,
}

/// The signals that ask for an end, caught from now on.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started to outlive its terminal (`nohup`).
    hangup: Option<Signal>,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match is_ignored(SignalKind::hangup()) {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// The next request.
    pub async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            _ = hangup => Asked::Hangup,
        }
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
