//! Client of a running scheduler's socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::Framed;

use super::error::Error;
use crate::model::command::{PersonCommand, Rejection};
use crate::model::ids::{CommandId, Sequence};
use crate::protocol::{
    ClientMessage, Codec, HandshakeError, Role, StopMode, ToClient, connect, decode, encode,
    handshake,
};

/// How often a command tries to connect while a scheduler is starting or ending.
pub const TRIES: u32 = 20;

/// Waits between two tries.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// How long a reader waits for the scheduler before it shows what is on the disk. A healthy scheduler
/// answers within milliseconds.
pub const READER_LIMIT: Duration = Duration::from_secs(2);

/// How long a command that changes something waits for the scheduler. It is longer than for readers
/// because only the scheduler can carry it out, and its disk may be slow.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// The result of connecting to the scheduler.
pub enum Call {
    /// The scheduler answered.
    Answered(Box<Client>),
    /// No scheduler listens.
    Nobody,
    /// The scheduler accepted the connection but does not answer: it is stopped, or waits for its disk.
    Silent {
        /// The scheduler's process, if the kernel reports it.
        pid: Option<u32>,
    },
}

/// A connection to the running scheduler.
pub struct Client {
    frames: Framed<UnixStream, Codec>,
    pid: Option<u32>,
}

/// ` (pid 123)`, or nothing if the process is not known.
pub fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

fn silent(pid: Option<u32>) -> Error {
    let number = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    Error::new(
        super::exit::ExitCode::LogHeld,
        format!("the scheduler{} does not answer", process(pid)),
        format!(
            "it did not answer for {} s; it is stopped (SIGSTOP), or its disk does not respond",
            COMMAND_LIMIT.as_secs()
        ),
        format!(
            "continue it with `kill -CONT {number}`, or end it with `kill -KILL {number}`; nothing acknowledged is lost"
        ),
    )
}

/// `what` of the error when the connection breaks before the answer.
const LOST: &str = "the connection to the scheduler was lost";

/// Whether the connection broke. Another process may hold the log by now and can be asked instead.
pub fn is_lost(error: &Error) -> bool {
    error.what == LOST
}

/// Whether an ending scheduler accepted the connection but no longer listens.
fn nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::internal(
        LOST,
        why,
        "check with `scheduler status` whether the command took effect",
    )
}

/// The scheduler refused this client, for any request.
pub fn turned_away(reason: &str) -> Error {
    let (why, next) = reason.split_once("; ").unwrap_or((reason, ""));
    Error::usage("the scheduler refused", why, next)
}

impl Client {
    /// Connects. `None` when no scheduler listens; an error when one does not answer.
    pub async fn connect(path: &Path) -> Result<Option<Self>, Error> {
        match Self::call(path, COMMAND_LIMIT).await? {
            Call::Answered(client) => Ok(Some(*client)),
            Call::Nobody => Ok(None),
            Call::Silent { pid } => Err(silent(pid)),
        }
    }

    /// Connects, and waits at most `limit` for the scheduler's preamble.
    pub async fn call(path: &Path, limit: Duration) -> Result<Call, Error> {
        let mut stream = match connect(path).await {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(Call::Nobody),
                    // The kernel's queue of waiting connections is full.
                    io::ErrorKind::WouldBlock => Ok(Call::Silent { pid: None }),
                    _ => Err(Error::internal(
                        "cannot reach the scheduler",
                        format!("{}: {error}", path.display()),
                        "make sure that you can access the project's files",
                    )),
                };
            }
        };
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let pid = pid.map(i32::unsigned_abs);
        let role = Role::Client;
        match handshake(&mut stream, role, limit).await {
            Ok(_) => {}
            Err(HandshakeError::Silent) => return Ok(Call::Silent { pid }),
            Err(HandshakeError::Broken(error)) if nobody(&error) => return Ok(Call::Nobody),
            Err(HandshakeError::Broken(error)) => return Err(broken(error)),
            Err(HandshakeError::Frame(error)) => {
                let next = "use the same version of Crewlog for both";
                return Err(Error::usage(
                    "cannot talk to the running scheduler",
                    error,
                    next,
                ));
            }
        }
        let frames = Framed::new(stream, role.codec());
        Ok(Call::Answered(Box::new(Self { frames, pid })))
    }

    /// The scheduler's process, if the kernel reports it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The next message; [`None`] if it does not come within the limit. The connection must not be
    /// used after that.
    pub async fn next_within(
        &mut self,
        limit: Duration,
    ) -> Option<Result<Option<ToClient>, Error>> {
        tokio::time::timeout(limit, self.next()).await.ok()
    }

    /// Sends one message.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), Error> {
        let frame = encode(Role::Client, message).map_err(broken)?;
        self.frames.send(Bytes::from(frame)).await.map_err(broken)
    }

    /// The next message; `None` when the scheduler has disconnected.
    pub async fn next(&mut self) -> Result<Option<ToClient>, Error> {
        let Some(frame) = self.frames.next().await else {
            return Ok(None);
        };
        let frame = frame.map_err(broken)?;
        let message = decode(Role::Client, &frame).map_err(broken)?;
        Ok(Some(message))
    }

    async fn answer(&mut self) -> Result<ToClient, Error> {
        let answer = self.next().await?;
        answer.ok_or_else(|| broken("the scheduler ended before it answered"))
    }

    /// Sends a command. Its events are durable when this returns.
    pub async fn command(
        &mut self,
        id: CommandId,
        command: PersonCommand,
    ) -> Result<Result<(Sequence, Sequence), Rejection>, Error> {
        self.send(&ClientMessage::Command { id, command }).await?;
        match self.answer().await? {
            ToClient::Accepted { first, last } => Ok(Ok((first, last))),
            ToClient::Rejected(rejection) => Ok(Err(rejection)),
            ToClient::Refused { reason } => Err(turned_away(&reason)),
            other => Err(broken(format!("unexpected answer {other:?}"))),
        }
    }

    /// Asks the scheduler to end; with `wait`, returns after it has ended.
    pub async fn stop(&mut self, mode: StopMode, wait: bool) -> Result<(), Error> {
        self.send(&ClientMessage::Stop(mode)).await?;
        while wait && self.next().await.ok().flatten().is_some() {}
        Ok(())
    }
}
