//! The connection to the scheduler: a unix socket, preambles, and frames both ways. Neither reading
//! nor writing ever delays the worker.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::protocol::{self, FrameError, HandshakeError, Role, SchedulerMessage, WorkerMessage};

/// Time limit of the preambles. A listening scheduler answers at once.
const PREAMBLE_LIMIT: Duration = Duration::from_secs(10);

/// Outgoing messages that wait. A worker sends a handful for each attempt; progress is dropped
/// rather than waited for.
const OUTBOX_MAX: usize = 32;

/// Incoming messages that wait.
const INBOX_MAX: usize = 32;

/// There is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nobody listens, or the path is wrong.
    #[error("cannot connect to {path:?}: {source}")]
    Connect {
        /// Path of the file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The other side does not speak this protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other side has closed it.
    #[error("the scheduler closed the connection")]
    Closed,
    /// The other side does not read or write.
    #[error("the scheduler does not {0}")]
    Stuck(&'static str),
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    outbox: Option<mpsc::Sender<Vec<u8>>>,
    inbox: mpsc::Receiver<Result<SchedulerMessage, ConnectionError>>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Connection {
    /// Connects, and exchanges preambles.
    ///
    /// # Errors
    /// Nobody listens there, or the other side does not speak this protocol.
    pub async fn open(path: &Path) -> Result<Self, ConnectionError> {
        let mut stream =
            protocol::connect(path)
                .await
                .map_err(|source| ConnectionError::Connect {
                    path: path.to_owned(),
                    source,
                })?;
        match protocol::handshake(&mut stream, Role::Worker, PREAMBLE_LIMIT).await {
            Ok(_) => {}
            Err(HandshakeError::Broken(error)) => return Err(error.into()),
            Err(HandshakeError::Frame(error)) => return Err(error.into()),
            Err(HandshakeError::Silent) => return Err(ConnectionError::Stuck("answer")),
        }
        Ok(Self::over(stream))
    }

    fn over(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        let mut frames = FramedRead::new(read, Role::Worker.codec());
        let mut sink = FramedWrite::new(write, Role::Worker.codec());
        let (outbox, mut outgoing) = mpsc::channel::<Vec<u8>>(OUTBOX_MAX);
        let (incoming, inbox) = mpsc::channel(INBOX_MAX);
        let reader = tokio::spawn(async move {
            loop {
                let message = match frames.next().await {
                    None => Err(ConnectionError::Closed),
                    Some(Err(error)) => Err(error.into()),
                    Some(Ok(frame)) => {
                        protocol::decode(Role::Worker, &frame).map_err(ConnectionError::from)
                    }
                };
                let over = message.is_err();
                if incoming.send(message).await.is_err() || over {
                    return;
                }
            }
        });
        let writer = tokio::spawn(async move {
            while let Some(body) = outgoing.recv().await {
                // The reader notices a broken stream, too, and reports it.
                if sink.send(Bytes::from(body)).await.is_err() {
                    return;
                }
            }
        });
        Self {
            outbox: Some(outbox),
            inbox,
            reader,
            writer,
        }
    }

    /// The next message. May be dropped and called again.
    pub async fn receive(&mut self) -> Result<SchedulerMessage, ConnectionError> {
        let received = self.inbox.recv().await;
        received.unwrap_or(Err(ConnectionError::Closed))
    }

    /// Queues a message. Progress is dropped if the queue is full.
    ///
    /// # Errors
    /// It is too long, or the scheduler has not read for so long that it counts as disconnected.
    pub fn send(&self, message: &WorkerMessage) -> Result<(), ConnectionError> {
        let body = protocol::encode(Role::Worker, message)?;
        let Some(outbox) = &self.outbox else {
            return Err(ConnectionError::Closed);
        };
        match outbox.try_send(body) {
            Ok(()) => Ok(()),
            Err(_) if matches!(message, WorkerMessage::Progress { .. }) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ConnectionError::Stuck("read")),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ConnectionError::Closed),
        }
    }

    /// Waits until everything queued is written, at most for `limit`.
    pub async fn flush(&mut self, limit: Duration) {
        self.outbox = None;
        // Nobody reads what cannot be written in this time.
        let _ = tokio::time::timeout(limit, &mut self.writer).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}
