//! The process at the other end of a connection, as the kernel knows it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::UnixStream;

use crate::model::actor::Caller;
use crate::protocol::caller::{Unrecognised, caller};

/// The peer's process: its number, and a handle that no later process with that number has.
pub(super) struct Peer {
    uid: u32,
    pid: u32,
    handle: Option<OwnedFd>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        let uid = credentials.map_or(u32::MAX, |peer| peer.uid());
        let pid = credentials.and_then(|peer| peer.pid());
        let pid = pid.map_or(0, i32::unsigned_abs);
        let handle = match of_connection(stream) {
            // Before Linux 6.5, the kernel offers no handle.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => open(pid),
            handle => handle.ok(),
        };
        Self { uid, pid, handle }
    }

    /// Reads from `/proc` who it is. Blocks for about a millisecond.
    pub(super) fn recognise(self, prefix: &str) -> Result<Caller, Unrecognised> {
        if self.pid == 0 {
            return Err(Unrecognised::Outside);
        }
        let handle = self.handle.ok_or(Unrecognised::Ended(self.pid))?;
        let caller = caller(self.uid, self.pid, prefix)?;
        // It lives now, so the number was its own all the time.
        let mut polled = [PollFd::new(&handle, PollFlags::IN)];
        match poll(&mut polled, Some(&Timespec::default())) {
            Ok(0) => Ok(caller),
            _ => Err(Unrecognised::Ended(self.pid)),
        }
    }
}

fn open(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// A handle of the process that called `connect`.
fn of_connection(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut handle: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the socket is open while `stream` is borrowed, and the option is a number of the size
    // in `length`.
    let answer = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut handle).cast(),
            &raw mut length,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened this descriptor for us, and nothing else uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(handle) })
}
