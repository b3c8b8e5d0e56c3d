//! Texts too long for the log: prompts, outputs, long event bodies. Each is a file named by the
//! SHA-256 of its bytes, `content/ab/cdef…`, so that writing the same twice is writing it once,
//! and reading it proves that it is what was written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{Error, files};
use crate::model::ids::ContentHash;

/// One content is read into memory whole, by everybody who shows it. More output than this is
/// cut by who makes it, and stays in the attempt's transcript.
pub const CONTENT_BYTES_MAX: usize = 16 << 20;

/// The name of these bytes.
pub fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash(Sha256::digest(bytes).into())
}

/// A store of bytes by their hash. All calls block; when `put` returns, the bytes are durable.
pub trait Contents: Send + Sync {
    /// Keeps `bytes`. Fails with [`Error::Oversized`] beyond [`CONTENT_BYTES_MAX`].
    fn put(&self, bytes: &[u8]) -> Result<ContentHash, Error>;

    /// What was kept under `hash`: exactly those bytes, or [`Error::ContentMissing`] or
    /// [`Error::ContentAltered`].
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
    /// Opens or makes the directory.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        files::make_dir(dir)?;
        let dir = dir.to_owned();
        Ok(Self { dir })
    }

    /// The directory, whether there is one or not: for reading only.
    pub fn at(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self { dir }
    }

    /// Where the bytes of this hash are kept, whether they are or not.
    pub fn path(&self, hash: &ContentHash) -> PathBuf {
        let digits = hash.to_string();
        let (first, rest) = digits.split_at(2);
        self.dir.join(first).join(rest)
    }

    /// Every kept content whose hash begins with `digits`, two or more lower-case hexadecimal ones.
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
            // What is half-written has another sort of name, and is no hash.
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
            // Whoever wrote it may have died between the rename and the sync.
            files::sync_dir(dir)?;
        } else {
            // Only this one: where the log has vanished, nothing is to be made in its place.
            files::make_last_dir(dir)?;
            files::write_atomically(&path, &[bytes])?;
        }
        // The same goes for who made its directory.
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
    /// Removes what killed processes left half-written more than an hour ago. For the holder of
    /// the log, at its start; living workers may be writing their outputs meanwhile.
    pub fn remove_abandoned(&self) -> Result<(), Error> {
        self.each_dir(files::remove_abandoned)
    }

    /// The same however young it is. For when no worker lives.
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
