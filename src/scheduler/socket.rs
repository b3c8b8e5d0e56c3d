//! Accepting connections: frames to inputs, messages to frames.

mod peer;
mod speak;

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::codec::{FramedRead, FramedWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use self::peer::Peer;
use self::speak::Speaker;
use super::machine::{Connection, Input};
use crate::model::actor::Actor;
use crate::model::ids::{AttemptId, CommitId, Sequence};
use crate::model::settings::WorkerKind;
use crate::protocol::{ClientMessage, Codec, Role, SchedulerMessage, ToClient, decode, handshake};
use crate::queue::EventLog;

/// Connections at once: a thousand workers and as many people looking on.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Messages that wait to be sent on one connection. A peer that does not read so many is gone or
/// stuck; it is cut off and comes back when it can.
pub const WAITING_MAX: usize = 1_024;

/// Wishes of one client that are not answered yet. No more are read from it before it has read
/// the answers, so that its outbox can never overflow by what it asked itself.
const UNANSWERED_MAX: usize = WAITING_MAX / 2;

/// How long a new connection has to say who it is.
const PREAMBLE_MS: u64 = 10_000;

/// How long the last messages of a connection may take to be sent.
const LINGER_MS: u64 = 2_000;

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

/// Where to put what is to be sent on a connection. When it is dropped, what it holds is sent,
/// and the connection is closed.
pub struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    cut: CancellationToken,
}

impl Outbox {
    /// Has something sent. False when too much waits already: the other side does not read.
    pub fn put(&self, outgoing: Outgoing) -> bool {
        self.queue.try_send(outgoing).is_ok()
    }

    /// Closes the connection at once; what waits is not sent.
    pub fn cut(self) {
        self.cut.cancel();
    }

    /// Closes the connection when all is sent, or after a while.
    pub fn close(self) {
        tokio::spawn(async move {
            drop(self.queue);
            tokio::time::sleep(Duration::from_millis(LINGER_MS)).await;
            self.cut.cancel();
        });
    }
}

/// Something for the loop.
pub enum Arrival {
    /// A connection is open; what is to be sent goes into the outbox.
    Opened(Connection, Outbox, Input),
    /// Something was said or has happened.
    Said(Input),
    /// Somebody inside this process asks, and waits for the answer.
    Asked(Actor, Box<ClientMessage>, oneshot::Sender<ToClient>),
    /// A worker was started; how to end it by force.
    Child(WorkerKind, u32, Arc<Notify>),
    /// git could not move the branch for an attempt; where the branch is, if it is known to stay
    /// there; and git's words.
    GitFailed(AttemptId, Option<CommitId>, crate::workspace::Error),
}

/// What every connection has in common, and how all of them are ended.
#[derive(Clone)]
pub struct Door {
    log: Arc<dyn EventLog>,
    /// What the markers of the project's attempts begin with.
    tree_prefix: Arc<str>,
    inbox: mpsc::Sender<Arrival>,
    talks: TaskTracker,
    closed: CancellationToken,
}

impl Door {
    /// A door to the loop that reads `inbox`.
    pub fn new(log: Arc<dyn EventLog>, tree_prefix: &str, inbox: mpsc::Sender<Arrival>) -> Self {
        Self {
            log,
            tree_prefix: tree_prefix.into(),
            inbox,
            talks: TaskTracker::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Waits until all is sent on connections whose outboxes are dropped; not for ever.
    pub async fn goodbye(&self) {
        self.talks.close();
        let limit = Duration::from_millis(LINGER_MS);
        // Whoever has not read its last message by now reads nothing.
        let _ = tokio::time::timeout(limit, self.talks.wait()).await;
    }

    /// Ends every connection now, and returns when none holds the log any more.
    pub async fn close(&self) {
        self.closed.cancel();
        self.talks.close();
        self.talks.wait().await;
    }
}

/// The listening socket, open to its user only, and removed when dropped.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    directory: File,
    /// By which its own socket is known from another one with the same name.
    inode: AtomicU64,
}

/// How often it is looked whether the socket still has its name.
const LOOK_MS: u64 = 1_000;

impl Listener {
    /// Listens at `path`. Who calls this holds the log, so that a socket that is there already
    /// belongs to nobody. Paths may be longer than a socket address: the directory is opened, and
    /// the socket is named through the open directory.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let directory = File::open(parent(path))?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (listener, inode) = bind(&directory, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            directory,
            inode: AtomicU64::new(inode),
        })
    }

    /// Listens anew where somebody has deleted the socket. One that is there and is not ours stays.
    fn restore(&self) -> Option<UnixListener> {
        match fs::symlink_metadata(short(&self.directory, &self.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return None,
        }
        match bind(&self.directory, &self.path) {
            Ok((listener, inode)) => {
                self.inode.store(inode, Ordering::Relaxed);
                tracing::warn!(path = %self.path.display(), "the socket was deleted and is restored");
                Some(listener)
            }
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "cannot restore the deleted socket");
                None
            }
        }
    }

    /// Accepts connections for ever, each in a task of its own.
    pub async fn serve(&self, door: &Door) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let own = rustix::process::getuid().as_raw();
        let mut count = 0;
        let mut restored = None;
        let mut looks = tokio::time::interval(Duration::from_millis(LOOK_MS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let listener = restored.as_ref().unwrap_or(&self.listener);
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = looks.tick() => {
                    restored = self.restore().or(restored);
                    continue;
                }
            };
            let stream = match accepted {
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
            let peer = Peer::of(&stream);
            let served = serve(stream, Connection(count), peer, door.clone());
            door.talks.spawn(
                async move {
                    if let Err(error) = served.await {
                        log_end(&error);
                    }
                    drop(place);
                }
                .in_current_span(),
            );
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let own = short(&self.directory, &self.path);
        let inode = fs::symlink_metadata(&own).map(|meta| meta.ino());
        if inode.is_ok_and(|inode| inode == self.inode.load(Ordering::Relaxed)) {
            // A left-over file would do no harm; the next scheduler removes it.
            let _ = fs::remove_file(own);
        }
        let _ = self.directory.sync_all();
    }
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Listens at `path`, for its user only; also the socket's inode.
fn bind(directory: &File, path: &Path) -> io::Result<(UnixListener, u64)> {
    let short = short(directory, path);
    let listener = UnixListener::bind(&short)?;
    // Whoever was faster than this is turned away by its user id.
    fs::set_permissions(&short, Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&short)?.ino();
    Ok((listener, inode))
}

fn short(directory: &File, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)
}

/// A command that has seen enough just goes; anything else is worth a line.
fn log_end(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::UnexpectedEof => tracing::debug!(%error, "a connection ended"),
        _ => tracing::warn!(%error, "a connection ended"),
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn serve(
    mut stream: UnixStream,
    connection: Connection,
    peer: Peer,
    door: Door,
) -> io::Result<()> {
    // Looked at before anything else, while whoever has connected waits for us.
    let prefix = door.tree_prefix.clone();
    let caller = tokio::task::spawn_blocking(move || peer.recognise(&prefix));
    let caller = caller.await.map_err(io::Error::other)?;
    let limit = Duration::from_millis(PREAMBLE_MS);
    let role = tokio::select! {
        role = handshake(&mut stream, Role::Scheduler, limit) => role?,
        () = door.closed.cancelled() => return Ok(()),
    };
    let (queue, mut waiting) = mpsc::channel(WAITING_MAX);
    let cut = door.closed.child_token();
    let (reading, writing) = stream.into_split();
    let frames = FramedRead::new(reading, role.codec());
    let mut sink = FramedWrite::new(writing, role.codec());
    let asking = Semaphore::new(UNANSWERED_MAX);
    let mut speaker = Speaker {
        role,
        sink: &mut sink,
        log: &door.log,
        asking: &asking,
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => {
            let refused = speaker.refuse(format!("cannot identify this process: {error}"));
            let limit = Duration::from_millis(LINGER_MS);
            return tokio::time::timeout(limit, refused).await?;
        }
    };
    let input = match role {
        Role::Worker => Input::Opened { connection, caller },
        _ => Input::OpenedClient { connection, caller },
    };
    let outbox = Outbox {
        queue,
        cut: cut.clone(),
    };
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let opened = Arrival::Opened(connection, outbox, input);
    door.inbox.send(opened).await.map_err(gone)?;
    let read = tokio::select! {
        read = receive(role, connection, frames, &door.inbox, &asking) => read,
        written = speaker.send(&mut waiting) => {
            if let Err(error) = written {
                tracing::debug!(%error, "cannot write to a connection");
            }
            Ok(())
        }
        () = cut.cancelled() => Ok(()),
    };
    if let Err(reason) = &read {
        let limit = Duration::from_millis(LINGER_MS);
        let refused = speaker.refuse(reason.to_string());
        // It may be gone, or not listen to us either.
        let _ = tokio::time::timeout(limit, refused).await;
    }
    let closed = Arrival::Said(Input::Closed { connection });
    door.inbox.send(closed).await.map_err(gone)?;
    read
}

/// Hands on what the other side says, until it closes the connection or cannot be understood.
async fn receive(
    role: Role,
    connection: Connection,
    mut frames: FramedRead<tokio::net::unix::OwnedReadHalf, Codec>,
    inbox: &mpsc::Sender<Arrival>,
    asking: &Semaphore,
) -> io::Result<()> {
    while let Some(frame) = frames.next().await {
        let frame = match frame {
            Ok(frame) => frame,
            // The peer is gone; nobody is left to be told.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => {
                let limit = role.frame_bytes_max();
                let why = format!(
                    "a message cannot be decoded ({error}); each is a length of at most {limit}, followed by as many bytes"
                );
                return Err(io::Error::new(error.kind(), why));
            }
        };
        let input = match role {
            Role::Worker => Input::Worker {
                connection,
                message: Box::new(decode(role, &frame).map_err(invalid)?),
            },
            _ => {
                // Given back with the answer.
                let place = asking.acquire().await.map_err(invalid)?;
                place.forget();
                Input::Client {
                    connection,
                    message: Box::new(decode(role, &frame).map_err(invalid)?),
                }
            }
        };
        if inbox.send(Arrival::Said(input)).await.is_err() {
            // The loop has ended; its last messages are still being sent.
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}
