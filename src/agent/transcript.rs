//! The raw record of a session: what went over the agent's pipes, before anybody understood it.
//! Losing it loses no work, so a failure to write is noted once and otherwise ignored.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// Which way a line went.
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

/// Writes JSON lines `{"t":ms,"stream":"out|in|err","line":"..."}`. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct Transcript {
    started: Instant,
    file: Arc<Mutex<Option<Bounded>>>,
}

#[derive(Debug)]
struct Bounded {
    file: File,
    room: u64,
}

impl Transcript {
    /// A long session of a talkative agent writes some ten MB; beyond this it is a loop.
    pub const BYTES_MAX: u64 = 256 * 1024 * 1024;

    /// Begins the file at `path`, anew, readable by this user only.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, bytes_max: u64) -> std::io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let room = bytes_max;
        Ok(Self::new(Some(Bounded { file, room })))
    }

    /// Writes nothing.
    pub fn none() -> Self {
        Self::new(None)
    }

    fn new(file: Option<Bounded>) -> Self {
        Self {
            started: Instant::now(),
            file: Arc::new(Mutex::new(file)),
        }
    }

    /// Records one line; bytes that are no UTF-8 are replaced.
    pub fn record(&self, stream: Direction, line: &[u8], cut: u64) {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bounded) = guard.as_mut() else {
            return;
        };
        let row = Row {
            t: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            stream,
            line: &String::from_utf8_lossy(line),
            cut,
        };
        // Strings and numbers always serialize.
        let mut text = serde_json::to_vec(&row).unwrap_or_default();
        text.push(b'\n');
        let length = text.len() as u64;
        if length > bounded.room {
            // What follows would be a record with holes; a short one is easier to trust.
            let note = b"{\"note\":\"the transcript is full; nothing more is recorded\"}\n";
            let _ = bounded.file.write_all(note);
            *guard = None;
        } else if let Err(error) = bounded.file.write_all(&text) {
            tracing::warn!(%error, "the transcript cannot be written; the session goes on without");
            *guard = None;
        } else {
            bounded.room -= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rows_until_the_file_is_full() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("transcript.jsonl");
        let transcript = Transcript::create(&path, 150).expect("file");
        transcript.record(Direction::Out, b"one \"quoted\" \xff", 0);
        transcript.clone().record(Direction::Err, b"two", 9);
        (0..9).for_each(|_| transcript.record(Direction::In, b"three", 0));
        let text = std::fs::read_to_string(&path).expect("text");
        let rows: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(rows[0]["stream"], "out");
        assert_eq!(rows[0]["line"], "one \"quoted\" \u{fffd}");
        assert_eq!(rows[1]["cut"], 9);
        let last = rows.last().expect("a last row");
        assert!(
            last["note"]
                .as_str()
                .is_some_and(|note| note.contains("full"))
        );
        assert_eq!(text.matches("note").count(), 1);
        assert!(text.len() < 150 + 80);
    }

    #[test]
    fn a_full_disk_is_no_failure() {
        let transcript = Transcript::create(Path::new("/dev/full"), 1_000).expect("opens");
        transcript.record(Direction::Out, b"lost", 0);
        transcript.record(Direction::Out, b"lost, too", 0);
    }
}
