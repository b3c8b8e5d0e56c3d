//! Runs a check or a hook to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use crate::agent::cage::Exceeded;

use crate::agent::mask::{Mask, Stream};

use super::{Output, ProcessError, Streams, Tree, TreeCommand};
use crate::model::evidence::CheckEnd;
use crate::stopwatch::Stopwatch;

/// What a shell exits with after a command that SIGKILL has ended.
const SHELL_KILLED: i32 = 128 + libc::SIGKILL;

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub end: CheckEnd,
    /// True when SIGKILL ended it or a part of it, for all that can be known, and not its time limit.
    pub killed: bool,
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
    let kills_before = kernel_kills();
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
    let end = match stop {
        Stop::TimeLimit => CheckEnd::TimedOut,
        Stop::End | Stop::Cancelled => ended.end.into(),
    };
    Ok(Finished {
        end,
        killed: was_killed(end, kills_before, kernel_kills),
        cancelled: matches!(stop, Stop::Cancelled),
        duration_ms: watch.ms(),
        output: output.text(),
        left: ended.left,
        exceeded: ended.exceeded,
    })
}

/// Whether SIGKILL ended the program or a part of it, for all that can be known.
///
/// Of the program itself (`sh`), the kernel says so. A command of the shell's is not ours to wait
/// for: after one that was killed, the shell exits with 137 by itself. So does a shell that is told
/// `exit 137`, and a container whose own memory limit was reached. Only if the kernel has killed some
/// process meanwhile because memory ran out is 137 taken for that; otherwise it is a code like any
/// other. The count is of the whole machine and not of this tree, whose processes the kernel no
/// longer knows when it is asked. A cage that ends a tree ends the shell as well.
fn was_killed(
    end: CheckEnd,
    kills_before: Option<u64>,
    kills: impl FnOnce() -> Option<u64>,
) -> bool {
    match end {
        CheckEnd::Signalled(signal) => signal == libc::SIGKILL,
        CheckEnd::Exited(SHELL_KILLED) => kills_before
            .zip(kills())
            .is_some_and(|(before, now)| before < now),
        CheckEnd::Exited(_) | CheckEnd::TimedOut => false,
    }
}

/// Processes that the kernel has killed since the machine's start because memory, the machine's or
/// that of a control group, ran out. [`None`] if it does not say, which kernels before 4.13 do not.
fn kernel_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_s_137_is_a_kill_only_if_the_kernel_has_killed_somebody() {
        let table = [
            (CheckEnd::Signalled(9), None, None, true),
            (CheckEnd::Signalled(15), Some(1), Some(2), false),
            (CheckEnd::Exited(137), Some(1), Some(2), true),
            (CheckEnd::Exited(137), Some(2), Some(2), false),
            (CheckEnd::Exited(137), None, None, false),
            (CheckEnd::Exited(137), None, Some(2), false),
            (CheckEnd::Exited(1), Some(1), Some(2), false),
            (CheckEnd::TimedOut, Some(1), Some(2), false),
        ];
        for (end, before, now, killed) in table {
            assert_eq!(
                was_killed(end, before, || now),
                killed,
                "{end:?} {before:?} {now:?}"
            );
        }
    }
}
