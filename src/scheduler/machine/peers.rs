//! Who is connected, and what is known of each worker besides the log.

use std::collections::BTreeMap;

use super::Connection;
use crate::model::actor::{Actor, Caller};
use crate::model::end_reason::EndReason;
use crate::model::ids::{Timestamp, WorkerId};
use crate::protocol::Phase;

/// What the other side of a connection turned out to be.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// A worker that has not sent its hello.
    Stranger { caller: Caller },
    /// A worker that the log knows.
    Worker(WorkerId),
    /// A command, and who gave it.
    Client(Actor),
}

/// A live worker process as the scheduler sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub connection: Option<Connection>,
    /// Its place in the queue of workers that asked for a job.
    pub ready: Option<u64>,
    /// It has been silent for too long: it gets no job, and does not count as present.
    pub absent: bool,
    pub phase: Option<Phase>,
    pub activity: String,
    pub active_at: Timestamp,
    /// Its last sign of life, in monotonic milliseconds.
    pub heard_ms: u64,
    /// Since when this process knows its attempt, in monotonic milliseconds.
    pub since_ms: u64,
    /// It was told to give its attempt up: when, and why.
    pub cancelled: Option<(u64, EndReason)>,
    /// It was killed, and its end is awaited.
    pub killed: bool,
}

/// The other end of each connection, and every worker that may reconnect.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The open connections.
    pub connections: BTreeMap<Connection, Peer>,
    /// Workers that the log knows.
    pub links: BTreeMap<WorkerId, Link>,
    /// The last place that was assigned in the queue for jobs.
    last_place: u64,
}

impl Peers {
    /// The worker's connection, if it has one.
    pub fn connection_of(&self, worker: WorkerId) -> Option<Connection> {
        self.links.get(&worker)?.connection
    }

    /// A worker's link, unless the worker has been silent for too long.
    pub fn present(&self, worker: WorkerId) -> Option<&Link> {
        self.links.get(&worker).filter(|link| !link.absent)
    }

    /// Gives a worker a place in the queue for jobs, unless it has one.
    pub fn enqueue(&mut self, worker: WorkerId) -> Option<u64> {
        let link = self.links.get_mut(&worker)?;
        if link.ready.is_some() {
            return None;
        }
        self.last_place += 1;
        link.ready = Some(self.last_place);
        link.ready
    }

    /// This connection is no longer a worker's. True if it was its present one.
    pub fn detach(&mut self, worker: WorkerId, connection: Connection) -> bool {
        let link = self.links.get_mut(&worker);
        let Some(link) = link.filter(|link| link.connection == Some(connection)) else {
            return false;
        };
        link.connection = None;
        true
    }

    /// This process was stopped for this long. Messages that workers sent in the meantime are still
    /// to be read, so this is no silence of theirs.
    pub fn forgive(&mut self, now_ms: u64, unseen_ms: u64) {
        for link in self.links.values_mut() {
            link.heard_ms = now_ms;
            link.since_ms = link.since_ms.saturating_add(unseen_ms);
            if let Some((since, _)) = &mut link.cancelled {
                *since = now_ms;
            }
        }
    }

    /// The wall clock gained this many milliseconds.
    pub fn clock_jumped(&mut self, by_ms: u64) {
        for link in self.links.values_mut() {
            link.active_at = link.active_at.plus_ms(by_ms);
        }
    }
}
