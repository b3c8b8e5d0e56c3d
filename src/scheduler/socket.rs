//! Accepting connections: frames to inputs, messages to frames.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::machine::{Connection, Input};
use crate::model::ids::Sequence;
use crate::protocol::{PREAMBLE_BYTES, Preamble, Role, SchedulerMessage, ToClient, decode, encode};
use crate::queue::log::SUBSCRIPTION_BYTES_MAX;
use crate::queue::{EventLog, subscribe};

/// Connections at once: a thousand workers and as many people looking on.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Messages that wait to be sent on one connection. A peer that does not read so many is gone or
/// stuck; it is cut off and comes back when it can.
const WAITING_MAX: usize = 1_024;

/// How long a new connection has to say who it is.
const PREAMBLE_MS: u64 = 10_000;

/// What is to be sent on a connection.
pub enum Outgoing {
    /// To a worker.
    Worker(Box<SchedulerMessage>),
    /// To a person's command.
    Client(Box<ToClient>),
    /// The log.
    Stream {
        /// From which event on.
        from: Sequence,
        /// Whether to go on after the head.
        follow: bool,
    },
}

/// Where to put what is to be sent on a connection; it is closed when this is dropped.
pub type Outbox = mpsc::Sender<Outgoing>;

/// A connection's events for the loop.
pub enum Arrival {
    /// A connection is open; what is to be sent goes into the outbox.
    Opened(Connection, Outbox, Input),
    /// Something was said or the connection was closed.
    Said(Input),
}

/// The listening socket, open to its user only, and removed when dropped.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    directory: File,
}

impl Listener {
    /// Listens at `path`. Who calls this holds the log, so that a socket that is there already
    /// belongs to nobody. Paths may be longer than a socket address: the directory is opened, and
    /// the socket is named through the open directory.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let directory = File::open(parent)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(short(&directory, path))?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            directory,
        })
    }

    /// Accepts connections for ever, each in a task of its own.
    pub async fn serve(&self, log: Arc<dyn EventLog>, inbox: mpsc::Sender<Arrival>) {
        let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
        let own = rustix::process::getuid().as_raw();
        let mut count = 0;
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others will close theirs.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let peer = stream.peer_cred().ok();
            let uid = peer.map(|peer| peer.uid());
            if uid != Some(own) && uid != Some(0) {
                tracing::warn!(?uid, "refused a connection from another user");
                continue;
            }
            count += 1;
            let pid = peer.and_then(|peer| peer.pid()).map(i32::unsigned_abs);
            let talk = talk(stream, Connection(count), pid, log.clone(), inbox.clone());
            tokio::spawn(async move {
                if let Err(error) = talk.await {
                    tracing::debug!(%error, "a connection ended");
                }
                drop(place);
            });
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A left-over file would do no harm; the next scheduler removes it.
        let _ = fs::remove_file(&self.path);
        let _ = self.directory.sync_all();
    }
}

fn short(directory: &File, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)
}

/// Connects to the socket at `path`, however long the path is.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let directory = File::open(path.parent().unwrap_or(Path::new(".")))?;
    UnixStream::connect(short(&directory, path)).await
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn talk(
    mut stream: UnixStream,
    connection: Connection,
    pid: Option<u32>,
    log: Arc<dyn EventLog>,
    inbox: mpsc::Sender<Arrival>,
) -> io::Result<()> {
    let role = Role::Scheduler;
    stream.write_all(&Preamble { role }.encode()).await?;
    let mut bytes = [0; PREAMBLE_BYTES];
    let limit = Duration::from_millis(PREAMBLE_MS);
    tokio::time::timeout(limit, stream.read_exact(&mut bytes)).await??;
    let role = Preamble::decode(bytes).map_err(invalid)?.role;
    let input = match role {
        Role::Worker => Input::Opened { connection, pid },
        Role::Client => Input::OpenedClient { connection },
        Role::Scheduler => return Err(invalid(crate::protocol::FrameError::NotCrewlog)),
    };
    let (outbox, waiting) = mpsc::channel(WAITING_MAX);
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let opened = Arrival::Opened(connection, outbox, input);
    inbox.send(opened).await.map_err(gone)?;
    let (reading, writing) = stream.into_split();
    let frames = FramedRead::new(reading, role.codec());
    let sink = FramedWrite::new(writing, role.codec());
    let result = tokio::select! {
        read = receive(role, connection, frames, &inbox) => read,
        written = send(role, waiting, sink, log) => written,
    };
    let closed = Arrival::Said(Input::Closed { connection });
    inbox.send(closed).await.map_err(gone)?;
    result
}

async fn receive(
    role: Role,
    connection: Connection,
    mut frames: FramedRead<tokio::net::unix::OwnedReadHalf, crate::protocol::Codec>,
    inbox: &mpsc::Sender<Arrival>,
) -> io::Result<()> {
    while let Some(frame) = frames.next().await {
        let frame = frame?;
        let input = match role {
            Role::Worker => Input::Worker {
                connection,
                message: Box::new(decode(role, &frame).map_err(invalid)?),
            },
            _ => Input::Client {
                connection,
                message: Box::new(decode(role, &frame).map_err(invalid)?),
            },
        };
        if inbox.send(Arrival::Said(input)).await.is_err() {
            break;
        }
    }
    Ok(())
}

type Sink = FramedWrite<tokio::net::unix::OwnedWriteHalf, crate::protocol::Codec>;

async fn send(
    role: Role,
    mut waiting: mpsc::Receiver<Outgoing>,
    mut sink: Sink,
    log: Arc<dyn EventLog>,
) -> io::Result<()> {
    let mut next = waiting.recv().await;
    while let Some(outgoing) = next {
        let frame = match outgoing {
            Outgoing::Worker(message) => encode(role, &*message),
            Outgoing::Client(message) => encode(role, &*message),
            Outgoing::Stream { from, follow } => {
                stream(role, &mut sink, log.clone(), from, follow).await?;
                next = waiting.recv().await;
                continue;
            }
        };
        sink.feed(Bytes::from(frame.map_err(invalid)?)).await?;
        // What waits already goes out in the same write.
        next = match waiting.try_recv() {
            Ok(more) => Some(more),
            Err(_) => {
                SinkExt::<Bytes>::flush(&mut sink).await?;
                waiting.recv().await
            }
        };
    }
    SinkExt::<Bytes>::flush(&mut sink).await
}

async fn stream(
    role: Role,
    sink: &mut Sink,
    log: Arc<dyn EventLog>,
    from: Sequence,
    follow: bool,
) -> io::Result<()> {
    let mut from = from.max(Sequence(1));
    let mut put = async |message: ToClient| -> io::Result<()> {
        let frame = encode(role, &message).map_err(invalid)?;
        sink.send(Bytes::from(frame)).await
    };
    loop {
        let chunk = log.read(from, SUBSCRIPTION_BYTES_MAX).map_err(invalid)?;
        if chunk.is_empty() {
            break;
        }
        from = chunk.next();
        let envelopes = raw(&chunk)?;
        put(ToClient::Events { envelopes }).await?;
    }
    let head = Sequence(from.0 - 1);
    put(ToClient::CaughtUp { head }).await?;
    if !follow {
        return Ok(());
    }
    let mut subscription = subscribe(log, from);
    loop {
        let chunk = subscription.next_batch().await.map_err(invalid)?;
        let envelopes = raw(&chunk)?;
        put(ToClient::Events { envelopes }).await?;
    }
}

fn raw(chunk: &crate::queue::Chunk) -> io::Result<Vec<Vec<u8>>> {
    let envelopes = chunk.envelopes();
    let bytes = envelopes.map(|envelope| envelope.map(|envelope| envelope.bytes.to_vec()));
    bytes.collect::<Result<_, _>>().map_err(invalid)
}
