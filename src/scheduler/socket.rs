//! Accepts connections; turns frames into inputs and messages into frames.

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
use crate::model::command::Problem;
use crate::model::ids::{AttemptId, CommitId, Sequence};
use crate::model::settings::WorkerKind;
use crate::protocol::{ClientMessage, Codec, Role, SchedulerMessage, ToClient, decode, handshake};
use crate::queue::EventLog;

/// Connections at the same time: a thousand workers, and as many readers.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Messages that wait on one connection. A peer that reads none of them has ended or hangs; it is
/// disconnected and may reconnect.
pub const WAITING_MAX: usize = 1_024;

/// Unanswered requests of one client. More are not read before it reads answers, so its own
/// requests cannot overflow its outbox.
const UNANSWERED_MAX: usize = WAITING_MAX / 2;

/// Time for a new connection to identify itself.
const PREAMBLE_MS: u64 = 10_000;

/// Time to send the last messages of a connection.
const LINGER_MS: u64 = 2_000;

/// A message to send on a connection.
pub enum Outgoing {
    /// A message to a worker.
    Worker(Box<SchedulerMessage>),
    /// An answer to a person's command.
    Client(Box<ToClient>),
    /// Send the log.
    Stream {
        /// First event to send.
        from: Sequence,
        /// Whether to continue after the head.
        follow: bool,
    },
}

/// The sending end of a connection. When it is dropped, its messages are sent and the connection
/// closes.
pub struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    cut: CancellationToken,
}

impl Outbox {
    /// Queues a message. False if the outbox is full, because the peer does not read.
    pub fn put(&self, outgoing: Outgoing) -> bool {
        self.queue.try_send(outgoing).is_ok()
    }

    /// Closes the connection at once, without sending what waits.
    pub fn cut(self) {
        self.cut.cancel();
    }

    /// Closes the connection when everything is sent, or after a time limit.
    pub fn close(self) {
        tokio::spawn(async move {
            drop(self.queue);
            tokio::time::sleep(Duration::from_millis(LINGER_MS)).await;
            self.cut.cancel();
        });
    }
}

/// An input for the loop, with what only the runtime keeps.
pub enum Arrival {
    /// A connection is open; answers go into the outbox.
    Opened(Connection, Outbox, Input),
    /// A plain input.
    Said(Input),
    /// Somebody inside this process asks, and waits for the answer.
    Asked(Actor, Box<ClientMessage>, oneshot::Sender<ToClient>),
    /// A worker was started; `kill` ends it by force.
    Child(WorkerKind, u32, Arc<Notify>),
    /// git could not move the branch for an attempt: where the branch is, if that is certain, and
    /// git's message.
    GitFailed(AttemptId, Option<CommitId>, crate::workspace::Error),
}

/// What all connections share, and how to end them.
#[derive(Clone)]
pub struct Door {
    log: Arc<dyn EventLog>,
    /// Prefix of the markers of the project's attempts.
    tree_prefix: Arc<str>,
    inbox: mpsc::Sender<Arrival>,
    talks: TaskTracker,
    closed: CancellationToken,
}

impl Door {
    /// Connections that feed the loop behind `inbox`.
    pub fn new(log: Arc<dyn EventLog>, tree_prefix: &str, inbox: mpsc::Sender<Arrival>) -> Self {
        Self {
            log,
            tree_prefix: tree_prefix.into(),
            inbox,
            talks: TaskTracker::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Waits, for a limited time, until connections with dropped outboxes have sent everything.
    pub async fn goodbye(&self) {
        self.talks.close();
        let limit = Duration::from_millis(LINGER_MS);
        // A peer that has not read its last message by now never will.
        let _ = tokio::time::timeout(limit, self.talks.wait()).await;
    }

    /// Ends every connection now. Returns when none holds the log any more.
    pub async fn close(&self) {
        self.closed.cancel();
        self.talks.close();
        self.talks.wait().await;
    }
}

/// The listening socket. Only its user can open it; it is removed when dropped.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    directory: File,
    /// Identifies its own socket among others of the same name.
    inode: AtomicU64,
}

/// How often it checks that the socket still has its name.
const LOOK_MS: u64 = 1_000;

impl Listener {
    /// Listens at `path`. The caller holds the log, so an existing socket belongs to no living
    /// scheduler. The path may be longer than a socket address: the socket is named through its
    /// open directory.
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

    /// Listens again if somebody deleted the socket. Another process's socket is left alone.
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

    /// Accepts connections until it is dropped, each in its own task.
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
                    // Probably out of file descriptors; other connections will close.
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
            // A left-over file does no harm; the next scheduler removes it.
            let _ = fs::remove_file(own);
        }
        let _ = self.directory.sync_all();
    }
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Listens at `path`, for its user only. Returns the socket's inode, too.
fn bind(directory: &File, path: &Path) -> io::Result<(UnixListener, u64)> {
    let short = short(directory, path);
    let listener = UnixListener::bind(&short)?;
    // A peer that connected before this is refused by its user id.
    fs::set_permissions(&short, Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&short)?.ino();
    Ok((listener, inode))
}

fn short(directory: &File, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)
}

/// Logs how a connection ended. A command may just close it; any other end deserves a warning.
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
    // Examined first, while the peer waits for the handshake.
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
            let problem = Problem::new(format!("cannot identify this process: {error}"), "");
            let refused = speaker.refuse(problem);
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
        let refused = speaker.refuse(Problem::new(reason.to_string(), ""));
        // It may be gone, or not listen to us either.
        let _ = tokio::time::timeout(limit, refused).await;
    }
    let closed = Arrival::Said(Input::Closed { connection });
    door.inbox.send(closed).await.map_err(gone)?;
    read
}

/// Passes on messages until the peer closes the connection or sends something invalid.
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
            // The peer has ended; there is nobody to answer.
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
                // The answer gives the permit back.
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
