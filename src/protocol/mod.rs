//! What worker and scheduler, and people's commands and scheduler, say to each other.
//!
//! A connection begins with eight bytes from each side, laid out by hand so that any two versions
//! can tell each other apart: `CREW`, the protocol's version, and the role (`u16` each, little
//! endian). Then frames follow: a length (`u32`, little endian) and a body written by bincode.
//!
//! Both sides name processes in the same way, so [`identity`] lives here, too, and [`caller`], by
//! which it is known who speaks; they read `/proc`.
//!
//! How a connection is made and begins is here, too, in `handshake`; what is done with its frames
//! is not. Knows nothing of git, agents or disks.

pub mod caller;
mod frame;
mod handshake;
pub mod identity;
mod message;

pub use crate::model::report::Verdict;
pub use frame::{
    Codec, FrameError, PREAMBLE_BYTES, Preamble, Role, VERSION, decode, encode, encode_into,
};
pub use handshake::{HandshakeError, connect, handshake};
pub use message::{
    ClientMessage, HEARTBEAT_MS, Holding, JobOffer, Live, LiveAttempt, MissingWorkers, Phase,
    SchedulerMessage, StopMode, ToClient, WorkerMessage,
};
