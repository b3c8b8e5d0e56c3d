//! What these tests start, and how they find what is left of it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::wait_until;
pub use crate::support::with_word;
use crewlog::agent::process::{Isolation, Streams, TreeCommand};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

pub const LIMIT: Duration = Duration::from_secs(20);

/// A word that stands in the arguments of this test's processes and nowhere else: a fraction of
/// a second to sleep.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("300.{:07}{number:03}", std::process::id())
}

pub fn command(script: &str, token: &str, isolation: Isolation) -> TreeCommand {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    TreeCommand {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        cwd: std::env::temp_dir(),
        env: BTreeMap::from([("PATH".into(), path)]),
        token: token.to_owned(),
        own_executable: PathBuf::from(env!("CARGO_BIN_EXE_scheduler")),
        isolation,
        streams: Streams::Separate,
        cage: None,
    }
}

/// Sleeping processes with `word` as their duration; guards and shells only quote it.
pub fn sleepers(word: &str) -> usize {
    with_word(word)
        .into_iter()
        .filter(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "sleep"
        })
        .count()
}

/// Waits until something is so.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_until(what, || condition().then_some(()));
}

/// The ways of agents to leave something behind, and how many sleepers each makes.
pub fn escapes(word: &str) -> [(&'static str, String, usize); 5] {
    [
        (
            "setsid",
            format!("setsid sleep {word} & exec sleep {word}"),
            2,
        ),
        (
            "double fork",
            format!("(sh -c 'sleep {word} & sleep {word} &' &) ; exec sleep {word}"),
            3,
        ),
        (
            "no environment",
            format!("env -i setsid sleep {word} & exec sleep {word}"),
            2,
        ),
        (
            "orphans without environment",
            format!(
                "(env -i setsid sh -c 'setsid sleep {word} & sleep {word} &' &) ; exec sleep {word}"
            ),
            3,
        ),
        (
            STOPPED,
            format!("setsid sleep {word} & exec sleep {word}"),
            2,
        ),
    ]
}

/// The escape whose sleepers are stopped before the end comes.
const STOPPED: &str = "stopped";

/// Waits for the sleepers of an escape to be there, and stops them where it says so.
pub fn await_sleepers(name: &str, word: &str, count: usize) {
    until(name, || sleepers(word) == count);
    if name == STOPPED {
        for pid in with_word(word) {
            if std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|comm| comm == "sleep\n")
            {
                kill_process(pid_of(&pid.to_string()), Signal::STOP).expect("stop");
            }
        }
    }
}

/// Kills through a handle that was opened while the process was known to live: a guard whose
/// worker dies ends by itself, and its pid may be somebody else's a moment later.
pub fn kill(process: &OwnedFd) {
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("cannot kill: {error}"),
    }
}

pub fn handle(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).expect("a living process")
}

pub fn pid_of(text: &str) -> Pid {
    Pid::from_raw(text.parse().expect("pid")).expect("pid")
}
