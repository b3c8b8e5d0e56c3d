//! What a program did to the disk, as the shim wrote it down.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One thing that happened. Files are named by the serial number that they had at the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Write {
        inode: u64,
        at: u64,
        bytes: Vec<u8>,
    },
    Length {
        inode: u64,
        length: u64,
    },
    Create {
        inode: u64,
        path: PathBuf,
    },
    MakeDir {
        inode: u64,
        path: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    /// `fsync` or `fdatasync`, of a file or a directory: what was written before is durable.
    Sync {
        inode: u64,
    },
    /// `sync_file_range`: promises nothing.
    Flush,
    Symlink {
        inode: u64,
        path: PathBuf,
        target: PathBuf,
    },
    /// Something that the program, or who spoke to it, told the world.
    Mark(String),
}

const MARK: u8 = 0;

/// Puts a mark at the end of a trace: what it says was said after everything before it.
pub fn mark(trace: &Path, text: &str) {
    let mut record = (text.len() as u32 + 5).to_le_bytes().to_vec();
    record.push(MARK);
    record.extend((text.len() as u32).to_le_bytes());
    record.extend(text.as_bytes());
    let mut file = File::options().append(true).create(true).open(trace);
    let file = file.as_mut().expect("the trace");
    file.write_all(&record).expect("a mark");
}

/// Reads a trace. A last record that is cut off, as a kill leaves it, did not happen.
pub fn read(trace: &Path) -> Vec<Record> {
    let bytes = fs::read(trace).expect("the trace");
    let mut fields = Fields(&bytes);
    let mut records = Vec::new();
    while let Some(body) = fields.text() {
        records.push(record(body).unwrap_or_else(|| panic!("a bad record: {body:?}")));
    }
    records
}

fn record(body: &[u8]) -> Option<Record> {
    let (kind, rest) = body.split_first()?;
    let mut fields = Fields(rest);
    Some(match kind {
        0 => Record::Mark(String::from_utf8(fields.text()?.to_vec()).ok()?),
        1 => Record::Write {
            inode: fields.number()?,
            at: fields.number()?,
            bytes: fields.text()?.to_vec(),
        },
        2 => Record::Length {
            inode: fields.number()?,
            length: fields.number()?,
        },
        3 => Record::Create {
            inode: fields.number()?,
            path: fields.path()?,
        },
        4 => Record::MakeDir {
            inode: fields.number()?,
            path: fields.path()?,
        },
        5 => Record::Link {
            from: fields.path()?,
            to: fields.path()?,
        },
        6 => Record::Rename {
            from: fields.path()?,
            to: fields.path()?,
        },
        7 => Record::Remove {
            path: fields.path()?,
        },
        8 => Record::Sync {
            inode: fields.number()?,
        },
        9 => Record::Flush,
        10 => Record::Symlink {
            inode: fields.number()?,
            path: fields.path()?,
            target: fields.path()?,
        },
        _ => return None,
    })
}

/// Reads numbers, and texts with their lengths before them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.take(length as usize)
    }

    fn path(&mut self) -> Option<PathBuf> {
        let text = String::from_utf8(self.text()?.to_vec()).ok()?;
        Some(text.into())
    }
}
