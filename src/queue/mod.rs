//! Durable append and read: the event log, its encoding, its snapshots and content files.
//!
//! | file | what it knows |
//! |---|---|
//! | [`encoding`] | the bytes of an event, and the chain of hashes |
//! | [`log`] | what every log guarantees, and how to follow one |
//! | [`memory`] | a log in memory, for tests and simulation |
//! | [`sled_log`] | the durable log: the only code that touches sled |
//! | [`directory`] | the names in a log's directory, its locks, and how a new log replaces it |
//! | [`content`] | texts too long for the log, in files named by their hash |
//! | [`snapshot`] | snapshots of the state, so that a start need not read everything |
//! | [`reader`] | reads a log without its engine, and writes nothing |
//! | [`verify`](mod@verify) | proves that nothing is missing or altered |
//! | [`salvage`] | reads what is left of a log that the engine refuses |
//! | [`repair`] | rebuilds a damaged log |
//! | [`portable`] | a whole log as one checksummed file: the way from one engine to another |
//!
//! It does not know what events mean, clocks (times come with the events), connections, or who
//! waits for what.

pub mod content;
pub mod directory;
pub mod encoding;
mod error;
mod files;
mod head;
mod head_file;
pub mod log;
pub mod memory;
pub mod mounts;
mod pack;
pub mod portable;
pub mod reader;
pub mod repair;
pub mod salvage;
pub mod sled_log;
pub mod snapshot;
pub mod verify;

pub use content::{Contents, FileContents};
pub use directory::{Holder, Lock, holder, holder_of, lock};
pub use encoding::{ChainHash, Envelope};
pub use error::Error;
pub use files::remove_unfinished;
pub use head::Head;
pub use log::{Chunk, EventLog, Subscription, subscribe};
pub use memory::MemoryLog;
pub use reader::{Ending, LogReader};
pub use sled_log::{OpenOptions, SledLog};
pub use verify::{LostText, Text, Verified, verify};
