//! Speaking to a scheduler that runs.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::Framed;

use super::error::Error;
use super::failures::refused;
use crate::model::command::PersonCommand;
use crate::model::ids::{CommandId, Sequence};
use crate::protocol::{
    ClientMessage, Codec, HandshakeError, Role, StopMode, ToClient, connect, decode, encode,
    handshake,
};

/// How often a command looks again while a scheduler is starting or ending.
pub const TRIES: u32 = 20;

/// The wait between two looks.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// A scheduler that works answers a reader within milliseconds. After so long a reader shows what
/// is on the disk instead.
pub const READER_LIMIT: Duration = Duration::from_secs(2);

/// A command that changes something has nobody else to go to, and waits longer: the scheduler's
/// disk may be slow.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// What comes of calling the scheduler.
pub enum Call {
    /// It has answered.
    Answered(Box<Client>),
    /// Nobody listens.
    Nobody,
    /// Somebody has the socket and says nothing: it was stopped, or waits for its disk.
    Silent {
        /// Its process, where the kernel names it.
        pid: Option<u32>,
    },
}

/// A connection to the scheduler that runs.
pub struct Client {
    frames: Framed<UnixStream, Codec>,
    pid: Option<u32>,
}

/// A process, as people are told of it.
pub fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

fn silent(pid: Option<u32>) -> Error {
    let number = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    Error::new(
        super::exit::ExitCode::LogHeld,
        format!("the scheduler{} does not answer", process(pid)),
        format!(
            "it has said nothing for {} s; it is stopped (SIGSTOP), or its disk does not answer",
            COMMAND_LIMIT.as_secs()
        ),
        format!(
            "continue it with `kill -CONT {number}`, or end it with `kill -KILL {number}`: nothing acknowledged is lost"
        ),
    )
}

/// What failed when a scheduler ends in the middle of a conversation.
const LOST: &str = "lost the scheduler";

/// Whether a conversation broke off: whoever has the log now can be asked instead.
pub fn is_lost(error: &Error) -> bool {
    error.what == LOST
}

/// Whether a scheduler that is just ending had still taken the connection, and nobody listens.
fn nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::internal(
        LOST,
        why,
        "see with `scheduler status` whether the command was carried out",
    )
}

/// The scheduler's no to whoever speaks, and not to what was said.
pub fn turned_away(reason: &str) -> Error {
    let (why, next) = reason.split_once("; ").unwrap_or((reason, ""));
    Error::usage("the scheduler refused", why, next)
}

impl Client {
    /// Connects; `None` when no scheduler listens. Fails when one does and says nothing.
    pub async fn connect(path: &Path) -> Result<Option<Self>, Error> {
        match Self::call(path, COMMAND_LIMIT).await? {
            Call::Answered(client) => Ok(Some(*client)),
            Call::Nobody => Ok(None),
            Call::Silent { pid } => Err(silent(pid)),
        }
    }

    /// Connects, and waits so long for the scheduler's first word.
    pub async fn call(path: &Path, limit: Duration) -> Result<Call, Error> {
        let mut stream = match connect(path).await {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(Call::Nobody),
                    // More wait to be let in than the kernel has places for.
                    io::ErrorKind::WouldBlock => Ok(Call::Silent { pid: None }),
                    _ => Err(Error::internal(
                        "cannot reach the scheduler",
                        format!("{}: {error}", path.display()),
                        "check that the project is yours",
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
                return Err(Error::usage(
                    "cannot speak to the scheduler that runs",
                    error,
                    "",
                ));
            }
        }
        let frames = Framed::new(stream, role.codec());
        Ok(Call::Answered(Box::new(Self { frames, pid })))
    }

    /// The scheduler's process, where the kernel names it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The next message; [`None`] when it does not come within the limit. The connection is of no
    /// use then.
    pub async fn next_within(
        &mut self,
        limit: Duration,
    ) -> Option<Result<Option<ToClient>, Error>> {
        tokio::time::timeout(limit, self.next()).await.ok()
    }

    /// Says something.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), Error> {
        let frame = encode(Role::Client, message).map_err(broken)?;
        self.frames.send(Bytes::from(frame)).await.map_err(broken)
    }

    /// The next message; `None` when the scheduler has gone.
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
        answer.ok_or_else(|| broken("it ended before it answered"))
    }

    /// Has a command decided; its events are durable when this returns.
    pub async fn command(
        &mut self,
        id: CommandId,
        command: PersonCommand,
    ) -> Result<(Sequence, Sequence), Error> {
        self.send(&ClientMessage::Command { id, command }).await?;
        match self.answer().await? {
            ToClient::Accepted { first, last } => Ok((first, last)),
            ToClient::Rejected(rejection) => Err(refused(&rejection)),
            ToClient::Refused { reason } => Err(turned_away(&reason)),
            other => Err(broken(format!("it answered {other:?}"))),
        }
    }

    /// Asks the scheduler to end, and waits until it has when `wait`.
    pub async fn stop(&mut self, mode: StopMode, wait: bool) -> Result<(), Error> {
        self.send(&ClientMessage::Stop(mode)).await?;
        while wait && self.next().await.ok().flatten().is_some() {}
        Ok(())
    }
}
