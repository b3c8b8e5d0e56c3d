//! Runs a check or a hook to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use crate::agent::cage::Exceeded;

use crate::agent::mask::{Mask, Stream};

use super::{Output, ProcessError, Streams, Tree, TreeCommand};
use crate::stopwatch::Stopwatch;

/// The exit code that stands for "ended by its time limit", as in timeout(1).
const TIMED_OUT: i32 = 124;

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; a signal N is 128 + N, a time limit is 124.
    pub exit_code: i32,
    /// True when it was ended by its time limit.
    pub timed_out: bool,
    /// True if the caller cancelled it.
    pub cancelled: bool,
    /// How long it took, in milliseconds, without times in which this process was stopped.
    pub duration_ms: u64,
    /// Its output and errors in the order in which they were written, cut in the middle.
    pub output: String,
    /// Processes of it that could not be ended.
    pub left: usize,
    /// The limit of its cage that ended it.
    pub exceeded: Option<Exceeded>,
}

/// Why reading the output stopped.
enum Stop {
    End,
    TimeLimit,
    Cancelled,
}

/// Runs a command until it ends, its time limit is over, or `cancel` is called. Without input, and
/// with at most `output_limit_bytes` of its output kept. When this returns, the command and
/// everything that it started are dead.
///
/// # Errors
/// The program cannot be started.
pub async fn run_to_end(
    command: TreeCommand,
    limit: Duration,
    output_limit_bytes: usize,
    cancel: &CancellationToken,
) -> Result<Finished, ProcessError> {
    run_masked(command, limit, output_limit_bytes, Arc::default(), cancel).await
}

/// Like [`run_to_end`], with the secrets of `mask` removed from the output.
///
/// # Errors
/// The program cannot be started.
pub async fn run_masked(
    mut command: TreeCommand,
    limit: Duration,
    output_limit_bytes: usize,
    mask: Arc<Mask>,
    cancel: &CancellationToken,
) -> Result<Finished, ProcessError> {
    command.streams = Streams::Merged;
    // A stop of the whole machine, or of this process with all others, is not the program's fault.
    let watch = Stopwatch::start();
    let mut tree = Tree::spawn(command).await?;
    let mut output = Masked {
        output: Output::new(output_limit_bytes),
        stream: Stream::new(mask),
    };
    let mut pipe = tree.stdout.take();
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let deadline = watch.reaches(limit_ms);
    let stop = {
        let run = async {
            // The pipe ends when all writers are dead, which follows the end of the program.
            if let Some(pipe) = pipe.as_mut() {
                read_all(pipe, &mut output).await;
            }
            tree.wait().await;
        };
        tokio::select! {
            biased;
            () = run => Stop::End,
            () = cancel.cancelled() => Stop::Cancelled,
            () = deadline => Stop::TimeLimit,
        }
    };
    let ended = tree.kill().await;
    if !matches!(stop, Stop::End)
        && let Some(pipe) = pipe.as_mut()
    {
        // What was written before the end; bounded by the pipe's buffer, because all writers are
        // dead.
        let _ = tokio::time::timeout(Duration::from_secs(1), read_all(pipe, &mut output)).await;
    }
    Ok(Finished {
        exit_code: match stop {
            Stop::TimeLimit => TIMED_OUT,
            Stop::End | Stop::Cancelled => ended.exit_code,
        },
        timed_out: matches!(stop, Stop::TimeLimit),
        cancelled: matches!(stop, Stop::Cancelled),
        duration_ms: watch.ms(),
        output: output.text(),
        left: ended.left,
        exceeded: ended.exceeded,
    })
}

/// The kept output, without its secrets.
struct Masked {
    output: Output,
    stream: Stream,
}

impl Masked {
    fn push(&mut self, bytes: &[u8]) {
        self.output.push(&self.stream.push(bytes));
    }

    fn text(mut self) -> String {
        self.output.push(&self.stream.finish());
        self.output.text()
    }
}

/// Reads until all writers have ended.
async fn read_all(pipe: &mut tokio::net::unix::pipe::Receiver, output: &mut Masked) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read) = pipe.read(&mut bytes).await {
        if read == 0 {
            return;
        }
        output.push(bytes.get(..read).unwrap_or(&[]));
    }
}
