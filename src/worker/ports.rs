//! A range of ports of one's own. Ports belong to the machine, so whoever has a range holds names in
//! the machine's list of abstract sockets: they keep out the workers of every project and every
//! user, die with their worker, and nobody has to give them back.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::config::Ports;

/// What the names begin with.
const NAME: &str = "crewlog-ports";

/// One name holds this many ports, so that a wide range needs few of them. Projects whose ranges
/// have other borders share no port either; the most that is lost is a part of a block.
const BLOCK: u32 = 10;

/// No range of ports can be had.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// More workers than ranges.
    #[error(
        "all {slots} port ranges from {base} on are taken on this machine; end some workers, or set ports.base or ports.count lower"
    )]
    AllTaken {
        /// How many there are.
        slots: u32,
        /// Where they begin.
        base: u16,
    },
    /// The system refused something.
    #[error("cannot take a port range: {source}")]
    Io {
        /// Why.
        source: io::Error,
    },
}

/// A range of ports, ours until this is dropped or the process dies.
#[derive(Debug)]
pub struct PortSlot {
    ports: Range<u32>,
    /// Nothing is ever said through them.
    _names: Vec<UnixDatagram>,
}

impl PortSlot {
    /// Takes the first free range of the machine.
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
        for slot in 0..slots {
            let first = base + slot * count;
            let range = first..first + count;
            let names = hold(name, &range).map_err(|source| PortsError::Io { source })?;
            if let Some(names) = names {
                return Ok(Self {
                    ports: range,
                    _names: names,
                });
            }
        }
        Err(PortsError::AllTaken {
            slots,
            base: ports.base,
        })
    }

    /// The ports.
    pub fn ports(&self) -> Range<u32> {
        self.ports.clone()
    }
}

/// The names of all blocks that the range touches; `None` when somebody else has one of them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn living_workers_never_share_a_port() {
        let ports = |base, count| Ports { base, count };
        // The same test may run in another directory of this machine.
        let machine = format!("crewlog-test-{}", std::process::id());
        let take = || PortSlot::take_named(&machine, ports(65_500, 10));
        let slots: Vec<_> = (0..3).map(|_| take().expect("a slot")).collect();
        let ranges: Vec<_> = slots.iter().map(PortSlot::ports).collect();
        assert_eq!(ranges, [65_500..65_510, 65_510..65_520, 65_520..65_530]);
        let error = take().expect_err("65530 to 65539 do not exist");
        assert!(
            matches!(error, PortsError::AllTaken { slots: 3, .. }),
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
}
