//! The messages between workers and the scheduler, and between people's commands and the scheduler.
//!
//! A connection begins with eight bytes from each side, in a fixed layout so that any two versions
//! can recognise each other: `CREW`, the protocol's version, and the role (`u16` each, little
//! endian). Then frames follow: a length (`u32`, little endian) and a bincode body.
//!
//! Both sides identify processes in the same way, so [`identity`] is here, too, and [`caller`],
//! which identifies the sender; they read `/proc`.
//!
//! How a connection is opened and begins is in `handshake`; what its frames cause is not here. This
//! module does not know git, agents or disks.

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
