//! The guard: the process between a worker and its agent. It outlives neither.
//!
//! It has one thread, so that its child's death signal means the death of the whole guard, and so
//! that it may enter a user namespace.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::thread::{
    CapabilitySet, UnshareFlags, capabilities, configure_capability_in_ambient_set,
    set_capabilities, unshare_unsafe,
};

use super::ProgramEnd;
use super::control::{self, Handed, Report, Reports};
use super::table::{self, Choice};
use crate::agent::cage::{self, Network};

/// Time for an init without a namespace to end its tree before the guard does it itself.
const INIT_GRACE_S: i64 = 3;

/// A fork bomb outside a namespace may win against the kill loop; it is reported then.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Runs the guard. Arguments: `ns` or `plain`, [three](super::NAMES) that identify the tree, the
/// program, its arguments. The environment and the working directory are the program's already.
pub(super) fn run(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    control::close_inherited();
    let Ok(mut worker) = control::from_stdin() else {
        return 125;
    };
    let namespace = arguments.next().as_deref() == Some(OsStr::new("ns"));
    let command: Vec<OsString> = arguments.collect();
    let result = Guard::start(&worker, namespace, &command);
    let report = match result {
        Ok(guard) => guard.watch(&mut worker),
        Err(report) => report,
    };
    // If the worker has died, nobody needs the report.
    let _ = worker.write_all(report.encode().as_bytes());
    0
}

struct Guard {
    init: Child,
    socket: UnixStream,
    namespace: bool,
    reports: Reports,
    ended: Option<ProgramEnd>,
}

impl Guard {
    /// Enters the namespaces if wanted and starts init with the program's streams.
    fn start(worker: &UnixStream, namespace: bool, command: &[OsString]) -> Result<Self, Report> {
        let failed = |what: &str, error: std::io::Error| Report::refused(what, &error);
        let handed =
            Handed::receive(worker).map_err(|error| failed("the guard got no streams", error))?;
        let cage = handed
            .cage()
            .map_err(|error| failed("the guard cannot read the cage", error))?;
        let network = cage.map(|cage| cage.network).unwrap_or_default();
        if namespace {
            enter_namespaces().map_err(Report::NoNamespace)?;
        }
        if network == Network::None {
            cage::without_network()
                .map_err(|error| failed("cannot remove the network (`checks.network`)", error))?;
        }
        if !namespace {
            super::become_subreaper().map_err(|error| failed("the guard", error))?;
        }
        let (socket, stage) =
            UnixStream::pair().map_err(|error| failed("the guard's socket", error))?;
        let init = Command::new("/proc/self/exe")
            .arg(super::INIT_ARGUMENT)
            .arg(if namespace { "ns" } else { "plain" })
            .args(command)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(stage)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let init = match init {
            Ok(init) => init,
            Err(error) if namespace => return Err(Report::NoNamespace(error.to_string())),
            Err(error) => return Err(failed("the guard's child", error)),
        };
        // If init has died already, its end is reported.
        let _ = handed.send(&socket);
        Ok(Self {
            init,
            socket,
            namespace,
            reports: Reports::default(),
            ended: None,
        })
    }

    /// Waits until the program ends, the worker wants an end, or the worker dies.
    fn watch(mut self, worker: &mut UnixStream) -> Report {
        // Without a way to watch, it cannot guard, so an error is the end, too.
        let end = self.until_end(worker).unwrap_or_default();
        self.end_init();
        let left = if self.namespace {
            0
        } else {
            table::end(&Choice::DescendantsOf(std::process::id()), KILL_LIMIT).1
        };
        match end {
            Some(report @ (Report::NoNamespace(_) | Report::Failed { .. })) => report,
            // An init without a word was killed with its tree.
            _ => Report::Ended {
                end: self.ended.unwrap_or(ProgramEnd::KILLED),
                left,
            },
        }
    }

    /// Relays reports. Returns init's refusal, or nothing if the tree is to be ended.
    fn until_end(&mut self, worker: &mut UnixStream) -> std::io::Result<Option<Report>> {
        loop {
            let mut fds = [
                PollFd::new(worker, PollFlags::IN),
                PollFd::new(&self.socket, PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            let [from_worker, from_init] = fds.map(|fd| !fd.revents().is_empty());
            if from_init {
                let mut bytes = [0; 512];
                let read = self.socket.read(&mut bytes).unwrap_or(0);
                if read == 0 {
                    return Ok(None);
                }
                self.reports.push(bytes.get(..read).unwrap_or(&[]));
                while let Some(report) = self.reports.next() {
                    match report {
                        Report::Started | Report::Exceeded(_) => {
                            worker.write_all(report.encode().as_bytes())?
                        }
                        Report::Ended { end, .. } => self.ended = Some(end),
                        refusal => return Ok(Some(refusal)),
                    }
                }
            }
            if from_worker {
                return Ok(None);
            }
        }
    }

    /// Ends init, which in a namespace is the end of everything in it.
    fn end_init(&mut self) {
        if !self.namespace || self.ended.is_some() {
            // Its socket's end tells init to end its tree and itself.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
            if let Some(pid) = self.init_pid() {
                // A stopped init would not notice.
                let _ = kill_process(pid, Signal::CONT);
                await_exit(pid);
            }
        }
        let _ = self.init.kill();
        // For the init of a namespace this returns only when all of its processes are gone.
        let _ = self.init.wait();
    }

    fn init_pid(&self) -> Option<Pid> {
        i32::try_from(self.init.id()).ok().and_then(Pid::from_raw)
    }
}

/// Runs the probe: prints why namespaces are not available, if so.
pub(super) fn probe() -> i32 {
    let mounted = enter_namespaces().and_then(|()| {
        let flags = rustix::mount::MountFlags::NOSUID;
        rustix::mount::mount("tmpfs", "/tmp", "tmpfs", flags, None)
            .map_err(|error| format!("mount: {error}"))
    });
    match mounted {
        Ok(()) => 0,
        Err(why) => {
            // If the reader has died, nobody needs the answer.
            let _ = writeln!(std::io::stdout(), "{why}");
            1
        }
    }
}

/// Waits for init to exit, for a limited time.
fn await_exit(init: Pid) {
    if let Ok(handle) = pidfd_open(init, PidfdFlags::empty()) {
        let limit = Timespec {
            tv_sec: INIT_GRACE_S,
            tv_nsec: 0,
        };
        let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit));
    }
}

/// Leaves the caller's pid and mount namespaces, through a user namespace if the caller may not do
/// so otherwise. Children are in the new pid namespace; the first of them is its init.
fn enter_namespaces() -> Result<(), String> {
    let uid = rustix::process::geteuid();
    let gid = rustix::process::getegid();
    let mut flags = UnshareFlags::NEWPID | UnshareFlags::NEWNS;
    if !uid.is_root() {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: the only unsafe flag, FILES, is not set.
    unsafe { unshare_unsafe(flags) }.map_err(|error| format!("unshare: {error}"))?;
    if !uid.is_root() {
        let (uid, gid) = (uid.as_raw(), gid.as_raw());
        let files = [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("{uid} {uid} 1")),
            ("/proc/self/gid_map", format!("{gid} {gid} 1")),
        ];
        for (path, text) in files {
            std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))?;
        }
        keep_mount_right().map_err(|error| format!("capabilities: {error}"))?;
    }
    // Otherwise the new /proc would appear outside, too.
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM,
    )
    .map_err(|error| format!("mount propagation: {error}"))
}

/// Keeps the right to mount across the exec of init, where anybody but root would lose it. Init
/// drops it before it starts the program.
fn keep_mount_right() -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable |= CapabilitySet::SYS_ADMIN;
    set_capabilities(None, sets)?;
    configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true)
}
