//! The raw record of a session: what went over the agent's pipes, before it is parsed. Losing it
//! loses no work, so a failure to write is logged once and otherwise ignored.
//!
//! ```text
//! 12.jsonl.zst          the beginning, a quarter of the limit at most
//! 12.tail-7.jsonl.zst   the end, in pieces of an eighth each: the oldest gives way to the newest
//! 12.tail-8.jsonl.zst
//! 12.jsonl              uncompressed, as older versions wrote it; still read
//! ```
//!
//! Each file is one zstd stream that is flushed a moment after something was written, so that a
//! killed worker loses only the last moment, and a session can be read while it continues.

mod files;
mod read;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::mask::{Lines, Mask};
use crate::model::clip::clip;
use files::Files;
pub use files::attempt_of;
pub use read::{Reader, open};

/// Longest time that rows wait in memory before they can be read from the file. Shorter costs
/// compression: every flush ends a block.
const FLUSH_AFTER: Duration = Duration::from_millis(200);

/// The beginning gets a quarter of the limit, and each piece of the end an eighth; six of them are
/// kept. The end says what went wrong, the beginning what was asked.
const HEAD_SHARE: u64 = 4;
const PIECE_SHARE: u64 = 8;
const PIECES_KEPT: u64 = 6;

/// zstd's own default: some 200 MB/s, and a tenth of the size of what agents write.
const LEVEL: i32 = 3;

/// The direction of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Written by the agent to its standard output.
    Out,
    /// Written by us to the agent's standard input.
    In,
    /// Written by the agent to its standard error.
    Err,
}

/// One line of the file.
#[derive(Serialize)]
struct Row<'a> {
    /// Milliseconds since the session began.
    t: u64,
    stream: Direction,
    line: &'a str,
    /// Bytes that were cut off the line.
    #[serde(skip_serializing_if = "is_zero")]
    cut: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The first row of a piece of the end: what came before it, whether it is kept or not.
#[derive(Serialize, Deserialize)]
struct Begins {
    /// Bytes of rows before this piece, uncompressed.
    after_bytes: u64,
    /// The limit in force.
    limit_bytes: u64,
}

/// Writes JSON lines `{"t":ms,"stream":"out|in|err","line":"..."}`, compressed and bounded. Clones
/// write to the same files; dropping the last one finishes them.
#[derive(Clone, Debug)]
pub struct Transcript {
    started: Instant,
    /// `None` writes nothing.
    handle: Option<Arc<Handle>>,
}

#[derive(Debug)]
struct Handle(Arc<Core>);

#[derive(Debug)]
struct Core {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` after a failure and after the end.
    writer: Option<Writer>,
    /// Something was written that cannot be read from the file yet.
    dirty: bool,
    /// One for each direction, because a key's lines may be mixed with another stream's.
    masks: [Lines<Arc<Mask>>; 3],
}

struct Writer {
    files: Files,
    /// In bytes of rows, uncompressed.
    limit: u64,
    /// Number of the piece: 0 is the beginning.
    piece: u64,
    /// Bytes of rows in this piece, and in those before it.
    written: u64,
    before: u64,
    stream: zstd::stream::write::Encoder<'static, File>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("piece", &self.piece)
            .finish()
    }
}

impl Transcript {
    /// The default limit, in bytes before compression: a long session of a talkative agent writes
    /// some ten million; beyond this it is a loop.
    pub const BYTES_MAX: u64 = 64 * 1024 * 1024;
    /// A smaller limit would cut single messages of an agent to pieces.
    pub const BYTES_MIN: u64 = 64 * 1024;

    /// Starts the record `base` (a path without an extension) anew, readable by this user only.
    /// Keeps at most `bytes_max` bytes of it, counted before compression, but at least
    /// [`Self::BYTES_MIN`].
    ///
    /// # Errors
    /// The files cannot be created, or older ones of this name not be removed.
    pub fn create(base: &Path, bytes_max: u64) -> std::io::Result<Self> {
        let files = Files::of(base);
        files.remove()?;
        let stream = encoder(&files.piece(0))?;
        let writer = Writer {
            files,
            limit: bytes_max.max(Self::BYTES_MIN),
            piece: 0,
            written: 0,
            before: 0,
            stream,
        };
        let core = Arc::new(Core {
            state: Mutex::new(State {
                writer: Some(writer),
                dirty: false,
                masks: masks(Arc::default()),
            }),
            changed: Condvar::new(),
        });
        let flusher = Arc::clone(&core);
        std::thread::Builder::new()
            .name("transcript".to_owned())
            .spawn(move || flusher.keep_flushing())?;
        Ok(Self {
            started: Instant::now(),
            handle: Some(Arc::new(Handle(core))),
        })
    }

    /// The same record without these secrets, from now on. Everything in the form of a key is
    /// masked in any case.
    #[must_use]
    pub fn masked(self, mask: Arc<Mask>) -> Self {
        if let Some(handle) = &self.handle {
            handle.0.lock().masks = masks(mask);
        }
        self
    }

    /// A transcript that writes nothing.
    pub fn none() -> Self {
        Self {
            started: Instant::now(),
            handle: None,
        }
    }

    /// Records one line; bytes that are not UTF-8 are replaced.
    pub fn record(&self, stream: Direction, line: &[u8], cut: u64) {
        let Some(handle) = &self.handle else {
            return;
        };
        let t = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        handle.0.write(t, stream, line, cut);
    }

    /// Writes one row of another kind, which is masked already, and at most an eighth of the limit
    /// long.
    pub(super) fn write(&self, row: &impl Serialize) {
        let Some(handle) = &self.handle else {
            return;
        };
        // Strings and numbers always serialize.
        let mut text = serde_json::to_vec(row).unwrap_or_default();
        text.push(b'\n');
        handle.0.append(|writer| writer.bytes(&text));
    }
}

fn masks(mask: Arc<Mask>) -> [Lines<Arc<Mask>>; 3] {
    std::array::from_fn(|_| Lines::of(Arc::clone(&mask)))
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, t: u64, stream: Direction, line: &[u8], cut: u64) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.writer.is_none() {
            return;
        }
        let [out, to_agent, err] = &mut state.masks;
        let masks = match stream {
            Direction::Out => out,
            Direction::In => to_agent,
            Direction::Err => err,
        };
        // A prompt has many lines.
        let masked: Vec<u8> = line
            .split_inclusive(|byte| *byte == b'\n')
            .flat_map(|line| masks.line(line).into_owned())
            .collect();
        drop(guard);
        self.append(|writer| {
            writer.row(&Row {
                t,
                stream,
                line: &String::from_utf8_lossy(&masked),
                cut,
            })
        });
    }

    fn append(&self, write: impl FnOnce(&mut Writer) -> std::io::Result<()>) {
        let mut state = self.lock();
        let Some(writer) = state.writer.as_mut() else {
            return;
        };
        let written = write(writer);
        let failed = state.failed(written);
        let was_dirty = std::mem::replace(&mut state.dirty, true);
        if failed || !was_dirty {
            self.changed.notify_all();
        }
    }

    /// Runs on a thread of its own until the record ends: agents think for minutes, and their
    /// earlier output must not wait in memory for that long.
    fn keep_flushing(&self) {
        let mut state = self.lock();
        while state.writer.is_some() {
            if !state.dirty {
                state = self.wait(state, None);
                continue;
            }
            // A moment for more to arrive. Waking earlier does no harm.
            state = self.wait(state, Some(FLUSH_AFTER));
            state.dirty = false;
            if let Some(writer) = state.writer.as_mut() {
                let flushed = writer.stream.flush();
                state.failed(flushed);
            }
        }
    }

    fn wait<'s>(
        &self,
        state: MutexGuard<'s, State>,
        limit: Option<Duration>,
    ) -> MutexGuard<'s, State> {
        match limit {
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.changed.wait_timeout(state, limit);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl State {
    /// Logs a failure to write, once; true if there was one.
    fn failed(&mut self, result: std::io::Result<()>) -> bool {
        let Err(error) = result else {
            return false;
        };
        tracing::warn!(%error, "cannot write the transcript; the session continues without it");
        self.writer = None;
        true
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if let Some(writer) = state.writer.take() {
            let ended = writer.stream.finish().map(drop);
            state.failed(ended);
        }
        self.0.changed.notify_all();
    }
}

impl Writer {
    fn row(&mut self, row: &Row<'_>) -> std::io::Result<()> {
        let mut text = line(row);
        let piece_max = (self.limit / PIECE_SHARE).max(1);
        if text.len() as u64 > piece_max {
            // JSON takes at most six bytes for one.
            let most = usize::try_from(piece_max / 8).unwrap_or(usize::MAX);
            let kept = clip(row.line, most);
            text = line(&Row {
                line: kept,
                cut: row.cut + (row.line.len() - kept.len()) as u64,
                ..*row
            });
        }
        self.bytes(&text)
    }

    /// Writes a whole row, in the next piece if this one is full.
    fn bytes(&mut self, text: &[u8]) -> std::io::Result<()> {
        let room = match self.piece {
            0 => self.limit / HEAD_SHARE,
            _ => (self.limit / PIECE_SHARE).max(1),
        };
        if self.written + text.len() as u64 > room {
            self.next_piece()?;
        }
        self.written += text.len() as u64;
        self.stream.write_all(text)
    }

    /// Ends this piece and begins the next one. Removes the oldest piece of the end first, so that
    /// there are never more than the limit allows.
    fn next_piece(&mut self) -> std::io::Result<()> {
        self.before += self.written;
        self.written = 0;
        self.piece += 1;
        if let Some(oldest) = self.piece.checked_sub(PIECES_KEPT).filter(|one| *one > 0) {
            self.files.remove_piece(oldest)?;
        }
        let next = encoder(&self.files.piece(self.piece))?;
        std::mem::replace(&mut self.stream, next).finish()?;
        let begins = Begins {
            after_bytes: self.before,
            limit_bytes: self.limit,
        };
        let mut text = serde_json::to_vec(&begins)?;
        text.push(b'\n');
        self.stream.write_all(&text)
    }
}

/// Strings and numbers always serialize.
fn line(row: &Row<'_>) -> Vec<u8> {
    let mut text = serde_json::to_vec(row).unwrap_or_default();
    text.push(b'\n');
    text
}

fn encoder(path: &Path) -> std::io::Result<zstd::stream::write::Encoder<'static, File>> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    zstd::stream::write::Encoder::new(file, LEVEL)
}

#[cfg(test)]
mod tests;
