//! Texts too long for the log: prompts, outputs, long event bodies. Each is a file named by the
//! SHA-256 of its bytes, `content/ab/cdef…`: writing the same bytes twice writes them once, and
//! reading proves that they are unchanged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{Error, files};
use crate::model::ids::ContentHash;

/// Largest content. A reader loads it whole. Longer output is cut by its writer and stays complete
/// in the attempt's transcript.
pub const CONTENT_BYTES_MAX: usize = 16 << 20;

/// The name of these bytes.
pub fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash(Sha256::digest(bytes).into())
}

/// A store of bytes by their hash. All calls block; when `put` returns, the bytes are durable.
pub trait Contents: Send + Sync {
    /// Stores `bytes`. Fails with [`Error::Oversized`] above [`CONTENT_BYTES_MAX`].
    fn put(&self, bytes: &[u8]) -> Result<ContentHash, Error>;

    /// The bytes stored under `hash`, or [`Error::ContentMissing`] or [`Error::ContentAltered`].
    fn get(&self, hash: &ContentHash) -> Result<Vec<u8>, Error>;
}

fn check_size(bytes: usize) -> Result<(), Error> {
    match bytes {
        0..=CONTENT_BYTES_MAX => Ok(()),
        _ => Err(Error::Oversized {
            what: "a content file",
            bytes,
            bytes_max: CONTENT_BYTES_MAX,
        }),
    }
}

/// Contents as files. Any number of processes may use one directory at the same time.
#[derive(Clone, Debug)]
pub struct FileContents {
    dir: PathBuf,
}

impl FileContents {
    /// Opens the directory, or creates it.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        files::make_dir(dir)?;
        let dir = dir.to_owned();
        Ok(Self { dir })
    }

    /// The directory, whether it exists or not: for reading only.
    pub fn at(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self { dir }
    }

    /// Path of the file for this hash, whether it exists or not.
    pub fn path(&self, hash: &ContentHash) -> PathBuf {
        let digits = hash.to_string();
        let (first, rest) = digits.split_at(2);
        self.dir.join(first).join(rest)
    }

    /// Every stored content whose hash begins with `digits`, two or more lower-case hexadecimal
    /// ones.
    pub fn find(&self, digits: &str) -> Result<Vec<ContentHash>, Error> {
        let Some((first, rest)) = digits.split_at_checked(2) else {
            return Ok(Vec::new());
        };
        let dir = self.dir.join(first);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(Error::io("read", &dir))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io("read", &dir))?.file_name();
            let name = name.to_string_lossy();
            // Unfinished files have another kind of name, which is no hash.
            if name.starts_with(rest)
                && let Ok(hash) = format!("{first}{name}").parse()
            {
                found.push(hash);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn is_kept(&self, path: &Path, hash: &ContentHash) -> bool {
        path.exists() && self.get(hash).is_ok()
    }
}

impl Contents for FileContents {
    fn put(&self, bytes: &[u8]) -> Result<ContentHash, Error> {
        check_size(bytes.len())?;
        let hash = hash(bytes);
        let path = self.path(&hash);
        let dir = path.parent().unwrap_or(&self.dir);
        if self.is_kept(&path, &hash) {
            // Its writer may have been killed between the rename and the sync.
            files::sync_dir(dir)?;
        } else {
            // Only this directory: if the log has vanished, nothing may be created in its place.
            files::make_last_dir(dir)?;
            files::write_atomically(&path, &[bytes])?;
        }
        // The writer that created the directory may have been killed before its sync, too.
        files::sync_dir(&self.dir)?;
        Ok(hash)
    }

    fn get(&self, wanted: &ContentHash) -> Result<Vec<u8>, Error> {
        let path = self.path(wanted);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::ContentMissing(*wanted));
            }
            opened => opened.map_err(Error::io("read", &path))?,
        };
        let mut bytes = Vec::new();
        let mut limited = file.take(CONTENT_BYTES_MAX as u64 + 1);
        limited
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", &path))?;
        if hash(&bytes) == *wanted {
            Ok(bytes)
        } else {
            Err(Error::ContentAltered(*wanted))
        }
    }
}

impl FileContents {
    /// Removes files that killed processes left unfinished more than an hour ago. The holder of the
    /// log calls it at its start; living workers may be writing outputs at the same time.
    pub fn remove_abandoned(&self) -> Result<(), Error> {
        self.each_dir(files::remove_abandoned)
    }

    /// Like [`remove_abandoned`](Self::remove_abandoned), for files of any age. Call it only if no
    /// worker lives.
    pub fn remove_unfinished(&self) -> Result<(), Error> {
        self.each_dir(files::remove_unfinished)
    }

    fn each_dir(&self, act: fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))?;
        for entry in entries {
            let path = entry.map_err(Error::io("read", &self.dir))?.path();
            if path.is_dir() {
                act(&path)?;
            }
        }
        Ok(())
    }
}

/// Contents in memory, for tests and simulation.
#[derive(Debug, Default)]
pub struct MemoryContents {
    kept: Mutex<BTreeMap<ContentHash, Vec<u8>>>,
}

impl Contents for MemoryContents {
    fn put(&self, bytes: &[u8]) -> Result<ContentHash, Error> {
        check_size(bytes.len())?;
        let hash = hash(bytes);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(hash, bytes.to_vec());
        Ok(hash)
    }

    fn get(&self, hash: &ContentHash) -> Result<Vec<u8>, Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(hash).cloned().ok_or(Error::ContentMissing(*hash))
    }
}
