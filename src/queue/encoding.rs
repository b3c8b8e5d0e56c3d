//! The bytes of an event: a hand-written envelope, little endian, around the event's struct as
//! bincode.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic, `CWLG` |
//! | 4 | 1 | envelope version, 2 |
//! | 5 | 1 | codec: 0, the body is the event; 1, the body is the SHA-256 of a content file that holds it |
//! | 6 | 2 | event type, [`EventKind::number`] |
//! | 8 | 2 | type version, [`EventKind::version`] |
//! | 10 | 8 | sequence |
//! | 18 | 8 | epoch |
//! | 26 | 8 | time, milliseconds since 1970 |
//! | 34 | 16 | command id |
//! | 50 | 32 | hash of the previous envelope, zeros in the first |
//! | 82 | 4 | body length, n |
//! | 86 | 1 | actor length, a |
//! | 87 | a | actor, laid out in [`actor`] |
//! | 87 + a | n | body |
//! | 87 + a + n | 4 | crc32 (IEEE) of everything before |
//!
//! Envelopes of version 1 have no actor: their body begins at 86. They are still read, as
//! [`Actor::Unknown`], and copied unchanged.
//!
//! The hash of an envelope is the SHA-256 of everything before its crc, so each hash covers all
//! events up to its own. The crc is a fast check, the hash a complete one.
//!
//! The body is `DefaultOptions::new().with_fixint_encoding().with_limit(1 << 20)
//! .reject_trailing_bytes()`. bincode has no field names, so a released struct is frozen. A changed
//! shape is a new struct with the next version under the same number; see `upcast`.

pub mod actor;
mod older;

use std::fmt;

use bincode::Options;
use sha2::{Digest, Sha256};

use crate::model::actor::Actor;
use crate::model::event::{Event, EventKind, Recorded};
use crate::model::ids::{CommandId, ContentHash, Epoch, Sequence, Timestamp};

/// First bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"CWLG";
/// The envelope's layout that this build writes. It also reads [`ENVELOPE_VERSION_WITHOUT_ACTOR`].
pub const ENVELOPE_VERSION: u8 = 2;
/// The layout of builds that recorded no actors.
pub const ENVELOPE_VERSION_WITHOUT_ACTOR: u8 = 1;
/// Bytes of every envelope before its actor.
pub const HEADER_BYTES: usize = 86;
/// Bytes of the longest actor, its length included.
pub const ACTOR_FIELD_BYTES_MAX: usize = 1 + actor::ACTOR_BYTES_MAX;
/// Bytes after the body.
pub const CRC_BYTES: usize = 4;
/// Longest encoded event; more is not a fact but a document.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// An envelope longer than this keeps its body in a content file. A value of sled holds at most 4
/// KiB; with 3, values still fill well.
pub const INLINE_ENVELOPE_BYTES_MAX: usize = 3 * 1024;
/// Bytes of a body that is the hash of a content file.
const HASH_BYTES: usize = 32;

/// Where the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// In the envelope itself.
    Inline,
    /// In a content file; the envelope has its hash.
    Content,
}

/// SHA-256 of an envelope and, through it, of all envelopes before it. Zeros before the first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&ContentHash(self.0), f)
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("truncated: {needed} bytes are needed, but only {found} are there")]
    Truncated {
        /// Bytes that the envelope needs.
        needed: usize,
        /// Bytes that exist.
        found: usize,
    },
    /// The first bytes are not the magic number.
    #[error("no event starts here: the magic bytes are {0:02x?}")]
    Magic([u8; 4]),
    /// The envelope's layout is of a newer build.
    #[error(
        "envelope version {0} is unknown; this build reads up to version {ENVELOPE_VERSION}: use a newer version of Crewlog"
    )]
    EnvelopeVersion(u8),
    /// The body's codec is of a newer build.
    #[error("codec {0} is unknown; this build reads 0 and 1: use a newer version of Crewlog")]
    Codec(u8),
    /// The length field cannot be right.
    #[error("the envelope gives a body of {0} bytes; at most {BODY_BYTES_MAX} are allowed")]
    BodyLength(usize),
    /// The actor has a length or bytes that this build never writes.
    #[error("the actor cannot be decoded: {0}; use a newer version of Crewlog")]
    Actor(&'static str),
    /// At least one bit changed after writing.
    #[error("the checksum is {found:08x}, but should be {written:08x}: the bytes were altered")]
    Checksum {
        /// Checksum stored in the envelope.
        written: u32,
        /// Checksum of its bytes.
        found: u32,
    },
    /// The event type is of a newer build.
    #[error("event type {0} is unknown: use a newer version of Crewlog")]
    UnknownType(u16),
    /// The event's version is of a newer build.
    #[error(
        "version {version} of {name} is unknown; this build reads up to version {newest}: use a newer version of Crewlog"
    )]
    NewerVersion {
        /// Name of the event type.
        name: &'static str,
        /// The version found.
        version: u16,
        /// The newest version that this build reads.
        newest: u16,
    },
    /// The body does not match its type.
    #[error("the body of {name} cannot be decoded: {why}")]
    Body {
        /// Name of the event type.
        name: &'static str,
        /// Message of bincode, as text.
        why: String,
    },
    /// The body is in a content file, which was not given.
    #[error("the body is in content file {0}")]
    BodyElsewhere(ContentHash),
}

/// An event that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be written: {why} (at most {BODY_BYTES_MAX} bytes)")]
pub struct EncodeError {
    name: &'static str,
    why: String,
}

/// A body too long for its envelope. It must be in the content store, synced, before the envelope
/// is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongBody {
    /// SHA-256 of the content, which is also its file name.
    pub hash: ContentHash,
    /// The encoded bytes.
    pub bytes: Vec<u8>,
}

/// The options of every body; they are part of the format.
fn body_options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(BODY_BYTES_MAX as u64)
        .reject_trailing_bytes()
}

/// Appends the event's body to `out`.
pub fn encode_body(event: &Event, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut serializer = bincode::Serializer::new(&mut *out, body_options());
    let written = event.serialize_body(&mut serializer);
    let why = match written {
        Err(error) => error.to_string(),
        // bincode applies its limit only when it reads.
        Ok(()) if out.len() - start > BODY_BYTES_MAX => format!("{} bytes", out.len() - start),
        Ok(()) => return Ok(()),
    };
    out.truncate(start);
    Err(EncodeError {
        name: event.name(),
        why,
    })
}

/// Tells serde which struct a body is.
struct BodyOf(EventKind);

impl<'de> serde::de::DeserializeSeed<'de> for BodyOf {
    type Value = Option<Event>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        Event::deserialize_body(self.0, from).transpose()
    }
}

/// Decodes a body of `kind`, of any released version.
pub fn decode_body(kind: EventKind, body: &[u8]) -> Result<Event, DecodeError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(DecodeError::BodyLength(body.len()));
    }
    match body_options().deserialize_seed(BodyOf(kind), body) {
        Ok(Some(event)) => Ok(event),
        Ok(None) => upcast(kind, body),
        // An unknown kind reads nothing, so all of its body is trailing bytes.
        Err(_) if !Event::KINDS.iter().any(|(known, _)| *known == kind) => upcast(kind, body),
        Err(error) => Err(DecodeError::Body {
            name: newest(kind).map_or("an event", |(_, name)| name),
            why: error.to_string(),
        }),
    }
}

/// Decodes a body whose kind is not in [`Event::KINDS`]: an older version, or one that this build
/// does not know.
///
/// When `Foo` of version 1 gets a new field, its struct is copied to `FooV1` in `older`, the event
/// becomes version 2, and `older` learns to convert one to the other.
fn upcast(kind: EventKind, body: &[u8]) -> Result<Event, DecodeError> {
    let name = newest(kind).map_or("an event", |(_, name)| name);
    match older::read(kind, body) {
        Some(Ok(event)) => return Ok(event),
        Some(Err(why)) => {
            let why = why.to_string();
            return Err(DecodeError::Body { name, why });
        }
        None => {}
    }
    match newest(kind) {
        Some((newest, name)) => Err(DecodeError::NewerVersion {
            name,
            version: kind.version,
            newest,
        }),
        None => Err(DecodeError::UnknownType(kind.number)),
    }
}

/// The newest known version of this type, and its name.
fn newest(kind: EventKind) -> Option<(u16, &'static str)> {
    let same = |known: &&(EventKind, &'static str)| known.0.number == kind.number;
    let versions = Event::KINDS.iter().filter(same);
    versions.map(|(known, name)| (known.version, *name)).max()
}

/// Appends the envelope of `recorded` to `out`; on failure, `out` is unchanged. Returns the
/// envelope's hash, and the body if it is too long for the envelope.
pub fn encode(
    recorded: &Recorded,
    previous: &ChainHash,
    out: &mut Vec<u8>,
) -> Result<(ChainHash, Option<LongBody>), EncodeError> {
    let start = out.len();
    let kind = recorded.event.kind();
    out.extend_from_slice(&MAGIC);
    out.push(ENVELOPE_VERSION);
    out.push(0);
    out.extend_from_slice(&kind.number.to_le_bytes());
    out.extend_from_slice(&kind.version.to_le_bytes());
    out.extend_from_slice(&recorded.sequence.0.to_le_bytes());
    out.extend_from_slice(&recorded.epoch.0.to_le_bytes());
    out.extend_from_slice(&recorded.at.0.to_le_bytes());
    out.extend_from_slice(&recorded.cause.0.to_le_bytes());
    out.extend_from_slice(&previous.0);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    actor::put(&recorded.actor, out);
    let body_start = out.len();
    if let Err(error) = encode_body(&recorded.event, out) {
        out.truncate(start);
        return Err(error);
    }
    let mut long = None;
    if out.len() - start + CRC_BYTES > INLINE_ENVELOPE_BYTES_MAX {
        let bytes = out.split_off(body_start);
        let hash = ContentHash(Sha256::digest(&bytes).into());
        out.extend_from_slice(&hash.0);
        out[start + 5] = 1;
        long = Some(LongBody { hash, bytes });
    }
    // A body is at most 1 MiB long, so its length fits.
    let length = (out.len() - body_start) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    let hash = ChainHash(Sha256::digest(&out[start..]).into());
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok((hash, long))
}

/// An event in its bytes: header decoded, crc checked, body not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Where the body is.
    pub codec: Codec,
    /// What the body is.
    pub kind: EventKind,
    /// The event's position.
    pub sequence: Sequence,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// When it was decided.
    pub at: Timestamp,
    /// The command that caused it.
    pub cause: CommandId,
    /// Who gave the command, in the layout of [`actor`]; `None` in an envelope of version 1.
    pub actor: Option<&'a [u8]>,
    /// The hash of the envelope before this one.
    pub previous: ChainHash,
    /// The event's struct, or the hash of the content file that holds it.
    pub body: &'a [u8],
    /// The whole envelope, crc included.
    pub bytes: &'a [u8],
}

/// Decodes the envelope at the beginning of `bytes`, which takes `envelope.bytes.len()` of them.
/// Allocates nothing.
pub fn decode(bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let found = bytes.len();
    let truncated = |needed| DecodeError::Truncated { needed, found };
    let header: &[u8; HEADER_BYTES] = bytes
        .first_chunk()
        .ok_or(truncated(HEADER_BYTES + CRC_BYTES))?;
    let magic = array::<4>(header, 0);
    if magic != MAGIC {
        return Err(DecodeError::Magic(magic));
    }
    let [version, codec] = array::<2>(header, 4);
    let actor = match version {
        ENVELOPE_VERSION_WITHOUT_ACTOR => None,
        ENVELOPE_VERSION => Some(actor::field(&bytes[HEADER_BYTES..])?),
        other => return Err(DecodeError::EnvelopeVersion(other)),
    };
    let codec = match codec {
        0 => Codec::Inline,
        1 => Codec::Content,
        other => return Err(DecodeError::Codec(other)),
    };
    let length = u32::from_le_bytes(array(header, 82)) as usize;
    let possible = match codec {
        Codec::Inline => length <= BODY_BYTES_MAX,
        Codec::Content => length == HASH_BYTES,
    };
    if !possible {
        return Err(DecodeError::BodyLength(length));
    }
    let body_at = HEADER_BYTES + actor.map_or(0, |actor| 1 + actor.len());
    let needed = body_at + length + CRC_BYTES;
    let whole = bytes.get(..needed).ok_or(truncated(needed))?;
    let (hashed, crc) = whole.split_last_chunk().ok_or(truncated(needed))?;
    let written = u32::from_le_bytes(*crc);
    let found = crc32fast::hash(hashed);
    if written != found {
        return Err(DecodeError::Checksum { written, found });
    }
    Ok(Envelope {
        codec,
        kind: EventKind {
            number: u16::from_le_bytes(array(header, 6)),
            version: u16::from_le_bytes(array(header, 8)),
        },
        sequence: Sequence(u64::from_le_bytes(array(header, 10))),
        epoch: Epoch(u64::from_le_bytes(array(header, 18))),
        at: Timestamp(u64::from_le_bytes(array(header, 26))),
        cause: CommandId(u128::from_le_bytes(array(header, 34))),
        actor,
        previous: ChainHash(array(header, 50)),
        body: &hashed[body_at..],
        bytes: whole,
    })
}

/// `N` bytes of the header at `offset`. All callers' offsets are constants within it.
fn array<const N: usize>(header: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[offset..offset + N]);
    field
}

impl Envelope<'_> {
    /// The hash that the next envelope must contain.
    pub fn hash(&self) -> ChainHash {
        let hashed = &self.bytes[..self.bytes.len() - CRC_BYTES];
        ChainHash(Sha256::digest(hashed).into())
    }

    /// Name of the event type.
    pub fn name(&self) -> &'static str {
        newest(self.kind).map_or("an event", |(_, name)| name)
    }

    /// The content file that holds the body, if it is not in the envelope.
    pub fn content(&self) -> Option<ContentHash> {
        match self.codec {
            Codec::Inline => None,
            Codec::Content => self.body.try_into().ok().map(ContentHash),
        }
    }

    /// The event, if its body is in the envelope.
    pub fn recorded(&self) -> Result<Recorded, DecodeError> {
        match self.content() {
            None => self.recorded_with(self.body),
            Some(hash) => Err(DecodeError::BodyElsewhere(hash)),
        }
    }

    /// The event with this body, read from its content file.
    pub fn recorded_with(&self, body: &[u8]) -> Result<Recorded, DecodeError> {
        Ok(Recorded {
            sequence: self.sequence,
            epoch: self.epoch,
            at: self.at,
            cause: self.cause,
            actor: self.actor.map_or(Ok(Actor::Unknown), actor::read)?,
            event: decode_body(self.kind, body)?,
        })
    }
}
