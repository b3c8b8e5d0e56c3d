//! The base of every front end: commands, live view, log and past states of a running scheduler,
//! from inside its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::load::fold;
use super::machine::Input;
use super::socket::Arrival;
use crate::model::actor::Actor;
use crate::model::command::{PersonCommand, Rejection};
use crate::model::ids::{CommandId, Sequence};
use crate::model::state::State;
use crate::protocol::{ClientMessage, Live, StopMode, ToClient};
use crate::queue::log::EventLog;
use crate::queue::{self, Subscription};

/// Bytes of events that are read at once while folding.
const CHUNK_BYTES: usize = 4 << 20;

/// Events between two cached states. Folding this many takes some milliseconds.
const STEP_MIN: u64 = 4_096;

/// Number of cached states. One of a backlog of ten thousand features takes some megabytes.
const KEPT_MAX: u64 = 32;

/// Why a front end did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The scheduler has ended.
    #[error("the scheduler has ended; `scheduler run` continues where it ended")]
    Ended,
    /// The rules reject the command. Nothing has changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] Error),
}

/// Talks to a running scheduler from inside its process. It does not keep the scheduler alive;
/// after the end, every call fails with [`HandleError::Ended`].
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Arrival>,
    log: Weak<dyn EventLog>,
    past: Arc<Mutex<Past>>,
}

impl Handle {
    pub(super) fn new(inbox: mpsc::Sender<Arrival>, log: &Arc<dyn EventLog>) -> Self {
        Self {
            inbox,
            log: Arc::downgrade(log),
            past: Arc::default(),
        }
    }

    /// Submits a command by `actor`. Returns its first and last event when they are durable; the
    /// last is lower if it caused none. A repeated `id` changes nothing and gets the first answer.
    ///
    /// # Errors
    /// The rules reject it, or the scheduler has ended.
    pub async fn submit(
        &self,
        actor: Actor,
        id: CommandId,
        command: PersonCommand,
    ) -> Result<(Sequence, Sequence), HandleError> {
        match self
            .ask(actor, ClientMessage::Command { id, command })
            .await?
        {
            ToClient::Accepted { first, last } => Ok((first, last)),
            ToClient::Rejected(rejection) => Err(rejection.into()),
            _ => Err(HandleError::Ended),
        }
    }

    /// The live view: what the log does not record.
    ///
    /// # Errors
    /// The scheduler has ended.
    pub async fn live(&self) -> Result<Live, HandleError> {
        match self.ask(Actor::Scheduler, ClientMessage::Live).await? {
            ToClient::Live(live) => Ok(live),
            _ => Err(HandleError::Ended),
        }
    }

    async fn ask(&self, actor: Actor, message: ClientMessage) -> Result<ToClient, HandleError> {
        let (answer, answered) = oneshot::channel();
        let asked = Arrival::Asked(actor, Box::new(message), answer);
        let gone = |_| HandleError::Ended;
        self.inbox.send(asked).await.map_err(gone)?;
        answered.await.map_err(|_| HandleError::Ended)
    }

    /// Follows the log from an event on. A subscription keeps the log open.
    ///
    /// # Errors
    /// The scheduler has ended.
    pub fn subscribe(&self, from: Sequence) -> Result<Subscription, HandleError> {
        let log = self.log.upgrade().ok_or(HandleError::Ended)?;
        Ok(queue::subscribe(log, from))
    }

    /// The state after an event, or at the log's end if the log is shorter. Some states are cached,
    /// so that a step through the past folds some thousand events at most. Blocks while it reads.
    ///
    /// # Errors
    /// The scheduler has ended, or the log cannot be read.
    pub fn state_at(&self, at: Sequence) -> Result<State, HandleError> {
        let log = self.log.upgrade().ok_or(HandleError::Ended)?;
        // A panic while folding leaves complete states behind.
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(past.state_at(&*log, at)?)
    }

    /// Asks the process to end. A second request to drain ends it now.
    pub async fn stop(&self, mode: StopMode) {
        // If the loop has ended, there is nothing to ask.
        let _ = self.inbox.send(Arrival::Said(Input::Stop(mode))).await;
    }
}

/// Cached states of the past, by their last event.
#[derive(Default)]
struct Past {
    kept: BTreeMap<Sequence, State>,
}

impl Past {
    fn state_at(&mut self, log: &dyn EventLog, at: Sequence) -> Result<State, Error> {
        let head = log.head().sequence;
        let at = at.min(head);
        // Doubles with the log, so that the states of a shorter log still fit.
        let mut step = STEP_MIN;
        while head.0 / step > KEPT_MAX {
            step *= 2;
        }
        self.kept.retain(|kept, _| kept.0.is_multiple_of(step));
        let nearest = self.kept.range(..=at).next_back();
        let mut state = nearest.map_or_else(State::default, |(_, state)| state.clone());
        while state.sequence < at {
            let chunk = log.read(state.sequence.next(), CHUNK_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            for envelope in chunk.envelopes() {
                let sequence = state.sequence.next();
                let decode = |source| queue::Error::Decode { sequence, source };
                fold(&mut state, &envelope.map_err(decode)?, log.contents())?;
                if state.sequence.0.is_multiple_of(step) {
                    state.settle();
                    self.kept.insert(state.sequence, state.clone());
                }
                if state.sequence >= at {
                    break;
                }
            }
        }
        state.settle();
        Ok(state)
    }
}
