//! The sending side of a connection.

use std::io;
use std::sync::Arc;

use futures::SinkExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;
use tokio_util::codec::FramedWrite;

use super::{Outgoing, invalid};
use crate::model::ids::Sequence;
use crate::protocol::{Codec, Role, SchedulerMessage, ToClient, encode};
use crate::queue::log::SUBSCRIPTION_BYTES_MAX;
use crate::queue::{self, Chunk, EventLog, subscribe};

pub(super) type Sink = FramedWrite<OwnedWriteHalf, Codec>;

/// Sends what is put into the outbox, until that is dropped and all of it is sent.
pub(super) async fn send(
    role: Role,
    waiting: &mut mpsc::Receiver<Outgoing>,
    sink: &mut Sink,
    log: &Arc<dyn EventLog>,
) -> io::Result<()> {
    let mut next = waiting.recv().await;
    while let Some(outgoing) = next {
        if let Outgoing::Stream { from, follow } = outgoing {
            let streamed = stream(role, waiting, sink, log, from, follow).await;
            next = match streamed {
                Err(Failed::Log(error)) => {
                    tracing::error!(%error, "the log cannot be read");
                    return refuse(role, sink, error.to_string()).await;
                }
                Err(Failed::Connection(error)) => return Err(error),
                Ok(next) => next,
            };
            continue;
        }
        feed(role, sink, outgoing).await?;
        // What waits already goes out in the same write.
        next = match waiting.try_recv() {
            Ok(more) => Some(more),
            Err(_) => {
                flush(sink).await?;
                waiting.recv().await
            }
        };
    }
    flush(sink).await
}

/// The last thing that is said on a connection.
pub(super) async fn refuse(role: Role, sink: &mut Sink, reason: String) -> io::Result<()> {
    let refused = match role {
        Role::Worker => Outgoing::Worker(Box::new(SchedulerMessage::Refused { reason })),
        _ => Outgoing::Client(Box::new(ToClient::Refused { reason })),
    };
    feed(role, sink, refused).await?;
    flush(sink).await
}

async fn flush(sink: &mut Sink) -> io::Result<()> {
    SinkExt::<Bytes>::flush(sink).await
}

async fn feed(role: Role, sink: &mut Sink, outgoing: Outgoing) -> io::Result<()> {
    let frame = match outgoing {
        Outgoing::Worker(message) => encode(role, &*message),
        Outgoing::Client(message) => encode(role, &*message),
        Outgoing::Stream { .. } => return Ok(()),
    };
    let frame = frame.map_err(|error| {
        tracing::error!(%error, "a message cannot be sent");
        invalid(error)
    })?;
    sink.feed(Bytes::from(frame)).await
}

/// Why a stream ended.
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

/// Sends the log. Gives what is to be sent next, which is nothing when the outbox is closed; then
/// a follower has got everything up to the log's end.
async fn stream(
    role: Role,
    waiting: &mut mpsc::Receiver<Outgoing>,
    sink: &mut Sink,
    log: &Arc<dyn EventLog>,
    from: Sequence,
    follow: bool,
) -> Result<Option<Outgoing>, Failed> {
    let from = catch_up(role, sink, log, from.max(Sequence(1))).await?;
    let head = Sequence(from.0 - 1).min(log.head().sequence);
    let caught_up = Outgoing::Client(Box::new(ToClient::CaughtUp { head }));
    feed(role, sink, caught_up).await?;
    flush(sink).await?;
    if !follow {
        return Ok(waiting.recv().await);
    }
    let mut subscription = subscribe(log.clone(), from);
    loop {
        tokio::select! {
            chunk = subscription.next_batch() => events(role, sink, &chunk?).await?,
            said = waiting.recv() => match said {
                // Answers go in between; another wish to read replaces this one.
                Some(message @ (Outgoing::Worker(_) | Outgoing::Client(_))) => {
                    feed(role, sink, message).await?;
                }
                Some(read) => return Ok(Some(read)),
                None => {
                    catch_up(role, sink, log, subscription.position()).await?;
                    return Ok(None);
                }
            },
        }
        flush(sink).await?;
    }
}

/// Sends everything from `from` to the log's end; gives the position after it.
async fn catch_up(
    role: Role,
    sink: &mut Sink,
    log: &Arc<dyn EventLog>,
    mut from: Sequence,
) -> Result<Sequence, Failed> {
    loop {
        let chunk = log.read(from, SUBSCRIPTION_BYTES_MAX)?;
        if chunk.is_empty() {
            return Ok(from);
        }
        from = chunk.next();
        events(role, sink, &chunk).await?;
        // A long log must not keep the loop, which may be on this thread, from its work.
        tokio::task::yield_now().await;
    }
}

async fn events(role: Role, sink: &mut Sink, chunk: &Chunk) -> Result<(), Failed> {
    let bytes = chunk
        .envelopes()
        .map(|envelope| envelope.map(|envelope| envelope.bytes.to_vec()));
    let envelopes = bytes.collect::<Result<_, _>>().map_err(invalid)?;
    let events = Outgoing::Client(Box::new(ToClient::Events { envelopes }));
    Ok(feed(role, sink, events).await?)
}
