//! What worker and scheduler, and people's commands and scheduler, say to each other.
//!
//! A connection begins with eight bytes from each side, laid out by hand so that any two versions
//! can tell each other apart: `CREW`, the protocol's version, and the role (`u16` each, little
//! endian). Then frames follow: a length (`u32`, little endian) and a body written by bincode.
//!
//! Both sides name processes in the same way, so [`identity`] lives here, too, and [`caller`], by
//! which it is known who speaks; they read `/proc`.
//!
//! Knows nothing of sockets, git, agents or disks.

pub mod caller;
mod frame;
pub mod identity;
mod message;

pub use crate::model::report::Verdict;
pub use frame::{
    Codec, FrameError, PREAMBLE_BYTES, Preamble, Role, VERSION, decode, encode, encode_into,
};
pub use message::{
    ClientMessage, HEARTBEAT_MS, Holding, JobOffer, Live, LiveAttempt, MissingWorkers, Phase,
    SchedulerMessage, StopMode, ToClient, WorkerMessage,
};
