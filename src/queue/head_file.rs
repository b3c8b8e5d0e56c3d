//! A note, beside the engine's files, of how far the log is known to reach. sled cuts its log at
//! the first bytes that do not check, and says nothing; the note says that something is missing.
//!
//! Two slots are written in turn, so that a power cut in the middle of one leaves the other. Each
//! begins a block of its own and is laid out, little endian, as
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, `CREWHEAD` |
//! | 8 | 8 | sequence |
//! | 16 | 8 | epoch of that event |
//! | 24 | 32 | hash of that event |
//! | 56 | 4 | crc32 of everything before |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::encoding::ChainHash;
use super::log::Head;
use super::{Error, files};
use crate::model::ids::{Epoch, Sequence};

const MAGIC: [u8; 8] = *b"CREWHEAD";
/// No disk and no file system tears two blocks of this size at once.
const SLOT_STRIDE: usize = 4096;
const SLOT_BYTES: usize = 60;

/// What the two slots say; `None` for one that does not check.
pub(super) type Slots = [Option<Head>; 2];

/// The open file.
#[derive(Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    file: File,
    next_slot: usize,
}

impl HeadFile {
    /// Opens the file and reads both slots; `None` if there is no file.
    pub fn open(path: &Path) -> Result<Option<(Self, Slots)>, Error> {
        let opened = File::options().read(true).write(true).open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("open", path))?,
        };
        let slots = [read_slot(&file, 0), read_slot(&file, 1)];
        // The next to be written is the damaged one, or else the older one.
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

    /// Reads both slots without opening the file for writing; none check if there is no file.
    pub fn read(path: &Path) -> Result<Slots, Error> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok([None; 2]),
            Err(error) => Err(Error::io("open", path)(error)),
            Ok(file) => Ok([read_slot(&file, 0), read_slot(&file, 1)]),
        }
    }

    /// Makes the file, both slots saying `head`.
    pub fn create(path: &Path, head: Head) -> Result<Self, Error> {
        let slot = encode_slot(head);
        let gap = vec![0; SLOT_STRIDE - SLOT_BYTES];
        files::write_atomically(path, &[&slot, &gap, &slot, &gap])?;
        let file = File::options().read(true).write(true).open(path);
        let file = file.map_err(Error::io("open", path))?;
        let (path, next_slot) = (path.to_owned(), 0);
        Ok(Self {
            path,
            file,
            next_slot,
        })
    }

    /// Notes `head`, which must be durable in the log already, and syncs the note.
    pub fn write(&mut self, head: Head) -> Result<(), Error> {
        let offset = (self.next_slot * SLOT_STRIDE) as u64;
        let written = self.file.write_all_at(&encode_slot(head), offset);
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(Error::io("write", &self.path))?;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

fn encode_slot(head: Head) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&head.sequence.0.to_le_bytes());
    slot[16..24].copy_from_slice(&head.epoch.0.to_le_bytes());
    slot[24..56].copy_from_slice(&head.hash.0);
    let crc = crc32fast::hash(&slot[..56]);
    slot[56..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// A slot that cannot be read for whatever reason counts as damaged: the other one decides.
fn read_slot(file: &File, index: usize) -> Option<Head> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, (index * SLOT_STRIDE) as u64)
        .ok()?;
    let head = Head {
        sequence: Sequence(u64::from_le_bytes(slot[8..16].try_into().ok()?)),
        epoch: Epoch(u64::from_le_bytes(slot[16..24].try_into().ok()?)),
        hash: ChainHash(slot[24..56].try_into().ok()?),
    };
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
}
