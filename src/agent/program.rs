//! A session with a program that reads a prompt and writes lines: its process tree, its three streams
//! and its limits. What the lines mean is the [`Reader`]'s.

use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;

use super::driver::{AgentEvent, Session, SessionResult};
use super::lines::{Line, LineSplitter};
use super::process::{ProgramEnd, Tree, TreeCommand};
use super::stderr::{self, Complaints};
use super::transcript::Direction;
use super::watch::{Stop, Watch};
use crate::model::evidence::{FailureKind, SessionEnd};

/// All writers are dead, so their output is in the pipes; reading it takes no longer than this.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Turns a program's output into events and a result. Without I/O.
pub(super) trait Reader: Send {
    /// Longest line of the output, in bytes; what exceeds it is discarded.
    const LINE_BYTES_MAX: usize;

    /// What is told as soon as the program runs.
    fn begin(&mut self) -> Option<AgentEvent> {
        None
    }

    /// Takes one line of the standard output.
    fn line(&mut self, line: &Line) -> Vec<AgentEvent>;

    /// The result of a program that ended by itself; `complaint` is the last line of its standard
    /// error.
    fn end(&self, program: ProgramEnd, complaint: &str) -> SessionResult;

    /// The result of a program that was ended because it was silent for too long, if its output
    /// explains the silence: it had said how its turn ended, or that its provider makes it wait.
    fn silence(&self) -> Option<SessionResult> {
        None
    }

    /// The result of a program that we ended, completed with what its output says was used.
    fn stopped(&self, result: SessionResult) -> SessionResult {
        result
    }
}

/// Runs the program with the session's prompt as its standard input, until it ends or is stopped.
pub(super) async fn run<R: Reader>(
    session: &Session,
    command: TreeCommand,
    mut reader: R,
    events: mpsc::Sender<AgentEvent>,
) -> SessionResult {
    let watch = Watch::new(session.limits);
    let mut tree = match Tree::spawn(command).await {
        Ok(tree) => tree,
        Err(error) => return SessionResult::unstarted(&error),
    };
    let mut complaints = Complaints::default();
    let (stdin, stdout, errors) = (tree.stdin.take(), tree.stdout.take(), tree.stderr.take());
    let stop = {
        let streams = async {
            if let Some(begin) = reader.begin() {
                // A dropped receiver reads no more; the session continues.
                let _ = events.send(begin).await;
            }
            tokio::join!(
                feed(stdin, session),
                listen(stdout, session, &watch, &events, &mut reader),
                stderr::drain(errors, &session.transcript, &events, &mut complaints),
            );
        };
        let mut streams = std::pin::pin!(streams.fuse());
        let end = async {
            streams.as_mut().await;
            tree.wait().await;
        };
        let stop = tokio::select! {
            biased;
            () = end => None,
            stop = watch.stopped(&session.cancel) => Some(stop),
        };
        if stop.is_some() {
            tree.kill().await;
            let _ = tokio::time::timeout(DRAIN_LIMIT, streams).await;
        }
        stop
    };
    let ended = tree.wait().await;
    let mut result = match stop {
        Some(stop) => stopped(&reader, watch.result_of(stop)),
        // What follows a limit must not depend on which side is faster.
        None if watch.is_overstepped() => stopped(
            &reader,
            watch.result_of(Stop::Limit(FailureKind::StepLimit)),
        ),
        None => SessionResult {
            exit_code: Some(ended.end.code()),
            ..reader.end(ended.end, complaints.last())
        },
    };
    if let (None, Some(exceeded), true) =
        (stop, ended.exceeded, result.end != SessionEnd::Completed)
    {
        result.reason = format!("the agent was ended because {exceeded}");
    }
    result.complaints = complaints.into_text();
    result.left = ended.left;
    for event in result.last_events() {
        // A receiver that is too slow finds the same in the result.
        let _ = events.try_send(event);
    }
    result
}

/// The result of a program that we ended with this result.
fn stopped(reader: &impl Reader, result: SessionResult) -> SessionResult {
    if result.failure == Some(FailureKind::IdleLimit)
        && let Some(known) = reader.silence()
    {
        let reason = format!("{}; then {}", known.reason, result.reason);
        return SessionResult { reason, ..known };
    }
    reader.stopped(result)
}

/// What a program's output says: its events, and the session's result if the program ended in this
/// way by itself; `None` if it was ended for its silence.
pub(super) fn replay(
    mut reader: impl Reader,
    output: &[u8],
    end: Option<ProgramEnd>,
) -> (Vec<AgentEvent>, SessionResult) {
    fn splitter<R: Reader>(_: &R) -> LineSplitter {
        LineSplitter::new(R::LINE_BYTES_MAX)
    }
    let mut splitter = splitter(&reader);
    let mut events: Vec<AgentEvent> = reader.begin().into_iter().collect();
    let mut lines = splitter.push(output);
    lines.extend(splitter.finish());
    events.extend(lines.iter().flat_map(|line| reader.line(line)));
    let result = match end {
        Some(end) => reader.end(end, ""),
        None => stopped(
            &reader,
            SessionResult {
                failure: Some(FailureKind::IdleLimit),
                ..SessionResult::new(SessionEnd::Cancelled, "the agent was silent")
            },
        ),
    };
    (events, result)
}

/// The program's output ended without a terminal event. That is a failure however the program
/// ended; its end says which.
pub(super) fn without_terminal_event(program: ProgramEnd, complaint: &str) -> SessionResult {
    let colon = if complaint.is_empty() { "" } else { ": " };
    let (end, reason) = match program {
        ProgramEnd::Signalled(signal) => (
            SessionEnd::Crashed,
            format!("the agent was ended by signal {signal}{colon}{complaint}"),
        ),
        ProgramEnd::Exited(0) => (
            SessionEnd::NoTerminalEvent,
            format!("the agent's output ended before its turn did{colon}{complaint}"),
        ),
        ProgramEnd::Exited(code) => (
            SessionEnd::Crashed,
            format!("the agent exited with {code}{colon}{complaint}"),
        ),
    };
    SessionResult::new(end, reason)
}

/// Writes the prompt and closes the input: an agent may wait for its end. One that does not read
/// delays only this task, and one that closes its input has read enough.
async fn feed(stdin: Option<Sender>, session: &Session) {
    let Some(mut stdin) = stdin else {
        return;
    };
    let prompt = session.prompt.as_bytes();
    session.transcript.record(Direction::In, prompt, 0);
    let _ = stdin.write_all(prompt).await;
}

/// Reads the program's output until its end.
async fn listen<R: Reader>(
    stdout: Option<Receiver>,
    session: &Session,
    watch: &Watch,
    events: &mpsc::Sender<AgentEvent>,
    reader: &mut R,
) {
    let Some(mut stdout) = stdout else {
        return;
    };
    let mut splitter = LineSplitter::new(R::LINE_BYTES_MAX);
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = stdout.read(&mut bytes).await.unwrap_or(0);
        let lines: Vec<Line> = if read == 0 {
            splitter.finish().into_iter().collect()
        } else {
            watch.on_activity();
            splitter.push(bytes.get(..read).unwrap_or(&[]))
        };
        for line in lines {
            let transcript = &session.transcript;
            transcript.record(Direction::Out, &line.bytes, line.cut);
            for event in reader.line(&line) {
                if matches!(event, AgentEvent::ToolStart { .. }) {
                    watch.on_step();
                }
                let _ = events.send(event).await;
            }
        }
        if read == 0 {
            return;
        }
    }
}
