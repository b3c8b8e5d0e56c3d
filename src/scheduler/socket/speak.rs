//! The sending side of a connection.

use std::io;
use std::sync::Arc;

use futures::SinkExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::bytes::Bytes;
use tokio_util::codec::FramedWrite;

use super::{Outgoing, invalid};
use crate::model::command::Problem;
use crate::model::ids::Sequence;
use crate::protocol::{Codec, Role, SchedulerMessage, ToClient, encode};
use crate::queue::log::SUBSCRIPTION_BYTES_MAX;
use crate::queue::{self, Chunk, EventLog, subscribe};

/// Sends messages on a connection.
pub(super) struct Speaker<'a> {
    /// What the peer says it is.
    pub role: Role,
    /// The connection's writing half.
    pub sink: &'a mut FramedWrite<OwnedWriteHalf, Codec>,
    /// The log that streams are read from.
    pub log: &'a Arc<dyn EventLog>,
    /// Permits of unanswered requests; each answer gives one back.
    pub asking: &'a Semaphore,
}

impl Speaker<'_> {
    /// Sends the outbox's messages until it is dropped and empty.
    pub async fn send(&mut self, waiting: &mut mpsc::Receiver<Outgoing>) -> io::Result<()> {
        let mut next = waiting.recv().await;
        while let Some(outgoing) = next {
            if let Outgoing::Stream { from, follow } = outgoing {
                next = match self.stream(waiting, from, follow).await {
                    Err(Failed::Log(error)) => {
                        tracing::error!(%error, "cannot read the log");
                        return self.refuse(Problem::new(error.to_string(), "")).await;
                    }
                    Err(Failed::Connection(error)) => return Err(error),
                    Ok(next) => next,
                };
                continue;
            }
            self.answer(outgoing).await?;
            // Messages that already wait go out in the same write.
            next = match waiting.try_recv() {
                Ok(more) => Some(more),
                Err(_) => {
                    self.flush().await?;
                    waiting.recv().await
                }
            };
        }
        self.flush().await
    }

    /// The last thing that is said on a connection.
    pub async fn refuse(&mut self, problem: Problem) -> io::Result<()> {
        let refused = match self.role {
            Role::Worker => Outgoing::Worker(Box::new(SchedulerMessage::Refused(problem))),
            _ => Outgoing::Client(Box::new(ToClient::Refused(problem))),
        };
        self.feed(refused).await?;
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        SinkExt::<Bytes>::flush(self.sink).await
    }

    /// Sends a message from the loop. A client gets one for each of its requests.
    async fn answer(&mut self, outgoing: Outgoing) -> io::Result<()> {
        self.feed(outgoing).await?;
        self.asking.add_permits(1);
        Ok(())
    }

    async fn feed(&mut self, outgoing: Outgoing) -> io::Result<()> {
        let frame = match outgoing {
            Outgoing::Worker(message) => encode(self.role, &*message),
            Outgoing::Client(message) => encode(self.role, &*message),
            Outgoing::Stream { .. } => return Ok(()),
        };
        let frame = frame.map_err(|error| {
            tracing::error!(%error, "cannot send a message");
            invalid(error)
        })?;
        self.sink.feed(Bytes::from(frame)).await
    }

    /// Sends the log. Returns the next message, or `None` if the outbox is closed; a follower then
    /// has everything up to the log's end.
    async fn stream(
        &mut self,
        waiting: &mut mpsc::Receiver<Outgoing>,
        from: Sequence,
        follow: bool,
    ) -> Result<Option<Outgoing>, Failed> {
        let from = self.catch_up(from.max(Sequence(1))).await?;
        let head = Sequence(from.0 - 1).min(self.log.head().sequence);
        let caught_up = ToClient::CaughtUp { head };
        self.answer(Outgoing::Client(Box::new(caught_up))).await?;
        self.flush().await?;
        if !follow {
            return Ok(waiting.recv().await);
        }
        let mut subscription = subscribe(self.log.clone(), from);
        loop {
            tokio::select! {
                chunk = subscription.next_batch() => self.events(&chunk?).await?,
                said = waiting.recv() => match said {
                    // Answers are sent in between; another request to read replaces this one.
                    Some(message @ (Outgoing::Worker(_) | Outgoing::Client(_))) => {
                        self.answer(message).await?;
                    }
                    Some(read) => return Ok(Some(read)),
                    None => {
                        self.catch_up(subscription.position()).await?;
                        return Ok(None);
                    }
                },
            }
            self.flush().await?;
        }
    }

    /// Sends everything from `from` to the log's end. Returns the position after it.
    async fn catch_up(&mut self, mut from: Sequence) -> Result<Sequence, Failed> {
        loop {
            let chunk = self.log.read(from, SUBSCRIPTION_BYTES_MAX)?;
            if chunk.is_empty() {
                return Ok(from);
            }
            from = chunk.next();
            self.events(&chunk).await?;
            // A long log must not keep the loop, which may run on this thread, from its work.
            tokio::task::yield_now().await;
        }
    }

    async fn events(&mut self, chunk: &Chunk) -> Result<(), Failed> {
        let bytes = chunk
            .envelopes()
            .map(|envelope| envelope.map(|envelope| envelope.bytes.to_vec()));
        let envelopes = bytes.collect::<Result<_, _>>().map_err(invalid)?;
        let events = Outgoing::Client(Box::new(ToClient::Events { envelopes }));
        Ok(self.feed(events).await?)
    }
}

/// Why a stream of events ended.
enum Failed {
    Log(queue::Error),
    Connection(io::Error),
}

impl From<queue::Error> for Failed {
    fn from(error: queue::Error) -> Self {
        Self::Log(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}
