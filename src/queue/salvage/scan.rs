//! Finds events in a file by their own bytes: each begins with a magic number and ends with a
//! checksum, so this needs no engine.

use std::fs::File;
use std::os::unix::fs::FileExt;

use memchr::memmem::Finder;

use super::super::encoding::{self, DecodeError, Envelope};
use super::super::pack::VALUE_BYTES_MAX;
use crate::model::ids::Sequence;

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 1 << 20;
/// If the disk refuses to read a window, it is read in pieces of this size, and unreadable ones
/// count as zeros: the events around a bad sector are still good.
const SECTOR_BYTES: usize = 4 * 1024;
/// Offset of the sequence in an envelope.
const SEQUENCE_AT: usize = 10;

/// Bytes that begin like an event.
pub(in crate::queue) enum Found<'a> {
    /// A complete event, at this offset.
    Whole(u64, Envelope<'a>),
    /// Its header has this sequence, but its bytes do not check.
    Broken(Sequence, DecodeError),
}

/// Passes everything in `file` that begins like an event to `each`, in order.
pub(super) fn scan(file: &File, mut each: impl FnMut(Found<'_>)) {
    let magic = Finder::new(&encoding::MAGIC);
    let mut window = vec![0; WINDOW_BYTES + VALUE_BYTES_MAX];
    let (mut base, mut filled) = (0_u64, 0);
    loop {
        let read = fill(file, base + filled as u64, &mut window[filled..]);
        filled += read;
        let bytes = window.get(..filled).unwrap_or_default();
        let last = filled < window.len();
        // What begins further on may end in the next window.
        let limit = if last { filled } else { WINDOW_BYTES };
        let mut at = 0;
        while let Some(found) = begin(&magic, bytes, at, limit) {
            at = found + look(bytes, found, base, &mut each);
        }
        if last {
            return;
        }
        let rest = at.max(limit);
        window.copy_within(rest..filled, 0);
        base += rest as u64;
        filled -= rest;
    }
}

/// Where the next event may begin, from `at` on and before `limit`.
fn begin(magic: &Finder<'_>, bytes: &[u8], at: usize, limit: usize) -> Option<usize> {
    // One that begins before the limit may end behind it.
    let end = bytes.len().min(limit + encoding::MAGIC.len() - 1);
    Some(at + magic.find(bytes.get(at..end)?)?)
}

/// Passes on what begins at `at`. Returns the number of bytes that are done.
fn look(bytes: &[u8], at: usize, base: u64, each: &mut impl FnMut(Found<'_>)) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    match encoding::decode(rest) {
        Ok(envelope) => {
            each(Found::Whole(base + at as u64, envelope));
            envelope.bytes.len()
        }
        Err(why) => {
            let sequence = rest.get(SEQUENCE_AT..SEQUENCE_AT + 8);
            if let Some(sequence) = sequence.and_then(|bytes| bytes.try_into().ok()) {
                each(Found::Broken(Sequence(u64::from_le_bytes(sequence)), why));
            }
            encoding::MAGIC.len()
        }
    }
}

/// Reads from `offset` until `into` is full or the file ends.
fn fill(file: &File, offset: u64, into: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < into.len() {
        let at = offset + filled as u64;
        let rest = &mut into[filled..];
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => {
                let length = file.metadata().map_or(0, |meta| meta.len());
                let left = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX);
                let piece = rest.len().min(SECTOR_BYTES).min(left);
                let piece = &mut rest[..piece];
                if piece.is_empty() {
                    break;
                }
                if file.read_exact_at(piece, at).is_err() {
                    piece.fill(0);
                }
                filled += piece.len();
            }
        }
    }
    filled
}
