//! Finds and kills processes of the drill's project, and never any others.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::model::ids::AttemptId;
use crate::worker::tree_token;

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The scheduler, started by the drill.
    Scheduler,
    /// A worker, started by the scheduler.
    Worker,
    /// A process of an attempt: the agent, its guard, or one of their children.
    Agent,
}

impl Kind {
    /// Every kind, in the order of the report.
    pub const ALL: [Self; 3] = [Self::Scheduler, Self::Worker, Self::Agent];

    /// The kind's name in the plural.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduler => "schedulers",
            Self::Worker => "workers",
            Self::Agent => "agents",
        }
    }
}

/// A process that may be killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Process id of the target.
    pub pid: u32,
    /// Role of the process.
    pub kind: Kind,
    /// The attempt that it works for; agents only.
    pub attempt: Option<AttemptId>,
}

/// Recognises and kills the project's processes.
pub struct Killer {
    root: Vec<u8>,
    /// Start of the environment variable that marks every process of this project's attempts.
    marker: Vec<u8>,
}

impl Killer {
    /// A killer for the project at `root`.
    pub fn new(root: &Path) -> Self {
        let token = tree_token(root, AttemptId(0));
        let project = token.trim_end_matches("0.");
        Self {
            root: root.as_os_str().as_encoded_bytes().to_owned(),
            marker: format!("CREWLOG_TREE={project}").into_bytes(),
        }
    }

    /// Every living process of the project; `scheduler` is the drill's child.
    pub fn look(&self, scheduler: Option<u32>) -> Vec<Target> {
        let listing = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = listing.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| self.recognise(pid, scheduler))
            .collect()
    }

    fn recognise(&self, pid: u32, scheduler: Option<u32>) -> Option<Target> {
        if pid == std::process::id() || is_zombie(pid) {
            return None;
        }
        let target = |kind, attempt| Some(Target { pid, kind, attempt });
        if Some(pid) == scheduler {
            return target(Kind::Scheduler, None);
        }
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        if let Some(attempt) = self.attempt_in(&read("environ")) {
            return target(Kind::Agent, Some(attempt));
        }
        let line = read("cmdline");
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        let worker = arguments.next() == Some(b"worker") && arguments.any(|it| it == self.root);
        worker.then(|| target(Kind::Worker, None)).flatten()
    }

    fn attempt_in(&self, environ: &[u8]) -> Option<AttemptId> {
        let mut entries = environ.split(|byte| *byte == 0);
        let rest = entries.find_map(|entry| entry.strip_prefix(&self.marker[..]))?;
        let number = std::str::from_utf8(rest.strip_suffix(b".")?).ok()?;
        number.parse().ok().map(AttemptId)
    }

    /// Kills a process with SIGKILL if its pid still belongs to it. Returns whether it did.
    pub fn kill(&self, target: &Target, scheduler: Option<u32>) -> bool {
        let pid = i32::try_from(target.pid).ok().and_then(Pid::from_raw);
        let handle = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let Some(handle) = handle else {
            return false;
        };
        // Checked again while the pidfd is held, because the pid may be reused by now.
        self.recognise(target.pid, scheduler).as_ref() == Some(target)
            && pidfd_send_signal(&handle, Signal::KILL).is_ok()
    }
}

fn is_zombie(pid: u32) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may hold anything, parentheses as well.
    let at = stat.iter().rposition(|byte| *byte == b')');
    at.and_then(|at| stat.get(at + 2)) == Some(&b'Z')
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_the_projects_own_processes_are_found_and_killed() {
        let root = Path::new("/nowhere/a-drill");
        let killer = Killer::new(root);
        let start = |token: String| {
            let mut command = Command::new("sleep");
            command.arg("600").env("CREWLOG_TREE", token);
            command.stdin(Stdio::null()).spawn().expect("sleep")
        };
        let mut ours = start(tree_token(root, AttemptId(17)));
        let mut other = start(tree_token(Path::new("/nowhere/other"), AttemptId(17)));
        let found = killer.look(None);
        let wanted = Target {
            pid: ours.id(),
            kind: Kind::Agent,
            attempt: Some(AttemptId(17)),
        };
        assert_eq!(found, std::slice::from_ref(&wanted));
        let wrong = Target {
            pid: other.id(),
            ..wanted.clone()
        };
        assert!(!killer.kill(&wrong, None), "it belongs to another project");
        assert!(killer.kill(&wanted, None));
        assert!(!ours.wait().expect("its end").success());
        assert!(killer.look(None).is_empty());
        other.kill().expect("it lives");
        other.wait().expect("its end");
    }
}
