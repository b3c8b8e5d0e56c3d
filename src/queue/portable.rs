//! A whole log as one file that any later version and any other engine can import, and that proves
//! that it is complete. It is the way out of sled.
//!
//! Little endian:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic, `CREWPORT` |
//! | 4 | layout, 1 |
//! | | then for each event |
//! | 1 | 1 |
//! | 4 | length of the envelope, n |
//! | n | the envelope, as in [`super::encoding`] |
//! | 4 | length of its long body, m; 0 when the body is in the envelope |
//! | m | the long body |
//! | | and at the end |
//! | 1 | 0 |
//! | 8 | number of events |
//! | 32 | hash of the last event |
//! | 32 | SHA-256 of everything before |
//!
//! Outputs of checks are not in it: they are evidence, not work, and copied as files.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::content::{self, Contents};
use super::encoding::{self, ChainHash, Envelope};
use super::log::{EventLog, Head};
use super::{Error, OpenOptions, SledLog, directory, pack};
use crate::model::ids::{ContentHash, Epoch};

const MAGIC: [u8; 8] = *b"CREWPORT";
const LAYOUT: u32 = 1;
const EVENT: u8 = 1;
const END: u8 = 0;
/// Bytes of envelopes that are read or appended at once: some thousand events share a sync.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes all of `log` up to its present head, and returns that head. Flushes `to`; the caller
/// syncs it.
pub fn write_portable(log: &dyn EventLog, to: impl Write) -> Result<Head, Error> {
    let end = log.head();
    let mut out = Portable::begin(to)?;
    while out.head.sequence < end.sequence {
        let chunk = log.read(out.head.sequence.next(), CHUNK_BYTES)?;
        for envelope in chunk.envelopes() {
            let sequence = out.head.sequence.next();
            let envelope = envelope.map_err(|source| Error::Decode { sequence, source })?;
            out.add(&envelope, log.contents())?;
            if out.head.sequence == end.sequence {
                break;
            }
        }
        if chunk.is_empty() {
            let (sequence, why) = (out.head.sequence.next(), "it is missing".to_owned());
            return Err(Error::NotNext { sequence, why });
        }
    }
    out.end()
}

/// Writes a portable log from events that come from elsewhere.
pub struct Portable<W: Write> {
    out: Hashed<BufWriter<W>>,
    head: Head,
}

impl<W: Write> Portable<W> {
    /// Begins a file.
    pub fn begin(to: W) -> Result<Self, Error> {
        let mut out = Hashed {
            inner: BufWriter::new(to),
            hasher: Sha256::new(),
        };
        out.write_all(&MAGIC).map_err(cannot_write)?;
        out.write_all(&LAYOUT.to_le_bytes()).map_err(cannot_write)?;
        let head = Head::default();
        Ok(Self { out, head })
    }

    /// Adds the next event, which must follow the one before it.
    pub fn add(&mut self, envelope: &Envelope<'_>, contents: &dyn Contents) -> Result<(), Error> {
        let head = pack::follow(self.head, envelope)?;
        let long = envelope.content().map(|hash| contents.get(&hash));
        let long = long.transpose()?.unwrap_or_default();
        write_event(&mut self.out, envelope.bytes, &long).map_err(cannot_write)?;
        self.head = head;
        Ok(())
    }

    /// Writes the end, flushes, and returns the last event's position and hash.
    pub fn end(self) -> Result<Head, Error> {
        let head = self.head;
        write_end(self.out, head).map_err(cannot_write)?;
        Ok(head)
    }
}

fn cannot_write(error: io::Error) -> Error {
    Error::io("write", Path::new("the portable log"))(error)
}

fn write_event(out: &mut impl Write, envelope: &[u8], long: &[u8]) -> io::Result<()> {
    // Both are at most a little over 1 MiB: the log does not hold longer ones.
    out.write_all(&[EVENT])?;
    out.write_all(&(envelope.len() as u32).to_le_bytes())?;
    out.write_all(envelope)?;
    out.write_all(&(long.len() as u32).to_le_bytes())?;
    out.write_all(long)
}

fn write_end<W: Write>(mut out: Hashed<W>, head: Head) -> io::Result<()> {
    out.write_all(&[END])?;
    out.write_all(&head.sequence.0.to_le_bytes())?;
    out.write_all(&head.hash.0)?;
    let hash = out.hasher.finalize();
    out.inner.write_all(&hash)?;
    out.inner.flush()
}

/// Passes bytes on and hashes them.
struct Hashed<T> {
    inner: T,
    hasher: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Appends a portable log to `log`, which must be empty and led with `epoch`. Checks the whole file
/// before it appends the first event, and then reads it again. Afterwards the log has the same
/// events with the same hashes.
pub fn read_portable(
    mut from: impl Read + Seek,
    log: &dyn EventLog,
    epoch: Epoch,
) -> Result<Head, Error> {
    if log.head() != Head::default() {
        return Err(Error::Import(
            "the log that must receive it is not empty".to_owned(),
        ));
    }
    let start = from
        .stream_position()
        .map_err(|error| Error::Import(error.to_string()))?;
    let checked = walk(&mut from, |_, _| Ok(()))?;
    from.seek(SeekFrom::Start(start))
        .map_err(|error| Error::Import(error.to_string()))?;

    let mut pending = Vec::with_capacity(CHUNK_BYTES);
    walk(&mut from, |envelope, long| {
        if !long.is_empty() {
            log.contents().put(long)?;
        }
        if pending.len() + envelope.len() > CHUNK_BYTES {
            log.append_copied(&pending, log.head().sequence, epoch)?;
            pending.clear();
        }
        pending.extend_from_slice(envelope);
        Ok(())
    })?;
    let head = log.append_copied(&pending, log.head().sequence, epoch)?;
    if head != checked {
        return Err(Error::Import(
            "the file changed while it was being read".to_owned(),
        ));
    }
    Ok(head)
}

/// Creates the log in `dir` from a portable one. `dir` must have no log, or one without events. The
/// new log is created beside it and renamed, so afterwards it is complete or does not exist.
pub fn import(from: impl Read + Seek, dir: &Path, options: &OpenOptions) -> Result<Head, Error> {
    if directory::exists(dir) {
        let there = SledLog::open(dir, options)?;
        if there.head() != Head::default() {
            let why = "this project already has a log with events".to_owned();
            return Err(Error::Import(why));
        }
        there.close()?;
    }
    let unfinished = directory::begin(dir)?;
    let log = SledLog::open(&unfinished, options)?;
    let epoch = log.lead()?;
    let read = read_portable(from, &log, epoch).and_then(|head| log.close().map(|()| head));
    match read {
        Ok(head) => directory::install(dir).map(|()| head),
        Err(error) => {
            directory::give_up(dir)?;
            Err(error)
        }
    }
}

/// Reads and checks a whole portable log, and passes each event's envelope and long body to
/// `event`.
fn walk(
    from: &mut impl Read,
    mut event: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<Head, Error> {
    let mut reader = Reader {
        inner: io::BufReader::new(from),
        hasher: Sha256::new(),
    };
    if reader.array()? != MAGIC {
        return Err(Error::Import(
            "the file is not a portable log of Crewlog".to_owned(),
        ));
    }
    let layout = u32::from_le_bytes(reader.array()?);
    if layout != LAYOUT {
        let why = format!(
            "it has layout {layout}, but this build reads {LAYOUT}: use a newer version of Crewlog"
        );
        return Err(Error::Import(why));
    }
    let mut head = Head::default();
    let (mut bytes, mut long) = (Vec::new(), Vec::new());
    loop {
        match reader.array()? {
            [EVENT] => {}
            [END] => break,
            [other] => {
                return Err(Error::Import(format!(
                    "{other} where an event should start"
                )));
            }
        }
        let longest = encoding::HEADER_BYTES
            + encoding::ACTOR_FIELD_BYTES_MAX
            + encoding::BODY_BYTES_MAX
            + encoding::CRC_BYTES;
        reader.field(&mut bytes, longest)?;
        reader.field(&mut long, encoding::BODY_BYTES_MAX)?;
        head = check_event(head, &bytes, &long)?;
        event(&bytes, &long)?;
    }
    reader.end(head)
}

fn check_event(head: Head, bytes: &[u8], long: &[u8]) -> Result<Head, Error> {
    let sequence = head.sequence.next();
    let wrong = |why: String| Error::Import(format!("event {sequence}: {why}"));
    let envelope = encoding::decode(bytes).map_err(|why| wrong(why.to_string()))?;
    if envelope.bytes.len() != bytes.len() {
        return Err(wrong("unexpected bytes follow it".to_owned()));
    }
    pack::check_value(bytes).map_err(|why| wrong(why.to_string()))?;
    let body = match envelope.content() {
        None if long.is_empty() => envelope.body,
        Some(hash) if hash == content::hash(long) => long,
        _ => return Err(wrong("its long body belongs to another event".to_owned())),
    };
    envelope
        .recorded_with(body)
        .map_err(|why| wrong(why.to_string()))?;
    pack::follow(head, &envelope).map_err(|why| wrong(why.to_string()))
}

struct Reader<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Reader<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(broken)?;
        self.hasher.update(bytes);
        Ok(bytes)
    }

    /// A length and that many bytes. Memory grows with the bytes that arrive, not with the length.
    fn field(&mut self, into: &mut Vec<u8>, bytes_max: usize) -> Result<(), Error> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        if length > bytes_max {
            let why = format!("a field of {length} bytes exceeds the limit of {bytes_max}");
            return Err(Error::Import(why));
        }
        into.clear();
        let mut limited = self.inner.by_ref().take(length as u64);
        let read = limited.read_to_end(into).map_err(broken)?;
        if read < length {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        self.hasher.update(&into);
        Ok(())
    }

    fn end(mut self, head: Head) -> Result<Head, Error> {
        let count = u64::from_le_bytes(self.array()?);
        let hash = ChainHash(self.array()?);
        if (count, hash) != (head.sequence.0, head.hash) {
            return Err(Error::Import("its end belongs to another log".to_owned()));
        }
        let computed = ContentHash(self.hasher.clone().finalize().into());
        if ContentHash(self.array()?) != computed {
            return Err(Error::Import("its bytes were altered".to_owned()));
        }
        match self.inner.read(&mut [0]) {
            Ok(0) => Ok(head),
            Ok(_) => Err(Error::Import("unexpected bytes follow its end".to_owned())),
            Err(error) => Err(broken(error)),
        }
    }
}

fn broken(error: io::Error) -> Error {
    Error::Import(match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is truncated".to_owned(),
        _ => format!("it cannot be read: {error}"),
    })
}
