//! Between the agent's pipes and the protocol crate. Every message goes to the transcript first,
//! notifications become events, and invalid lines never reach the crate, which would answer them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_client_protocol::Error;
use futures::{Sink, Stream};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::updates::Updates;
use crate::agent::driver::{AgentEvent, SessionResult, one_line};
use crate::agent::lines::{Line, LineSplitter};
use crate::agent::transcript::{Direction, Transcript};
use crate::agent::watch::Watch;

/// A message may contain a whole file, twice in a diff.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests of the agent that wait for our answer. The crate's queues have no limit of their own,
/// so beyond this the agent is not read until it has taken an answer. Agents ask for a handful of
/// permissions at a time.
const REQUESTS_MAX: usize = 64;

/// State that both directions share.
#[derive(Debug)]
pub(super) struct AcpTransport {
    transcript: Transcript,
    watch: Arc<Watch>,
    events: mpsc::Sender<AgentEvent>,
    updates: Mutex<Updates>,
    /// The agent tells what happened in an earlier session.
    deaf: AtomicBool,
    requests: Semaphore,
    /// One permit for each running file operation. The operation keeps it, because it outlives the
    /// conversation that asked for it.
    files: Arc<Semaphore>,
}

impl AcpTransport {
    pub(super) fn new(
        transcript: Transcript,
        watch: Arc<Watch>,
        events: mpsc::Sender<AgentEvent>,
    ) -> Arc<Self> {
        Arc::new(Self {
            transcript,
            watch,
            events,
            updates: Mutex::default(),
            deaf: AtomicBool::new(false),
            requests: Semaphore::new(REQUESTS_MAX),
            files: Arc::new(Semaphore::new(REQUESTS_MAX)),
        })
    }

    /// Runs a file operation on a thread that may block.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.files).acquire_owned().await;
        let permit = permit.map_err(Error::into_internal_error)?;
        let run = move || {
            let result = operation();
            drop(permit);
            result
        };
        let done = tokio::task::spawn_blocking(run).await;
        done.map_err(Error::into_internal_error)
    }

    /// Waits until no file operation runs, and lets none begin: the worktree is about to be
    /// committed and checked.
    pub(super) async fn files_settled(&self) {
        // Only this closes it, and a second call finds it closed.
        if let Ok(all) = self.files.acquire_many(REQUESTS_MAX as u32).await {
            self.files.close();
            drop(all);
        }
    }

    /// Whether updates are left out.
    pub(super) fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Relaxed);
    }

    /// What the session's updates have reported so far.
    pub(super) fn updates(&self) -> MutexGuard<'_, Updates> {
        self.updates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A dropped receiver reads no more; the session continues.
    pub(super) async fn emit(&self, event: AgentEvent) {
        if matches!(event, AgentEvent::ToolStart { .. }) {
            self.watch.on_step();
        }
        let _ = self.events.send(event).await;
    }

    /// The last events of a session. A receiver that is too slow for them finds the same in the
    /// result: the end of a session waits for no receiver.
    pub(super) fn close(&self, result: &SessionResult) {
        for event in result.last_events() {
            let _ = self.events.try_send(event);
        }
    }

    /// Takes one line from the agent; returns it if it is for the crate.
    async fn take(&self, line: Line) -> Option<String> {
        if line.bytes.is_empty() && line.cut == 0 {
            return None;
        }
        self.transcript
            .record(Direction::Out, &line.bytes, line.cut);
        let text = String::from_utf8_lossy(&line.bytes);
        let message = match serde_json::from_str::<Value>(&text) {
            Ok(message @ Value::Object(_)) if line.cut == 0 => message,
            _ => {
                let text = one_line(&text);
                self.emit(AgentEvent::Raw { text }).await;
                return None;
            }
        };
        let method = message.get("method").and_then(Value::as_str);
        let id = message.get("id").filter(|id| !id.is_null());
        match (method, id) {
            (Some("session/update"), None) if self.deaf.load(Ordering::Relaxed) => None,
            (Some("session/update"), None) => {
                let params = message.get("params").unwrap_or(&Value::Null);
                let events = self.updates().on_update(params);
                for event in events {
                    self.emit(event).await;
                }
                None
            }
            // The crate handles it: one of the agent's own requests is cancelled.
            (Some("$/cancel_request"), None) | (None, Some(_)) => Some(text.into_owned()),
            (Some(_), Some(_)) => {
                // The matching release is in `outgoing`; the semaphore is never closed.
                if let Ok(permit) = self.requests.acquire().await {
                    permit.forget();
                }
                Some(text.into_owned())
            }
            (Some(_) | None, None) => {
                let text = one_line(&text);
                self.emit(AgentEvent::Raw { text }).await;
                None
            }
        }
    }
}

/// The agent's messages that are for the crate.
pub(super) fn incoming(
    reader: impl AsyncRead + Unpin + Send + 'static,
    transport: Arc<AcpTransport>,
) -> impl Stream<Item = std::io::Result<String>> + Send + 'static {
    struct State<R> {
        reader: R,
        splitter: LineSplitter,
        lines: VecDeque<Line>,
        bytes: Vec<u8>,
        ended: bool,
        transport: Arc<AcpTransport>,
    }
    let state = State {
        reader,
        splitter: LineSplitter::new(MESSAGE_BYTES_MAX),
        lines: VecDeque::new(),
        bytes: vec![0; 64 * 1024],
        ended: false,
        transport,
    };
    futures::stream::unfold(state, |mut state| async move {
        loop {
            while let Some(line) = state.lines.pop_front() {
                if let Some(message) = state.transport.take(line).await {
                    return Some((Ok(message), state));
                }
            }
            if state.ended {
                return None;
            }
            // A pipe that cannot be read any more has ended.
            let read = state.reader.read(&mut state.bytes).await.unwrap_or(0);
            if read == 0 {
                state.ended = true;
                state.lines.extend(state.splitter.finish());
            } else {
                state.transport.watch.on_activity();
                let bytes = state.bytes.get(..read).unwrap_or(&[]);
                state.lines.extend(state.splitter.push(bytes));
            }
        }
    })
}

/// Our messages to the agent. If nobody reads the pipe any more, they are dropped: the end of the
/// agent's output says what that means.
pub(super) fn outgoing(
    writer: impl AsyncWrite + Unpin + Send + 'static,
    transport: Arc<AcpTransport>,
) -> impl Sink<String, Error = std::io::Error> + Send + 'static {
    futures::sink::unfold(
        (writer, transport),
        |(mut writer, transport), message: String| async move {
            transport
                .transcript
                .record(Direction::In, message.as_bytes(), 0);
            let mut line = message.into_bytes();
            line.push(b'\n');
            let written = match writer.write_all(&line).await {
                Ok(()) => writer.flush().await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                tracing::debug!(%error, "the agent does not read any more");
            }
            let message = serde_json::from_slice::<Value>(&line).unwrap_or_default();
            let answer = message.get("method").is_none();
            if answer && transport.requests.available_permits() < REQUESTS_MAX {
                transport.requests.add_permits(1);
            }
            Ok((writer, transport))
        },
    )
}
