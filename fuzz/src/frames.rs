//! Frames: the first byte chooses who speaks, the second the size of the pieces in which the rest
//! arrives. The rest is read as a stream of frames, as one frame's body, and as a preamble.

use std::fmt::Debug;

use crewlog::protocol::{
    ClientMessage, FrameError, PREAMBLE_BYTES, Preamble, Role, SchedulerMessage, ToClient,
    WorkerMessage, decode, encode,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::take::Take;
use super::useful;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    let (who, size) = (take.byte(), usize::from(take.byte()) + 1);
    let rest = take.0;
    preamble(rest);
    let role = [Role::Worker, Role::Client][usize::from(who & 1)];
    let (whole, pieces) = (frames(role, [rest]), frames(role, rest.chunks(size)));
    assert_eq!(whole, pieces, "frames depend on how they arrive");
    let bodies = whole.iter().flatten().map(Vec::as_slice);
    for body in bodies.chain([rest]) {
        match who % 4 {
            0 => message::<WorkerMessage>(role, body),
            1 => message::<ClientMessage>(role, body),
            2 => message::<SchedulerMessage>(role, body),
            _ => message::<ToClient>(role, body),
        }
    }
}

fn preamble(bytes: &[u8]) {
    let Some(first) = bytes.first_chunk::<PREAMBLE_BYTES>() else {
        return;
    };
    match Preamble::decode(*first) {
        Ok(preamble) => assert_eq!(preamble.encode(), *first),
        Err(error) => useful(&error.to_string()),
    }
}

/// The bodies of a stream, and `None` for where it breaks off.
fn frames<'a>(role: Role, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let (mut codec, mut buffer, mut found) = (role.codec(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    assert!(frame.len() <= role.frame_bytes_max());
                    found.push(Some(frame.to_vec()));
                }
                Err(error) => {
                    useful(&error.to_string());
                    found.push(None);
                    return found;
                }
            }
        }
    }
    found
}

/// What is read is what is written; a number may have been written longer than needed.
pub fn message<T: Serialize + DeserializeOwned + PartialEq + Debug>(role: Role, body: &[u8]) {
    match decode::<T>(role, body) {
        Ok(message) => {
            let bytes = encode(role, &message).expect("what was read can be written");
            assert!(bytes.len() <= body.len(), "{message:?} grew");
            assert_eq!(decode::<T>(role, &bytes).expect("our own bytes"), message);
        }
        Err(FrameError::TooLong { bytes, limit }) => assert!(bytes > limit),
        Err(error) => useful(&error.to_string()),
    }
}
