//! Snapshots of the state, so that a start reads one and the events after it. Here they are only
//! bytes. A snapshot is a shortcut and proves nothing: one that is damaged, or that does not belong
//! to the log, is skipped.
//!
//! A file `NNNNNNNNNNNNNNNNNNNN.snapshot`, named by its sequence, little endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, `CREWSNAP` |
//! | 8 | 4 | layout, 1 |
//! | 12 | 4 | version of the state's shape |
//! | 16 | 8 | sequence of the last event in the state |
//! | 24 | 32 | hash of that event |
//! | 56 | 8 | length of the state, n |
//! | 64 | n | state |
//! | 64 + n | 32 | SHA-256 of everything before |

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::encoding::ChainHash;
use super::log::{self, EventLog};
use super::{Error, files};
use crate::model::ids::Sequence;

const MAGIC: [u8; 8] = *b"CREWSNAP";
const LAYOUT: u32 = 1;
const HEADER_BYTES: usize = 64;
const HASH_BYTES: usize = 32;
const SUFFIX: &str = ".snapshot";
/// The newest is used; the others are for when it is damaged, and for `verify`.
const KEPT: usize = 3;
/// The state of 100,000 features takes some tens of megabytes. A larger file is not ours.
pub const STATE_BYTES_MAX: usize = 1 << 30;

/// Bytes of a snapshot that are read at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// A state to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event that it contains.
    pub sequence: Sequence,
    /// The hash of that event, which shows that the snapshot belongs to the log.
    pub chain_hash: ChainHash,
    /// The version of the state's shape, raised when the state changes.
    pub state_version: u32,
    /// The encoded bytes.
    pub bytes: Vec<u8>,
}

/// A snapshot's file and the sequence in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The last event that it contains.
    pub sequence: Sequence,
    /// Path of the snapshot.
    pub path: PathBuf,
}

/// A snapshot that was skipped, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("snapshot {} is not used: {why}", path.display())]
pub struct PassedOver {
    /// Path of the snapshot.
    pub path: PathBuf,
    /// The reason, as text for people.
    pub why: String,
}

/// Writes a snapshot, durable when this returns, and removes all but the newest three.
pub fn write(dir: &Path, snapshot: &Snapshot) -> Result<PathBuf, Error> {
    if snapshot.bytes.len() > STATE_BYTES_MAX {
        return Err(Error::Oversized {
            what: "a snapshot",
            bytes: snapshot.bytes.len(),
            bytes_max: STATE_BYTES_MAX,
        });
    }
    files::make_dir(dir)?;
    // The process that created it may have been killed before its name was synced.
    if let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) {
        files::sync_dir(above)?;
    }
    files::remove_unfinished(dir)?;
    let path = dir.join(format!("{:020}{SUFFIX}", snapshot.sequence.0));
    let header = header(snapshot);
    let mut hasher = Sha256::new();
    hasher.update(header);
    hasher.update(&snapshot.bytes);
    files::write_atomically(&path, &[&header, &snapshot.bytes, &hasher.finalize()])?;
    for old in all(dir)?.into_iter().skip(KEPT) {
        fs::remove_file(&old.path).map_err(Error::io("remove", &old.path))?;
    }
    Ok(path)
}

fn header(snapshot: &Snapshot) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&LAYOUT.to_le_bytes());
    header[12..16].copy_from_slice(&snapshot.state_version.to_le_bytes());
    header[16..24].copy_from_slice(&snapshot.sequence.0.to_le_bytes());
    header[24..56].copy_from_slice(&snapshot.chain_hash.0);
    header[56..].copy_from_slice(&(snapshot.bytes.len() as u64).to_le_bytes());
    header
}

/// Every snapshot in `dir`, the newest first, not opened. Empty if the directory does not exist.
pub fn all(dir: &Path) -> Result<Vec<Stored>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("read", dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("read", dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name
            .strip_suffix(SUFFIX)
            .and_then(|number| number.parse().ok());
        if let Some(sequence) = number.map(Sequence) {
            found.push(Stored { sequence, path });
        }
    }
    found.sort_by_key(|stored| std::cmp::Reverse(stored.sequence));
    Ok(found)
}

/// A snapshot's file that is unchanged since it was written. Its state is read on demand: it is the
/// largest thing that a start reads, and is never in memory as bytes.
#[derive(Debug)]
pub struct ValidSnapshot {
    /// The last event that it contains.
    pub sequence: Sequence,
    /// The hash of that event, which shows that the snapshot belongs to the log.
    pub chain_hash: ChainHash,
    /// The version of the state's shape.
    pub state_version: u32,
    /// Bytes of the state.
    pub bytes: u64,
    /// Path of the snapshot.
    pub path: PathBuf,
    file: File,
}

impl ValidSnapshot {
    /// Reads the state's bytes from the first on; there are [`ValidSnapshot::bytes`] of them.
    pub fn state(&mut self) -> io::Result<impl Read> {
        self.file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        let file = BufReader::with_capacity(BUFFER_BYTES, &self.file);
        Ok(file.take(self.bytes))
    }
}

/// Opens one snapshot and checks that it is unchanged since it was written.
pub fn check(stored: &Stored) -> Result<ValidSnapshot, PassedOver> {
    let passed_over = |why: String| PassedOver {
        path: stored.path.clone(),
        why,
    };
    let sound = open(&stored.path).map_err(passed_over)?;
    if sound.sequence != stored.sequence {
        let why = format!(
            "it is of event {}, but its name says otherwise",
            sound.sequence
        );
        return Err(passed_over(why));
    }
    Ok(sound)
}

fn open(path: &Path) -> Result<ValidSnapshot, String> {
    let failed = |error: io::Error| error.to_string();
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let outside = (HEADER_BYTES + HASH_BYTES) as u64;
    let bytes = length.checked_sub(outside).ok_or("it is truncated")?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).map_err(failed)?;
    if header[..8] != MAGIC {
        return Err("it is not a snapshot".to_owned());
    }
    if u64::from_le_bytes(field(&header, 56)) != bytes {
        return Err("it is truncated".to_owned());
    }
    if bytes > STATE_BYTES_MAX as u64 {
        return Err(format!("it is longer than {STATE_BYTES_MAX} bytes"));
    }
    let mut hasher = Sha256::new();
    hasher.update(header);
    hash_rest(&mut file, bytes, &mut hasher).map_err(failed)?;
    let mut hash = [0; HASH_BYTES];
    file.read_exact(&mut hash).map_err(failed)?;
    if hash != <[u8; HASH_BYTES]>::from(hasher.finalize()) {
        return Err("its bytes were altered".to_owned());
    }
    if u32::from_le_bytes(field(&header, 8)) != LAYOUT {
        return Err("a newer version wrote it".to_owned());
    }
    Ok(ValidSnapshot {
        sequence: Sequence(u64::from_le_bytes(field(&header, 16))),
        chain_hash: ChainHash(field(&header, 24)),
        state_version: u32::from_le_bytes(field(&header, 12)),
        bytes,
        path: path.to_owned(),
        file,
    })
}

fn hash_rest(file: &mut File, mut bytes: u64, hasher: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while bytes > 0 {
        let wanted = bytes.min(BUFFER_BYTES as u64) as usize;
        let part = &mut buffer[..wanted];
        file.read_exact(part)?;
        hasher.update(&*part);
        bytes -= wanted as u64;
    }
    Ok(())
}

/// `N` bytes of the header at `offset`. All callers' offsets are constants within it.
fn field<const N: usize>(header: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[offset..offset + N]);
    field
}

/// The newest snapshot that is unchanged, has this state version, and belongs to `log`, which has
/// its event with its hash. Also those that were skipped on the way to it.
pub fn latest(
    dir: &Path,
    log: &dyn EventLog,
    state_version: u32,
) -> Result<(Option<ValidSnapshot>, Vec<PassedOver>), Error> {
    let mut passed_over = Vec::new();
    for stored in all(dir)? {
        let why = match check(&stored) {
            Err(passed) => passed.why,
            Ok(sound) if sound.state_version != state_version => {
                format!(
                    "its state has version {}, but this build uses {state_version}",
                    sound.state_version
                )
            }
            Ok(sound) => match log::hash_at(log, sound.sequence)? {
                Some(hash) if hash == sound.chain_hash => {
                    return Ok((Some(sound), passed_over));
                }
                Some(_) => "it belongs to another log".to_owned(),
                None => "it is newer than the end of the log".to_owned(),
            },
        };
        passed_over.push(PassedOver {
            path: stored.path,
            why,
        });
    }
    Ok((None, passed_over))
}
