//! Reads a record, even one that is being written or whose writer was killed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::Begins;
use super::files::Files;

/// A piece's first row is shorter; a longer one is invalid.
const BEGINS_BYTES_MAX: u64 = 256;

/// The rows of a record as JSON lines. If rows were left out, a row says how much.
pub struct Reader {
    /// The file that is read now.
    now: Box<dyn BufRead + Send>,
    /// The next pieces of the end.
    next: VecDeque<PathBuf>,
    /// Bytes of rows that were returned.
    told: u64,
    /// True before the first row of a piece of the end.
    begins: bool,
}

/// Opens the record `base`; `None` if there is none. Also returns the path of its first file.
///
/// # Errors
/// The disk refuses.
pub fn open(base: &Path) -> io::Result<Option<(Reader, PathBuf)>> {
    let files = Files::of(base);
    let head = files.piece(0);
    let (first, path): (Box<dyn BufRead + Send>, PathBuf) = match File::open(&head) {
        Ok(file) => (decoder(file)?, head),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let plain = files.uncompressed();
            match File::open(&plain) {
                Ok(file) => (Box::new(BufReader::new(file)), plain),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    let next = files.tail()?.into_iter().map(|piece| files.piece(piece));
    let reader = Reader {
        now: first,
        next: next.collect(),
        told: 0,
        begins: false,
    };
    Ok(Some((reader, path)))
}

fn decoder(file: File) -> io::Result<Box<dyn BufRead + Send>> {
    let decoder = zstd::stream::read::Decoder::new(file)?;
    Ok(Box::new(BufReader::new(Whole(decoder))))
}

/// A stream whose end was not written (its writer runs, or was killed) just ends.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.0.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

impl Reader {
    /// The next row without its end, at most `bytes_max` bytes of it; `None` at the end.
    ///
    /// # Errors
    /// The disk refuses, or the file is damaged.
    pub fn row(&mut self, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.begins {
                self.begins = false;
                if let Some(note) = self.beginning()? {
                    return Ok(Some(note));
                }
            }
            let mut row = Vec::new();
            let mut limited = (&mut self.now).take(bytes_max);
            if limited.read_until(b'\n', &mut row)? > 0 {
                self.told += row.len() as u64;
                row.pop_if(|last| *last == b'\n');
                return Ok(Some(row));
            }
            let Some(path) = self.next.pop_front() else {
                return Ok(None);
            };
            match File::open(&path) {
                Ok(file) => {
                    self.now = decoder(file)?;
                    self.begins = true;
                }
                // Its writer has continued since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the first row of a piece; returns a note instead if something is left out before it.
    fn beginning(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut row = Vec::new();
        let mut limited = (&mut self.now).take(BEGINS_BYTES_MAX);
        limited.read_until(b'\n', &mut row)?;
        let Ok(begins) = serde_json::from_slice::<Begins>(&row) else {
            return Ok(None);
        };
        let left_out = begins.after_bytes.saturating_sub(self.told);
        self.told = begins.after_bytes;
        if left_out == 0 {
            return Ok(None);
        }
        let limit = begins.limit_bytes;
        let note = format!(
            "{left_out} bytes of the session are left out here; `workers.transcript_limit` is {limit} bytes"
        );
        Ok(Some(
            serde_json::json!({ "note": note }).to_string().into_bytes(),
        ))
    }
}
