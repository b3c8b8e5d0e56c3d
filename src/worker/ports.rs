//! A range of ports of one's own. A slot is a file under a lock that dies with its worker, so
//! that two living workers of a project never share a port and nobody has to give one back.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::config::Ports;

/// No range of ports can be had.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// More workers than ranges.
    #[error(
        "all {slots} port ranges from {base} on are taken; end some workers, or set ports.base or ports.count lower"
    )]
    AllTaken {
        /// How many there are.
        slots: u32,
        /// Where they begin.
        base: u16,
    },
    /// The system refused something.
    #[error("cannot take a port range: {path:?}: {source}")]
    Io {
        /// With which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A range of ports, ours until this is dropped or the process dies.
#[derive(Debug)]
pub struct PortSlot {
    ports: Range<u32>,
    _lock: File,
}

impl PortSlot {
    /// Takes the first free slot of the project.
    ///
    /// # Errors
    /// All are taken, or the data directory cannot be written.
    pub fn take(data: &Path, ports: Ports) -> Result<Self, PortsError> {
        let dir = data.join("ports");
        let failed = |path: &Path, source| PortsError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(&dir).map_err(|error| failed(&dir, error))?;
        let count = u32::from(ports.count.max(1));
        let base = u32::from(ports.base);
        let slots = (65_536 - base) / count;
        for slot in 0..slots {
            let path = dir.join(format!("{slot}.lock"));
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|error| failed(&path, error))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let first = base + slot * count;
                    return Ok(Self {
                        ports: first..first + count,
                        _lock: file,
                    });
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(&path, error.into())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn living_workers_never_share_a_port() {
        let data = tempfile::tempdir().expect("a directory");
        let ports = Ports {
            base: 65_500,
            count: 10,
        };
        let take = || PortSlot::take(data.path(), ports);
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
    }
}
