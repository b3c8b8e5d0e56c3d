//! An agent's standard error: recorded in the transcript, with its last lines kept for the reason.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::driver::one_line;
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
    fn note(&mut self, bytes: &[u8]) {
        let text = one_line(&String::from_utf8_lossy(bytes));
        if text.is_empty() {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(text);
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

/// Reads until the end.
pub(super) async fn drain(
    reader: Option<impl AsyncRead + Unpin>,
    transcript: &Transcript,
    complaints: &mut Complaints,
) {
    let Some(mut reader) = reader else {
        return;
    };
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
    let mut take = |line: Line| {
        transcript.record(Direction::Err, &line.bytes, line.cut);
        complaints.note(&line.bytes);
    };
    let mut bytes = [0; 16 * 1024];
    while let Ok(read) = reader.read(&mut bytes).await {
        if read == 0 {
            break;
        }
        splitter
            .push(bytes.get(..read).unwrap_or(&[]))
            .into_iter()
            .for_each(&mut take);
    }
    splitter.finish().into_iter().for_each(take);
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
        drain(Some(text.as_bytes()), &Transcript::none(), &mut complaints).await;
        assert_eq!(complaints.last(), "no end");
        let text = complaints.into_text();
        assert!(text.starts_with("line 41\n"), "{text}");
        assert_eq!(text.lines().count(), LINES_MAX);
    }
}
