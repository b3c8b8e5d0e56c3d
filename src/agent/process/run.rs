//! Running a check or a hook to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use crate::agent::cage::Exceeded;

use crate::agent::mask::{Mask, Stream};

use super::{Output, ProcessError, Streams, Tree, TreeCommand};
use crate::stopwatch::Stopwatch;

/// The exit code that stands for "ended by its time limit", as timeout(1) has it.
const TIMED_OUT: i32 = 124;

/// How a command went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; a signal N is 128 + N, a time limit is 124.
    pub exit_code: i32,
    /// True when it was ended by its time limit.
    pub timed_out: bool,
    /// True when it was ended because the caller did not want it any more.
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

/// Why the reading of the output stopped.
enum Stop {
    End,
    TimeLimit,
    Cancelled,
}

/// Runs a command until it ends, its limit is over, or `cancel` is called. Without input, and
/// with at most `output_limit_bytes` of its output kept. When this returns, the command and all
/// that it started are dead.
///
/// # Errors
/// When the program cannot be started.
pub async fn run_to_end(
    command: TreeCommand,
    limit: Duration,
    output_limit_bytes: usize,
    cancel: &CancellationToken,
) -> Result<Finished, ProcessError> {
    run_masked(command, limit, output_limit_bytes, Arc::default(), cancel).await
}

/// The same; secrets of `mask` are in no part of the output that is kept.
///
/// # Errors
/// When the program cannot be started.
pub async fn run_masked(
    mut command: TreeCommand,
    limit: Duration,
    output_limit_bytes: usize,
    mask: Arc<Mask>,
    cancel: &CancellationToken,
) -> Result<Finished, ProcessError> {
    command.streams = Streams::Merged;
    // What stops the whole machine, or this process with all others, is no fault of the program's.
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
            // The pipe ends when all writers are dead, which the end of the program brings about.
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
        // What was written before the end; bounded by the pipe's buffer, as all writers are dead.
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

/// What is kept of an output, without its secrets.
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

/// Reads until all writers are gone.
async fn read_all(pipe: &mut tokio::net::unix::pipe::Receiver, output: &mut Masked) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read) = pipe.read(&mut bytes).await {
        if read == 0 {
            return;
        }
        output.push(bytes.get(..read).unwrap_or(&[]));
    }
}
