//! An agent's standard error: recorded in the transcript, with its last lines kept for the reason.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::driver::{AgentEvent, one_line};
use super::lines::{Line, LineSplitter};
use super::transcript::{Direction, Transcript};

/// A longer line is cut.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Number of last lines that are kept: a runtime's report of an uncaught error, with its stack, is
/// no longer.
const LINES_MAX: usize = 60;

/// The last lines of an agent's standard error, each cut to a length that a person reads. Empty
/// lines are left out.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    lines: VecDeque<String>,
}

impl Complaints {
    /// The line as it is kept; `None` for an empty one.
    fn note(&mut self, bytes: &[u8]) -> Option<String> {
        let text = one_line(&String::from_utf8_lossy(bytes));
        if text.is_empty() {
            return None;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(text.clone());
        Some(text)
    }

    /// The last line; empty if there is none.
    pub(super) fn last(&self) -> &str {
        self.lines.back().map_or("", String::as_str)
    }

    /// All kept lines.
    pub(super) fn into_text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}

/// Reads until the end, and tells every line.
pub(super) async fn drain(
    reader: Option<impl AsyncRead + Unpin>,
    transcript: &Transcript,
    events: &mpsc::Sender<AgentEvent>,
    complaints: &mut Complaints,
) {
    let Some(mut reader) = reader else {
        return;
    };
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
    let mut bytes = [0; 16 * 1024];
    loop {
        let read = reader.read(&mut bytes).await.unwrap_or(0);
        let lines: Vec<Line> = match read {
            0 => splitter.finish().into_iter().collect(),
            read => splitter.push(bytes.get(..read).unwrap_or(&[])),
        };
        for line in lines {
            transcript.record(Direction::Err, &line.bytes, line.cut);
            if let Some(line) = complaints.note(&line.bytes) {
                // A dropped receiver reads no more; the session continues.
                let _ = events.send(AgentEvent::Complaint { line }).await;
            }
        }
        if read == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_no_more() {
        let mut text = String::new();
        for number in 0..100 {
            text.push_str(&format!("line {number}\n\n"));
        }
        text.push_str("no end");
        let mut complaints = Complaints::default();
        let (sender, mut receiver) = mpsc::channel(200);
        let read = Some(text.as_bytes());
        drain(read, &Transcript::none(), &sender, &mut complaints).await;
        assert_eq!(receiver.len(), 101);
        let line = "line 0".to_owned();
        assert_eq!(receiver.recv().await, Some(AgentEvent::Complaint { line }));
        assert_eq!(complaints.last(), "no end");
        let text = complaints.into_text();
        assert!(text.starts_with("line 41\n"), "{text}");
        assert_eq!(text.lines().count(), LINES_MAX);
    }
}
