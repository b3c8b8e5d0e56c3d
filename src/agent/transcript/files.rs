//! The files of one record, and their names.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The names of a record's files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    base: PathBuf,
}

impl Files {
    pub(super) fn of(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
        }
    }

    fn with(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(&self.base);
        name.push(ending);
        PathBuf::from(name)
    }

    /// The file of older versions.
    pub(super) fn uncompressed(&self) -> PathBuf {
        self.with(".jsonl")
    }

    /// A piece's file; the beginning is piece 0.
    pub(super) fn piece(&self, piece: u64) -> PathBuf {
        match piece {
            0 => self.with(".jsonl.zst"),
            piece => self.with(&format!(".tail-{piece}.jsonl.zst")),
        }
    }

    /// The existing pieces of the end, oldest first.
    pub(super) fn tail(&self) -> io::Result<Vec<u64>> {
        let dir = self.base.parent().unwrap_or(Path::new("."));
        let name = self.base.file_name().unwrap_or_default();
        let mut pieces = Vec::new();
        for entry in fs::read_dir(dir)? {
            let found = entry?.file_name();
            let (Some(found), Some(name)) = (found.to_str(), name.to_str()) else {
                continue;
            };
            let rest = found.strip_prefix(name);
            let number = rest
                .and_then(|rest| rest.strip_prefix(".tail-"))
                .and_then(|rest| rest.strip_suffix(".jsonl.zst"));
            pieces.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        pieces.sort_unstable();
        Ok(pieces)
    }

    pub(super) fn remove_piece(&self, piece: u64) -> io::Result<()> {
        gone(fs::remove_file(self.piece(piece)))
    }

    /// Removes all files of the record.
    pub(super) fn remove(&self) -> io::Result<()> {
        for piece in self.tail()? {
            self.remove_piece(piece)?;
        }
        self.remove_piece(0)?;
        gone(fs::remove_file(self.uncompressed()))
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The number of the attempt whose record this file belongs to.
pub fn attempt_of(file: &Path) -> Option<u64> {
    let name = file.file_name()?.to_str()?;
    let (number, ending) = name.split_once('.')?;
    let ours = ending == "jsonl" || ending.ends_with("jsonl.zst");
    number.parse().ok().filter(|_| ours)
}
