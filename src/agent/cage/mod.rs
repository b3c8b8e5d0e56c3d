//! The cage: what the processes of a tree may see, write and use up.
//!
//! A [`Cage`] is plain data. The worker builds one for each attempt; the tree's init applies it
//! before it starts the program.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a tree may see, write and use up. Where two places overlap, the deeper path decides, and
/// of equal paths the later one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cage {
    /// Which paths differ from the rest of the machine, which can be read and not written.
    pub places: Vec<Place>,
    /// The directory that the program sees as `/tmp` and `/var/tmp`.
    pub tmp: PathBuf,
    /// The directory that receives what is written into caches; not visible inside.
    pub scratch: PathBuf,
    /// What of the network is there.
    pub network: Network,
    /// What may be used up.
    pub limits: Limits,
}

/// One path and what may be done with it and all below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// An absolute path. One that does not exist is skipped.
    pub path: PathBuf,
    /// What may be done.
    pub access: Access,
}

/// What may be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Nothing: it looks empty.
    Hide,
    /// Reading and executing.
    Read,
    /// Reading and writing; what is written is gone with the attempt. Without an overlay file
    /// system, this is [`Access::Write`].
    Cache,
    /// Reading and writing.
    Write,
}

/// What of the network is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The machine's.
    #[default]
    Inherit,
    /// A loopback device of the tree's own.
    None,
}

/// What a tree may use up; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all processes together, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads, together.
    pub processes: u32,
    /// Files that one process may have open.
    pub open_files: u64,
}
