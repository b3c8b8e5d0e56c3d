//! Reserves a range of ports. Ports belong to the machine, so the owner of a range holds names in
//! the machine's list of abstract sockets: they exclude the workers of every project and user, end
//! with their worker, and need no release. Programs that do not know those names are noticed by
//! binding every port of the range.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr as InetAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::config::Ports;

/// Prefix of the names.
const NAME: &str = "crewlog-ports";

/// Ports per name, so that a wide range needs few of them. Projects whose ranges have other borders
/// never share a port either; at most a part of a block is lost.
const BLOCK: u32 = 10;

/// No range of ports is free.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// More workers than ranges, or other programs use all that are left.
    #[error(
        "no free port range: of {slots} ranges of {count} ports from {base} on, {by_workers} are held by workers and {by_others} have a port that another program uses{}; end some of them, or lower `ports.base` or `ports.count`",
        example.map(|port| format!(" (port {port}, for example)")).unwrap_or_default()
    )]
    AllTaken {
        /// Number of ranges.
        slots: u32,
        /// First port of the first range.
        base: u16,
        /// Ports per range.
        count: u32,
        /// Ranges that workers on this machine hold.
        by_workers: u32,
        /// Ranges of which another program uses a port.
        by_others: u32,
        /// The first port that another program uses.
        example: Option<u16>,
    },
    /// The system refused something.
    #[error("cannot take a port range: {source}")]
    Io {
        /// The operating system's error.
        source: io::Error,
    },
}

/// A range of ports, ours until this is dropped or the process dies.
#[derive(Debug)]
pub struct PortSlot {
    ports: Range<u32>,
    config: Ports,
    name: String,
    /// Nothing is ever sent through them.
    _names: Vec<UnixDatagram>,
}

impl PortSlot {
    /// Takes the machine's first range that no worker holds and in which nobody listens.
    ///
    /// # Errors
    /// All are taken, or there are no descriptors left.
    pub fn take(ports: Ports) -> Result<Self, PortsError> {
        Self::take_named(NAME, ports)
    }

    fn take_named(name: &str, ports: Ports) -> Result<Self, PortsError> {
        let count = u32::from(ports.count.max(1));
        let base = u32::from(ports.base);
        let slots = (65_536 - base) / count;
        let (mut by_workers, mut by_others, mut example) = (0, 0, None);
        for slot in 0..slots {
            let first = base + slot * count;
            let range = first..first + count;
            let names = hold(name, &range).map_err(|source| PortsError::Io { source })?;
            let Some(names) = names else {
                by_workers += 1;
                continue;
            };
            let used = used_port(&range).map_err(|source| PortsError::Io { source })?;
            if used.is_some() {
                by_others += 1;
                example = example.or(used);
                continue;
            }
            return Ok(Self {
                ports: range,
                config: ports,
                name: name.to_owned(),
                _names: names,
            });
        }
        Err(PortsError::AllTaken {
            slots,
            base: ports.base,
            count,
            by_workers,
            by_others,
            example,
        })
    }

    /// Checks the range for the next attempt: if another program has begun to use one of its ports,
    /// another range is taken instead.
    ///
    /// # Errors
    /// As for [`Self::take`]; the present range stays.
    pub fn renew(&mut self) -> Result<(), PortsError> {
        let used = used_port(&self.ports).map_err(|source| PortsError::Io { source })?;
        if let Some(port) = used {
            let other = Self::take_named(&self.name, self.config)?;
            tracing::info!(port, ports = ?other.ports, "another program uses a port of this worker; switching to other ports");
            *self = other;
        }
        Ok(())
    }

    /// The range of ports.
    pub fn ports(&self) -> Range<u32> {
        self.ports.clone()
    }
}

/// The names of all blocks that the range touches; `None` if another process has one of them.
fn hold(name: &str, range: &Range<u32>) -> io::Result<Option<Vec<UnixDatagram>>> {
    let blocks = range.start / BLOCK..=(range.end - 1) / BLOCK;
    let mut names = Vec::new();
    for block in blocks {
        let name = format!("{name}-{}", block * BLOCK);
        match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(socket) => names.push(socket),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(names))
}

/// The first port of the range that cannot be bound.
fn used_port(range: &Range<u32>) -> io::Result<Option<u16>> {
    for port in range.clone() {
        // A range ends at 65,535 at the latest.
        let port = u16::try_from(port).unwrap_or(u16::MAX);
        if !is_free(port)? {
            return Ok(Some(port));
        }
    }
    Ok(None)
}

/// Whether a server could bind the port on every address, over TCP and UDP. A port that is refused
/// for another reason than "in use" (for example, the system reserves it) is of no use either.
/// Nobody can connect to the sockets: they are closed at once.
fn is_free(port: u16) -> io::Result<bool> {
    // On systems with the default setting, the IPv6 wildcard takes IPv4 too; otherwise, or without
    // IPv6, the other socket decides.
    let every: [InetAddr; 2] = [
        (Ipv6Addr::UNSPECIFIED, port).into(),
        (Ipv4Addr::UNSPECIFIED, port).into(),
    ];
    for address in every {
        let bound = TcpListener::bind(address).map(drop);
        let bound = bound.and_then(|()| UdpSocket::bind(address).map(drop));
        match bound {
            Ok(()) => {}
            Err(error) if address.is_ipv6() && error.kind() != ErrorKind::AddrInUse => {}
            Err(error) if error.raw_os_error() == Some(NO_DESCRIPTORS) => return Err(error),
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// EMFILE: this process may open no more files. It says nothing about the port.
const NO_DESCRIPTORS: i32 = rustix::io::Errno::MFILE.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;

    /// The same test may run in another directory of this machine.
    fn machine(test: &str) -> String {
        format!("crewlog-test-{test}-{}", std::process::id())
    }

    #[test]
    fn living_workers_never_share_a_port() {
        let ports = |base, count| Ports { base, count };
        let machine = machine("shared");
        let take = || PortSlot::take_named(&machine, ports(65_500, 10));
        let slots: Vec<_> = (0..3).map(|_| take().expect("a slot")).collect();
        let ranges: Vec<_> = slots.iter().map(PortSlot::ports).collect();
        assert_eq!(ranges, [65_500..65_510, 65_510..65_520, 65_520..65_530]);
        let error = take().expect_err("65530 to 65539 do not exist");
        assert!(
            matches!(
                error,
                PortsError::AllTaken {
                    slots: 3,
                    by_workers: 3,
                    ..
                }
            ),
            "{error}"
        );
        // The one in the middle ends.
        let mut slots = slots;
        drop(slots.remove(1));
        assert_eq!(take().expect("a slot").ports(), 65_510..65_520);
        // Another project, which cuts its ranges elsewhere, between and across these two.
        let other = PortSlot::take_named(&machine, ports(65_495, 8)).expect("a slot");
        assert_eq!(other.ports(), 65_511..65_519);
        let wide = PortSlot::take_named(&machine, ports(65_400, 80)).expect("a slot");
        assert_eq!(wide.ports(), 65_400..65_480);
    }

    #[test]
    fn a_port_that_another_program_uses_is_passed_over() {
        let machine = machine("used");
        let ports = Ports {
            base: 65_440,
            count: 10,
        };
        // A server on the loopback address, a server on IPv6, and a program on UDP.
        let tcp = TcpListener::bind(("127.0.0.1", 65_443)).expect("a free port");
        let udp = UdpSocket::bind(("127.0.0.1", 65_459)).expect("a free port");
        let six = TcpListener::bind(("::1", 65_460));
        let mut slot = PortSlot::take_named(&machine, ports).expect("a slot");
        let first = if six.is_ok() { 65_470 } else { 65_460 };
        assert_eq!(slot.ports(), first..first + 10);
        // It begins to listen while the worker lives: the next attempt gets other ports.
        let late = TcpListener::bind(("127.0.0.1", first as u16 + 9)).expect("a free port");
        slot.renew().expect("there is another");
        assert_eq!(slot.ports(), first + 10..first + 20);
        let here = slot.ports();
        drop((tcp, udp, six, late));
        slot.renew().expect("it is still free");
        assert_eq!(slot.ports(), here);

        let all = TcpListener::bind(("127.0.0.1", 65_535)).expect("a free port");
        let last = Ports {
            base: 65_530,
            count: 6,
        };
        let error = PortSlot::take_named(&machine, last).expect_err("the only range is used");
        let words = error.to_string();
        assert!(
            words.contains("ports.base") && words.contains("port 65535"),
            "{words}"
        );
        drop(all);
    }
}
