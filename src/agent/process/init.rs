//! Init: the parent of the program. In a pid namespace it is process 1, whose end ends the rest;
//! without one it adopts the program's orphans, and ends them itself.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, mount};
use rustix::process::{
    Signal, WaitOptions, WaitStatus, set_parent_process_death_signal, setsid, wait,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
};

use super::ProgramEnd;
use super::control::{self, Handed, Report};
use super::guard::KILL_LIMIT;
use super::table::{self, Choice};
use crate::agent::cage::{Cage, Confinement, Limits, Watchdog, lists};

/// Runs init. Arguments: `ns` or `plain`, [three](super::NAMES) that identify the tree, the
/// program, its arguments.
pub(super) fn run(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    control::close_inherited();
    let namespace = arguments.next().as_deref() == Some(OsStr::new("ns"));
    if namespace {
        // If the guard died before this line, the end of its socket shows it.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }
    // A session of its own: no terminal, and so no signals from one. Otherwise Ctrl-C would end the
    // agents before the worker has decided anything.
    let _ = setsid();
    let Ok(mut socket) = control::from_stdin() else {
        return 125;
    };
    match start(&socket, namespace, arguments.skip(super::NAMES)) {
        Ok((program, limits)) => {
            report(&mut socket, &Report::Started);
            end_with_parent(&socket, namespace);
            let watchdog = watch(limits, namespace);
            let end = wait_for(program);
            // Before the rest is ended, which may be what was too much.
            let exceeded = watchdog.exceeded();
            let left = if namespace {
                0
            } else {
                table::end(&Choice::DescendantsOf(std::process::id()), KILL_LIMIT).1
            };
            if let Some(exceeded) = exceeded {
                report(&mut socket, &Report::Exceeded(exceeded));
            }
            report(&mut socket, &Report::Ended { end, left });
            end.code()
        }
        Err(refusal) => {
            report(&mut socket, &refusal);
            125
        }
    }
}

/// A dead guard needs no report.
fn report(socket: &mut UnixStream, report: &Report) {
    let _ = socket.write_all(report.encode().as_bytes());
}

/// Starts the program on the streams from the guard; returns its pid, and what its tree may use.
fn start(
    socket: &UnixStream,
    namespace: bool,
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<(i32, Limits), Report> {
    let failed = |error: std::io::Error| Report::refused("", &error);
    let handed = Handed::receive(socket).map_err(failed)?;
    let cage = handed.cage().map_err(failed)?;
    let [stdin, stdout, stderr] = handed.streams;
    if namespace {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", "/proc", "proc", flags, None)
            .map_err(|error| Report::NoNamespace(format!("mount /proc: {error}")))?;
    } else {
        super::become_subreaper().map_err(failed)?;
    }
    let program = arguments
        .next()
        .ok_or_else(|| Report::failed("no program given"))?;
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        // A program that signals its own group must not hit init.
        .process_group(0);
    let limits = cage.as_ref().map(|cage| cage.limits).unwrap_or_default();
    if let Some(cage) = cage {
        confine(&mut command, &cage, namespace)
            .map_err(|why| Report::failed(format!("cannot build the cage: {why}")))?;
    }
    if namespace {
        drop_rights().map_err(|error| Report::NoNamespace(format!("capabilities: {error}")))?;
    }
    let child = command.spawn().map_err(failed)?;
    let pid = i32::try_from(child.id()).map_err(|error| Report::failed(error.to_string()))?;
    Ok((pid, limits))
}

/// Creates the cage's mounts around this process, and makes the command's process enter the rest.
fn confine(command: &mut Command, cage: &Cage, namespace: bool) -> Result<(), String> {
    let mut confinement = Confinement::prepare(cage, namespace)?;
    for name in lists::VARIABLES {
        command.env_remove(name);
    }
    command.envs(&cage.env);
    if namespace {
        // The same directory, under a path short enough for sockets.
        command.env("TMPDIR", "/tmp");
    }
    // SAFETY: this process has one thread, so nothing in the new one can wait for a lock that
    // another thread holds.
    unsafe { command.pre_exec(move || confinement.enter()) };
    Ok(())
}

/// Ends the tree when it uses too much.
fn watch(limits: Limits, namespace: bool) -> Watchdog {
    let own = std::process::id();
    if namespace {
        let end = || {
            // From process 1, this reaches everything in the namespace except itself. SAFETY:
            // signals nothing outside of this pid namespace.
            unsafe { libc::kill(-1, libc::SIGKILL) };
        };
        return Watchdog::start(limits, move || table::others(own), end);
    }
    let end = move || {
        table::end(&Choice::DescendantsOf(own), KILL_LIMIT);
    };
    Watchdog::start(
        limits,
        move || table::living(&Choice::DescendantsOf(own)),
        end,
    )
}

/// Gives up the rights that a user namespace lent; root keeps what it had outside.
fn drop_rights() -> rustix::io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)
}

/// Ends everything as soon as the guard asks for it or dies, from a thread of its own.
fn end_with_parent(socket: &UnixStream, namespace: bool) {
    let Ok(socket) = socket.try_clone() else {
        return;
    };
    std::thread::spawn(move || {
        control::wait_for_end(&socket);
        if !namespace {
            table::end(&Choice::DescendantsOf(std::process::id()), KILL_LIMIT);
        }
        std::process::exit(ProgramEnd::KILLED.code());
    });
}

/// Takes zombies away until the program itself is one; returns how it ended.
fn wait_for(program: i32) -> ProgramEnd {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == program => {
                return end_of(status);
            }
            Err(rustix::io::Errno::CHILD) => return ProgramEnd::KILLED,
            _ => {}
        }
    }
}

fn end_of(status: WaitStatus) -> ProgramEnd {
    let exited = status.exit_status().map(ProgramEnd::Exited);
    let signalled = || status.terminating_signal().map(ProgramEnd::Signalled);
    exited.or_else(signalled).unwrap_or(ProgramEnd::KILLED)
}
