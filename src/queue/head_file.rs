//! A note, beside the engine's files, of how far the log is known to reach. sled cuts its log at
//! the first bytes that do not check, and reports nothing; with the note, the loss is noticed.
//!
//! Two slots are written in turn, so that a power cut during one leaves the other. Each begins its
//! own block and contains, little endian,
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, `CREWHEAD` |
//! | 8 | 8 | sequence |
//! | 16 | 8 | epoch of that event |
//! | 24 | 32 | hash of that event |
//! | 56 | 4 | crc32 of everything before |
//!
//! A third block says how the writer left the log, see [`Left`]. It is written before every batch,
//! and synced only when the log is opened and closed:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, `CREWLEFT` |
//! | 8 | 8 | 1: open; 2: closed |
//! | 16 | 48 | sequence, epoch and hash of the last durable event |
//! | 64 | 48 | the same of the last event of the batch that is being written |
//! | 112 | 8 | bytes of the engine's files when they were closed; all ones if not computed |
//! | 120 | 4 | crc32 of those files |
//! | 124 | 4 | crc32 of everything before |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::encoding::ChainHash;
use super::files::Fingerprint;
use super::log::Head;
use super::{Error, files};
use crate::model::ids::{Epoch, Sequence};

const MAGIC: [u8; 8] = *b"CREWHEAD";
/// No disk and no file system tears two blocks of this size at once.
const SLOT_STRIDE: usize = 4096;
const SLOT_BYTES: usize = 60;

const LEFT_MAGIC: [u8; 8] = *b"CREWLEFT";
const LEFT_AT: u64 = 2 * SLOT_STRIDE as u64;
const LEFT_BYTES: usize = 128;
const OPEN: u64 = 1;
const CLOSED: u64 = 2;
/// Stands for the size of files that were too large for a fingerprint.
const NO_FINGERPRINT: u64 = u64::MAX;

/// The contents of the two slots; `None` for one that does not check.
pub(super) type Slots = [Option<Head>; 2];

/// How the writer left the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// A writer has it open, or was killed.
    Open {
        /// Everything up to here is durable.
        before: Head,
        /// The end of the batch that is being written. A reader shows all of it or nothing. The
        /// epoch is the least of this writer's events: a later event with a lesser epoch was taken
        /// back by a power cut before this writer began.
        after: Head,
    },
    /// Its writer closed it: nothing follows `head`, and the engine's files were complete.
    Closed {
        /// The last event.
        head: Head,
        /// Fingerprint of the engine's files; `None` if they were too large to read again.
        files: Option<Fingerprint>,
    },
}

/// The open head file.
#[derive(Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    file: File,
    next_slot: usize,
}

impl HeadFile {
    /// Opens the file and reads both slots; `None` if the file does not exist.
    pub fn open(path: &Path) -> Result<Option<(Self, Slots)>, Error> {
        let opened = File::options().read(true).write(true).open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("open", path))?,
        };
        let slots = [read_slot(&file, 0), read_slot(&file, 1)];
        // The next slot to write is the damaged one, or else the older one.
        let next_slot = match slots {
            [Some(first), Some(second)] if first.sequence > second.sequence => 1,
            [Some(_), None] => 1,
            _ => 0,
        };
        let path = path.to_owned();
        Ok(Some((
            Self {
                path,
                file,
                next_slot,
            },
            slots,
        )))
    }

    /// Reads both slots without opening the file for writing; both `None` if it does not exist.
    pub fn read(path: &Path) -> Result<Slots, Error> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok([None; 2]),
            Err(error) => Err(Error::io("open", path)(error)),
            Ok(file) => Ok([read_slot(&file, 0), read_slot(&file, 1)]),
        }
    }

    /// Every event that the file knows to be durable, in no order. Empty if the file does not
    /// exist, or nothing in it checks.
    pub fn known(path: &Path) -> Result<Vec<Head>, Error> {
        let left = Self::left(path)?.map(|left| match left {
            // The event before a batch was durable when the batch was announced.
            Left::Open { before, .. } => before,
            Left::Closed { head, .. } => head,
        });
        let slots = Self::read(path)?;
        Ok(slots.into_iter().chain([left]).flatten().collect())
    }

    /// How the writer left the log; `None` if that is unknown: the file is missing, an older build
    /// wrote it, or this block was torn.
    pub fn left(path: &Path) -> Result<Option<Left>, Error> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("open", path))?,
        };
        let mut block = [0; LEFT_BYTES];
        let read = file.read_exact_at(&mut block, LEFT_AT);
        Ok(read.ok().and_then(|()| decode_left(&block)))
    }

    /// Records how the log is left, and syncs that if asked.
    pub fn leave(&mut self, left: Left, sync: bool) -> Result<(), Error> {
        let written = self.file.write_all_at(&encode_left(left), LEFT_AT);
        let synced = written.and_then(|()| match sync {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        synced.map_err(Error::io("write", &self.path))
    }

    /// Creates the file of an open log; both slots contain `head`.
    pub fn create(path: &Path, head: Head) -> Result<Self, Error> {
        let slot = encode_slot(head);
        let gap = vec![0; SLOT_STRIDE - SLOT_BYTES];
        let left = encode_left(Left::Open {
            before: head,
            after: head,
        });
        let rest = vec![0; SLOT_STRIDE - LEFT_BYTES];
        files::write_atomically(path, &[&slot, &gap, &slot, &gap, &left, &rest])?;
        let file = File::options().read(true).write(true).open(path);
        let file = file.map_err(Error::io("open", path))?;
        let (path, next_slot) = (path.to_owned(), 0);
        Ok(Self {
            path,
            file,
            next_slot,
        })
    }

    /// Records `head`, which must be durable in the log already, and syncs it.
    pub fn write(&mut self, head: Head) -> Result<(), Error> {
        let offset = (self.next_slot * SLOT_STRIDE) as u64;
        let written = self.file.write_all_at(&encode_slot(head), offset);
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(Error::io("write", &self.path))?;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

/// Bytes of a head: sequence, epoch, hash.
const HEAD_BYTES: usize = 48;

fn encode_head(head: Head) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&head.sequence.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&head.epoch.0.to_le_bytes());
    bytes[16..].copy_from_slice(&head.hash.0);
    bytes
}

fn decode_head(bytes: &[u8]) -> Option<Head> {
    Some(Head {
        sequence: Sequence(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)),
        epoch: Epoch(u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?)),
        hash: ChainHash(bytes.get(16..HEAD_BYTES)?.try_into().ok()?),
    })
}

fn encode_left(left: Left) -> [u8; LEFT_BYTES] {
    let (kind, before, after, files) = match left {
        Left::Open { before, after } => (OPEN, before, after, None),
        Left::Closed { head, files } => (CLOSED, head, head, files),
    };
    let (bytes, crc) = files.map_or((NO_FINGERPRINT, 0), |files| (files.bytes, files.crc));
    let mut block = [0; LEFT_BYTES];
    block[..8].copy_from_slice(&LEFT_MAGIC);
    block[8..16].copy_from_slice(&kind.to_le_bytes());
    block[16..64].copy_from_slice(&encode_head(before));
    block[64..112].copy_from_slice(&encode_head(after));
    block[112..120].copy_from_slice(&bytes.to_le_bytes());
    block[120..124].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(&block[..124]);
    block[124..].copy_from_slice(&crc.to_le_bytes());
    block
}

fn decode_left(block: &[u8; LEFT_BYTES]) -> Option<Left> {
    let (before, after) = (decode_head(&block[16..64])?, decode_head(&block[64..112])?);
    let bytes = u64::from_le_bytes(block[112..120].try_into().ok()?);
    let crc = u32::from_le_bytes(block[120..124].try_into().ok()?);
    let files = (bytes != NO_FINGERPRINT).then_some(Fingerprint { bytes, crc });
    let head = after;
    let left = match u64::from_le_bytes(block[8..16].try_into().ok()?) {
        OPEN => Left::Open { before, after },
        CLOSED => Left::Closed { head, files },
        _ => return None,
    };
    (encode_left(left) == *block).then_some(left)
}

fn encode_slot(head: Head) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..56].copy_from_slice(&encode_head(head));
    let crc = crc32fast::hash(&slot[..56]);
    slot[56..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// A slot that cannot be read counts as damaged: the other one decides.
fn read_slot(file: &File, index: usize) -> Option<Head> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, (index * SLOT_STRIDE) as u64)
        .ok()?;
    let head = decode_head(&slot[8..56])?;
    (slot == encode_slot(head)).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: u64) -> Head {
        Head {
            sequence: Sequence(sequence),
            hash: ChainHash([sequence as u8; 32]),
            epoch: Epoch(1),
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        assert!(HeadFile::open(&path).unwrap().is_none());
        let mut file = HeadFile::create(&path, head(1)).unwrap();
        for sequence in 2..7 {
            file.write(head(sequence)).unwrap();
            let (_, slots) = HeadFile::open(&path).unwrap().unwrap();
            let mut known = slots.map(|slot| slot.unwrap().sequence.0);
            known.sort_unstable();
            assert_eq!(known[1], sequence);
            assert!(known[0] + 1 == sequence);
        }
        let mut bytes = std::fs::read(&path).unwrap();
        for offset in 0..SLOT_BYTES {
            bytes[offset] ^= 4;
            std::fs::write(&path, &bytes).unwrap();
            let (reopened, slots) = HeadFile::open(&path).unwrap().unwrap();
            assert!(slots[0].is_none() && slots[1].is_some(), "offset {offset}");
            assert_eq!(reopened.next_slot, 0, "the damaged slot is written next");
            bytes[offset] ^= 4;
        }
    }

    #[test]
    fn how_the_log_was_left_is_read_as_it_was_written_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        assert_eq!(HeadFile::left(&path).unwrap(), None);
        let mut file = HeadFile::create(&path, head(1)).unwrap();
        let open = |before, after| Left::Open { before, after };
        assert_eq!(HeadFile::left(&path).unwrap(), Some(open(head(1), head(1))));
        let files = Some(Fingerprint { bytes: 7, crc: 9 });
        for left in [
            open(head(1), head(4)),
            Left::Closed {
                head: head(4),
                files,
            },
            Left::Closed {
                head: head(4),
                files: None,
            },
        ] {
            file.leave(left, true).unwrap();
            assert_eq!(HeadFile::left(&path).unwrap(), Some(left));
        }
        // The slots are where they were.
        assert!(HeadFile::read(&path).unwrap().iter().all(Option::is_some));
        let bytes = std::fs::read(&path).unwrap();
        for offset in 0..LEFT_BYTES {
            let mut torn = bytes.clone();
            torn[LEFT_AT as usize + offset] ^= 16;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(HeadFile::left(&path).unwrap(), None, "offset {offset}");
        }
        // A file of an older build has two blocks.
        std::fs::write(&path, &bytes[..LEFT_AT as usize]).unwrap();
        assert_eq!(HeadFile::left(&path).unwrap(), None);
        let (mut file, _) = HeadFile::open(&path).unwrap().unwrap();
        file.leave(open(head(2), head(2)), true).unwrap();
        assert_eq!(HeadFile::left(&path).unwrap(), Some(open(head(2), head(2))));
    }
}
