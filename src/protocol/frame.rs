//! The first bytes of a connection, and the frames after them.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::LengthDelimitedCodec;

/// The version of everything in this module. Both sides must speak the same one.
pub const VERSION: u16 = 10;

/// Length of a preamble.
pub const PREAMBLE_BYTES: usize = 8;

const MAGIC: [u8; 4] = *b"CREW";

/// The kind of peer that opened the connection; limits differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A worker: frames up to 32 MiB, so that a job of fifty features with the longest texts and
    /// answers fits.
    Worker,
    /// A person's command: frames up to 256 MiB, so that the largest backlog file is one frame and
    /// is imported as a whole or not at all. Only processes of the scheduler's own user get this
    /// far, and memory grows with the bytes that arrive.
    Client,
    /// The scheduler's answer, with the same limit as the worker's or client's.
    Scheduler,
}

impl Role {
    fn number(self) -> u16 {
        match self {
            Self::Worker => 1,
            Self::Client => 2,
            Self::Scheduler => 3,
        }
    }

    /// The longest frame, in bytes, on a connection that this role opened.
    pub fn frame_bytes_max(self) -> usize {
        match self {
            Self::Worker => 32 << 20,
            Self::Client | Self::Scheduler => 256 << 20,
        }
    }
}

/// Why a connection's bytes are invalid.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer does not speak this protocol.
    #[error("the other side does not use Crewlog's protocol; check the path of the socket")]
    NotCrewlog,
    /// The peer speaks another version.
    #[error(
        "the other side uses version {0} of the protocol, but this build uses {VERSION}; use the same version of Crewlog for the scheduler, workers and commands"
    )]
    Version(u16),
    /// The peer named an unknown role.
    #[error("the other side has the unknown role {0}; use the same version of Crewlog for both")]
    Role(u16),
    /// The frame is longer than allowed.
    #[error("a message of {bytes} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The frame's body is not a message.
    #[error("a message cannot be decoded: {0}")]
    Body(#[from] bincode::Error),
}

/// The first bytes from each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// The sender's role.
    pub role: Role,
}

impl Preamble {
    /// The bytes to send.
    pub fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..].copy_from_slice(&self.role.number().to_le_bytes());
        bytes
    }

    /// Parses the other side's bytes.
    pub fn decode(bytes: [u8; PREAMBLE_BYTES]) -> Result<Self, FrameError> {
        let [m0, m1, m2, m3, v0, v1, r0, r1] = bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::NotCrewlog);
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let role = match u16::from_le_bytes([r0, r1]) {
            1 => Role::Worker,
            2 => Role::Client,
            3 => Role::Scheduler,
            other => return Err(FrameError::Role(other)),
        };
        Ok(Self { role })
    }
}

/// Cuts a byte stream into frames.
pub type Codec = LengthDelimitedCodec;

impl Role {
    /// The framing of a connection that this role opened.
    pub fn codec(self) -> Codec {
        LengthDelimitedCodec::builder()
            .little_endian()
            .length_field_type::<u32>()
            .max_frame_length(self.frame_bytes_max())
            .new_codec()
    }
}

fn options(limit: usize) -> impl Options {
    bincode::DefaultOptions::new()
        .with_varint_encoding()
        .with_limit(limit as u64)
        .reject_trailing_bytes()
}

/// The body of a frame.
pub fn encode<T: Serialize>(role: Role, message: &T) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::new();
    encode_into(role, message, &mut out)?;
    Ok(out)
}

/// Appends the body of a frame to `out`.
pub fn encode_into<T: Serialize>(
    role: Role,
    message: &T,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let limit = role.frame_bytes_max();
    options(limit)
        .serialize_into(out, message)
        .map_err(|error| match *error {
            bincode::ErrorKind::SizeLimit => FrameError::TooLong {
                bytes: limit + 1,
                limit,
            },
            _ => FrameError::Body(error),
        })
}

/// Reads the body of a frame. Never allocates more than the frame's own limit.
pub fn decode<T: DeserializeOwned>(role: Role, body: &[u8]) -> Result<T, FrameError> {
    let limit = role.frame_bytes_max();
    if body.len() > limit {
        return Err(FrameError::TooLong {
            bytes: body.len(),
            limit,
        });
    }
    Ok(options(limit).deserialize(body)?)
}
