//! The cage: what the processes of a tree may see, write and use up.
//!
//! A [`Cage`] is plain data. The worker builds one for each attempt ([`build`]); the tree's init
//! applies it before it starts the program, in two layers:
//!
//! - mounts (`mounts`), where the tree has a mount namespace: everything is read-only but what
//!   may be written, what must not be seen is covered, `/tmp` and `/dev` are the attempt's own;
//! - Landlock (`rules`), always: writes go nowhere else, signals and abstract sockets do not
//!   leave the tree. Without a mount namespace it also refuses to read what must not be seen.
//!
//! [`lists`] has every path with its reason. [`blame`] recognises failures that the cage has
//! caused.

pub mod blame;
pub mod build;
pub mod lists;
pub mod probe;

mod confine;
mod entries;
mod mounts;
mod network;
mod private;
mod rules;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(super) use confine::Confinement;
pub(super) use network::without_network;
pub(super) use watch::Watchdog;

/// What a tree may see, write and use up. Of overlapping places, the deeper path decides, and of
/// equal paths the later one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cage {
    /// Paths that differ from the rest of the machine, which can be read and not written.
    pub places: Vec<Place>,
    /// The directory that the program sees as `/tmp` and `/var/tmp`.
    pub tmp: PathBuf,
    /// The directory that receives what is written into caches; not visible inside.
    pub scratch: PathBuf,
    /// Variables that the program gets besides its own: the places of caches that the person does
    /// not have.
    pub env: BTreeMap<String, String>,
    /// How much of the network is visible.
    pub network: Network,
    /// What may be used up.
    pub limits: Limits,
}

/// One path and what is allowed for it and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// An absolute path. A missing one is skipped.
    pub path: PathBuf,
    /// What may be done.
    pub access: Access,
}

impl Place {
    /// A path and what is allowed for it.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        Self {
            path: path.into(),
            access,
        }
    }
}

/// What is allowed for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Nothing: it looks empty.
    Hide,
    /// Reading and executing.
    Read,
    /// Reading, and writing into an overlay that is discarded with the attempt. Without overlays,
    /// reading.
    Cache,
    /// Really writing, unless an overlay covers it.
    SharedCache,
    /// Reading and writing.
    Write,
}

/// How much of the network is visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The machine's own network.
    #[default]
    Inherit,
    /// Only a loopback device of the tree's own.
    None,
}

/// What a tree may use; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all processes together, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads, together.
    pub processes: u32,
    /// Files that one process may have open.
    pub open_files: u64,
}

/// A limit that ended a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// More memory than [`Limits::memory_bytes`], in bytes.
    Memory(u64),
    /// More processes and threads than [`Limits::processes`].
    Processes(u64),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(limit) => {
                let (amount, unit) = match limit {
                    0..1_048_576 => (limit / 1024, "KiB"),
                    0..10_737_418_240 => (limit / 1_048_576, "MiB"),
                    _ => (limit / 1_073_741_824, "GiB"),
                };
                write!(
                    f,
                    "its processes used more than {amount} {unit} of memory (`cage.memory`)"
                )
            }
            Self::Processes(limit) => write!(
                f,
                "it had more than {limit} processes and threads (`cage.processes`)"
            ),
        }
    }
}

/// An existing place, its path free of links.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Resolved {
    path: PathBuf,
    access: Access,
    /// True for anything but a directory.
    file: bool,
}

impl Cage {
    /// The existing places, each path once, parents before children.
    fn resolve(&self) -> Vec<Resolved> {
        let mut resolved: Vec<Resolved> = Vec::new();
        for place in &self.places {
            let Ok(path) = place.path.canonicalize() else {
                continue;
            };
            let file = !path.is_dir();
            let shared = place.access == Access::SharedCache;
            // A later place that allows less does not take an earlier one's rights away.
            if shared && resolved.iter().any(|one| one.path == path) {
                continue;
            }
            resolved.retain(|one| one.path != path);
            resolved.push(Resolved {
                path,
                access: place.access,
                file,
            });
        }
        resolved.sort_by_key(|one| one.path.components().count());
        resolved
    }

    /// Reads what [`Self::to_file`] wrote, from the beginning.
    pub(super) fn from_file(file: OwnedFd) -> std::io::Result<Self> {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::from(file);
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        serde_json::from_slice(&bytes).map_err(Into::into)
    }

    /// Writes itself into a file without a name, which is passed to the stages.
    pub(super) fn to_file(&self) -> std::io::Result<OwnedFd> {
        use std::os::unix::fs::FileExt;
        let text = serde_json::to_vec(self)?;
        let file = rustix::fs::memfd_create("cage", rustix::fs::MemfdFlags::CLOEXEC)?;
        let file = std::fs::File::from(file);
        file.write_all_at(&text, 0)?;
        Ok(file.into())
    }
}

#[cfg(test)]
mod tests;
