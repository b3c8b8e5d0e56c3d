//! A network with only a loopback device.

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Leaves the machine's network for a new one of the caller's own, with its loopback device up.
/// Needs the right to administer the new network namespace.
pub(in crate::agent) fn without_network() -> io::Result<()> {
    // SAFETY: the only unsafe flag, FILES, is not set.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    bring_up(&socket)
}

fn bring_up(socket: &impl std::os::fd::AsRawFd) -> io::Result<()> {
    // SAFETY: all zeroes is a valid value of this plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = i16::try_from(up).unwrap_or(0);
    // SAFETY: the kernel reads one `ifreq`, which this is.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
