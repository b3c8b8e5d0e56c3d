//! Identifies the process at the other end and its parents, read from `/proc`. [`Caller::actor`]
//! and [`may_use`](crate::model::actor::may_use) decide what follows.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::identity::{Status, parse_status, terminal};
use crate::model::actor::{
    Actor, Caller, GUARD_STAGE, INIT_STAGE, Kin, LINEAGE_MAX, Origin, Surrounding, TREE_MARKER,
    attempt_of,
};

/// Bytes of an environment or a command line that are read. Linux allows six megabytes for both
/// together, so nothing hides behind this.
const TEXT_BYTES_MAX: u64 = 8 << 20;

/// How often tracing a process is repeated if its parents change in between.
const TRIES: u32 = 5;

/// A process that cannot be identified; its requests are refused.
#[derive(Debug, thiserror::Error)]
pub enum Unrecognised {
    /// The kernel gives no process id: the peer is in a pid namespace that is not below ours.
    #[error("it is in another pid namespace; run commands, workers and scheduler in the same one")]
    Outside,
    /// It ended before it could be examined.
    #[error("its process {0} has already ended; wait for the answer before ending it")]
    Ended(u32),
    /// It has too many parents, or they keep changing.
    #[error("cannot trace the parents of process {0}; start the command from an ordinary shell")]
    Untraceable(u32),
    /// `/proc` does not show its environment.
    #[error("cannot read /proc/{pid}/environ: {source}; run the command as the project's owner")]
    Hidden {
        /// Process id of the peer.
        pid: u32,
        /// The system's error.
        source: io::Error,
    },
}

/// The process `pid` of user `uid` as this process sees it. `prefix` begins the markers of the
/// project's attempts.
///
/// # Errors
/// The process cannot be identified.
pub fn caller(uid: u32, pid: u32, prefix: &str) -> Result<Caller, Unrecognised> {
    if pid == 0 {
        return Err(Unrecognised::Outside);
    }
    let own = Own::look();
    for _ in 0..TRIES {
        match trace(uid, pid, &own, prefix) {
            Ok(Some(caller)) => return Ok(caller),
            // A parent ended in between, and its child has another one now.
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Unrecognised::Untraceable(pid))
}

/// The attempts around this process, the nearest first.
pub fn surroundings() -> Vec<Surrounding> {
    let mut found: Vec<Surrounding> = Vec::new();
    let pid = std::process::id();
    let mut marked = marker(pid).ok().flatten();
    let mut at = pid;
    for _ in 0..LINEAGE_MAX {
        // A parent that is not shown is another user's, or outside of this namespace.
        let Ok(status) = status(at) else { break };
        if let Some(surrounding) = stage(at) {
            // Guard and init of one attempt count once.
            if found.last() != Some(&surrounding) {
                found.push(surrounding);
            }
        } else if at != pid && marked.is_none() {
            marked = marker(at).ok().flatten();
        }
        if status.parent == 0 {
            break;
        }
        at = status.parent;
    }
    let token = marked.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match token {
        Some(token) if !found.iter().any(|around| around.token == token) => {
            let places = Vec::new();
            found.push(Surrounding { token, places });
        }
        _ => {}
    }
    found
}

/// This process, its parents and its own marker.
struct Own {
    line: Vec<u32>,
    marker: Option<Vec<u8>>,
    depth: usize,
}

impl Own {
    fn look() -> Self {
        let pid = std::process::id();
        let (mut line, mut at) = (Vec::new(), pid);
        while line.len() < LINEAGE_MAX && at != 0 {
            line.push(at);
            at = status(at).map_or(0, |status| status.parent);
        }
        Self {
            line,
            marker: marker(pid).ok().flatten(),
            depth: depth(pid).unwrap_or(1),
        }
    }
}

/// One walk; `None` if what was seen is inconsistent.
fn trace(uid: u32, pid: u32, own: &Own, prefix: &str) -> Result<Option<Caller>, Unrecognised> {
    let mut caller = Caller {
        uid,
        pid,
        ..Caller::default()
    };
    let (mut at, mut born) = (pid, u64::MAX);
    while !own.line.contains(&at) {
        let first = at == pid;
        let status = match status(at) {
            Ok(status) => status,
            Err(_) if first => return Err(Unrecognised::Ended(pid)),
            Err(_) => return Ok(hidden(&caller, at).then_some(caller)),
        };
        // A parent is older than its child; otherwise its number was reused.
        if status.start_ticks > born {
            return Ok(None);
        }
        if caller.lineage.len() == LINEAGE_MAX {
            return Err(Unrecognised::Untraceable(pid));
        }
        if first {
            caller.tty = terminal(status.terminal);
            caller.nested = depth(pid).ok_or(Unrecognised::Ended(pid))? > own.depth;
        }
        let marker = match marker(at) {
            Ok(marker) => marker,
            // For root's commands, and for parents such as sudo and sshd, nothing is shown.
            Err(_) if !first || uid == 0 => None,
            Err(source) => return Err(Unrecognised::Hidden { pid, source }),
        };
        caller.lineage.push(Kin {
            pid: at,
            start_ticks: status.start_ticks,
            origin: origin(at, marker, own, prefix),
        });
        if status.parent == 0 {
            break;
        }
        (at, born) = (status.parent, status.start_ticks);
    }
    if pid == std::process::id() {
        let text = status(pid).map(|status| terminal(status.terminal));
        caller.tty = text.unwrap_or_default();
    }
    Ok(Some(caller))
}

/// Whether the hidden `parent` is still the parent of the last visible process: then it is another
/// user's, and the line ends with it.
fn hidden(caller: &Caller, parent: u32) -> bool {
    let last = caller.lineage.last();
    last.is_some_and(|kin| {
        status(kin.pid).is_ok_and(|now| now.start_ticks == kin.start_ticks && now.parent == parent)
    })
}

/// The attempt of a process, by its command line and its marker. A marker that the listener has
/// itself says nothing: both belong to that attempt.
fn origin(pid: u32, marker: Option<Vec<u8>>, own: &Own, prefix: &str) -> Option<Origin> {
    let stage = stage(pid);
    let marked = marker.filter(|marker| Some(marker) != own.marker.as_ref());
    let token = match (&stage, marked) {
        (None, None) => return None,
        (Some(stage), _) if !stage.token.is_empty() => stage.token.clone(),
        (_, Some(marker)) => String::from_utf8_lossy(&marker).into_owned(),
        (Some(_), None) => String::new(),
    };
    let known = attempt_of(&token).filter(|_| token.starts_with(prefix));
    Some(known.map_or(Origin::Unknown, Origin::Attempt))
}

fn status(pid: u32) -> io::Result<Status> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse_status(&String::from_utf8_lossy(&text))
        .ok_or_else(|| io::Error::other(format!("cannot parse /proc/{pid}/stat")))
}

/// Number of nested pid namespaces of the process, counted from the one that `/proc` shows.
fn depth(pid: u32) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    // Kernels before 4.1 do not show it.
    Some(line.map_or(1, |line| line.split_ascii_whitespace().count()))
}

/// The marker that the process was started with.
fn marker(pid: u32) -> io::Result<Option<Vec<u8>>> {
    let environment = read(pid, "environ")?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| {
        variable
            .strip_prefix(TREE_MARKER.as_bytes())?
            .strip_prefix(b"=")
    });
    Ok(value.map(<[u8]>::to_vec))
}

/// What a guard or an init says about its attempt in its command line: `PROGRAM __guard ns|plain
/// TOKEN DIRECTORY TMPDIR ...`. Everybody may read it.
fn stage(pid: u32) -> Option<Surrounding> {
    let line = read(pid, "cmdline").ok()?;
    let mut arguments = line.split(|byte| *byte == 0).skip(1);
    let stage = arguments.next()?;
    if stage != GUARD_STAGE.as_bytes() && stage != INIT_STAGE.as_bytes() {
        return None;
    }
    let token = arguments.nth(1).unwrap_or_default();
    let places = arguments.take(2).filter(|path| path.starts_with(b"/"));
    Some(Surrounding {
        token: String::from_utf8_lossy(token).into_owned(),
        places: places
            .map(|path| PathBuf::from(OsStr::from_bytes(path)))
            .collect(),
    })
}

fn read(pid: u32, file: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/{file}"))?;
    file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The person who started this process.
pub fn own_person() -> Actor {
    let uid = rustix::process::getuid().as_raw();
    let pid = std::process::id();
    let terminal = status(pid).map(|status| terminal(status.terminal));
    Actor::person(uid, pid, &terminal.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Child, Command, Stdio};

    struct Waiting(Child);

    impl Waiting {
        fn start(command: &mut Command) -> Self {
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut child = child.expect("a process");
            // Before the process sends something, the kernel may not show its environment yet.
            let mut byte = [b'x'];
            let (input, output) = (child.stdin.as_mut(), child.stdout.as_mut());
            input.expect("piped").write_all(&byte).expect("written");
            output
                .expect("piped")
                .read_exact(&mut byte)
                .expect("echoed");
            Self(child)
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            let _ = self.0.wait();
        }
    }

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn a_child_without_a_marker_is_a_person() {
        let child = Waiting::start(&mut Command::new("cat"));
        let caller = caller(own_uid(), child.0.id(), "aa-").expect("a living process");
        assert_eq!(caller.lineage.len(), 1, "{caller:?}");
        assert!(caller.actor(|_| false).is_person());
        assert!(
            caller.actor(|_| true).is_person(),
            "it is no child of its own"
        );
    }

    #[test]
    fn this_process_speaks_to_itself() {
        let caller = caller(own_uid(), std::process::id(), "aa-").expect("this process");
        assert_eq!((caller.lineage.len(), caller.nested), (0, false));
    }

    #[test]
    fn a_marker_makes_an_agent_of_it() {
        for (token, attempt) in [("aa-12.", Some(12)), ("bb-12.", None), ("x", None)] {
            let child = Waiting::start(Command::new("cat").env(TREE_MARKER, token));
            let pid = child.0.id();
            let caller = caller(own_uid(), pid, "aa-").expect("a living process");
            let attempt = attempt.map(crate::model::ids::AttemptId);
            assert_eq!(caller.actor(|_| false), Actor::Agent { attempt, pid });
        }
    }

    #[test]
    fn who_has_ended_is_not_recognised() {
        let mut child = Command::new("true").spawn().expect("a process");
        let pid = child.id();
        child.wait().expect("its end");
        assert!(matches!(
            caller(own_uid(), pid, ""),
            Err(Unrecognised::Ended(_))
        ));
        assert!(matches!(
            caller(own_uid(), 0, ""),
            Err(Unrecognised::Outside)
        ));
    }
}
