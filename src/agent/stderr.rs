//! An agent's standard error: into the transcript, and its last words kept for the reason.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::driver::one_line;
use super::lines::{Line, LineSplitter};
use super::transcript::{Direction, Transcript};

/// A line of complaint that is longer is cut.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Reads until the end; `last` holds the last line that says anything.
pub(super) async fn drain(
    reader: Option<impl AsyncRead + Unpin>,
    transcript: &Transcript,
    last: &mut String,
) {
    let Some(mut reader) = reader else {
        return;
    };
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
    let mut take = |line: Line| {
        transcript.record(Direction::Err, &line.bytes, line.cut);
        let text = one_line(&String::from_utf8_lossy(&line.bytes));
        if !text.is_empty() {
            *last = text;
        }
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
