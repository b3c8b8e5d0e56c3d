//! The machine's inputs and effects.

use crate::model::actor::{Actor, Caller};
use crate::model::branch::BranchMove;
use crate::model::config::ConfigChange;
use crate::model::event::{ProcessIdentity, RunOutcome};
use crate::model::ids::{AttemptId, CommitId, ContentHash, Sequence, Timestamp, WorkerId};
use crate::model::report::AttemptReport;
use crate::model::settings::WorkerKind;
use crate::protocol::{ClientMessage, SchedulerMessage, StopMode, ToClient, WorkerMessage};
use crate::scheduler::ports::{GitFailure, Merged};
use crate::scheduler::worker_pool::ChildEnd;

/// Number of a connection, unique while the scheduler lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

/// The time in two clocks: the wall clock's, which is recorded, and a monotonic one for waits,
/// which stands still while the machine sleeps or this process is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall-clock time, which never goes back.
    pub wall: Timestamp,
    /// Monotonic milliseconds since any fixed moment.
    pub mono_ms: u64,
}

/// The config that is recorded for a run and compared with its workers' configs.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// Hash of the whole config as text, in a content file.
    pub content: ContentHash,
    /// How it differs from the previous run's.
    pub changes: Vec<ConfigChange>,
    /// The part that workers use. A worker with another one is refused.
    pub workers: String,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A peer that says it is a worker connected.
    Opened {
        /// Number of its connection.
        connection: Connection,
        /// Its process, according to the kernel.
        caller: Caller,
    },
    /// A person's command connected.
    OpenedClient {
        /// Number of its connection.
        connection: Connection,
        /// Its process, according to the kernel.
        caller: Caller,
    },
    /// A worker sent a message.
    Worker {
        /// Number of its connection.
        connection: Connection,
        /// The message, decoded.
        message: Box<WorkerMessage>,
    },
    /// A person's command sent a message.
    Client {
        /// Number of its connection.
        connection: Connection,
        /// The message, decoded.
        message: Box<ClientMessage>,
    },
    /// A front end inside this process asks on somebody's behalf. It gets one answer, on a
    /// connection that has no other use.
    Asked {
        /// Number of the connection for the answer.
        connection: Connection,
        /// On whose behalf it asks.
        actor: Actor,
        /// The message, as from a command.
        message: Box<ClientMessage>,
    },
    /// A connection closed, by either side.
    Closed {
        /// Number of the connection.
        connection: Connection,
    },
    /// A watched worker process has ended.
    Died {
        /// Number of the worker.
        worker: WorkerId,
    },
    /// Nothing is left of a dead worker's agents.
    CleanedUp {
        /// Number of the worker.
        worker: WorkerId,
        /// Its spooled result, if there is one.
        report: Option<Box<AttemptReport>>,
    },
    /// git answered whether a merge happened.
    Merged {
        /// Number of the merge's attempt.
        attempt: AttemptId,
        /// The branch after the merge.
        merged: Merged,
    },
    /// git could not move the branch.
    GitFailed {
        /// Number of the merge's attempt.
        attempt: AttemptId,
        /// The failure, and the branch's commit if known.
        failure: GitFailure,
    },
    /// git explained a move of the branch by somebody else; `None` if it could not.
    Explained(Option<Box<BranchMove>>),
    /// One of the scheduler's own workers was started, or could not be (no pid).
    ChildStarted {
        /// Kind of the worker.
        kind: WorkerKind,
        /// Process id of the worker.
        pid: Option<u32>,
    },
    /// One of the scheduler's own workers has ended.
    ChildEnded {
        /// Process id of the worker.
        pid: u32,
        /// The kind of its end.
        end: ChildEnd,
    },
    /// Everything up to a `Confirm` was executed.
    Confirmed,
    /// Somebody asks the process to end.
    Stop(StopMode),
    /// The wall clock gained more than the time in which this process ran. Comes before anything
    /// else that happened by then.
    ClockJumped {
        /// The gain in milliseconds.
        by_ms: u64,
    },
    /// Time has passed, and nothing else.
    Tick,
}

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a message to a worker.
    Send {
        /// Number of its connection.
        connection: Connection,
        /// The message to send.
        message: Box<SchedulerMessage>,
    },
    /// Send a message to a person's command, or to a front end.
    Reply {
        /// Number of its connection.
        connection: Connection,
        /// The message to send.
        message: Box<ToClient>,
    },
    /// Send the log on a connection.
    Stream {
        /// Number of the connection.
        connection: Connection,
        /// First event to send.
        from: Sequence,
        /// Whether to continue after the head.
        follow: bool,
    },
    /// Close a connection when everything before is sent.
    Close {
        /// Number of the connection.
        connection: Connection,
    },
    /// Wait for a worker's process to end, then give [`Input::Died`].
    Watch {
        /// Number of the worker.
        worker: WorkerId,
        /// Its process, with its start time.
        process: ProcessIdentity,
    },
    /// End everything that a dead worker's attempt left behind, look for its spooled result, then
    /// give [`Input::CleanedUp`].
    CleanUpAttempt {
        /// Number of the worker.
        worker: WorkerId,
        /// The attempt that it worked on.
        attempt: AttemptId,
    },
    /// End a worker's process by force.
    Kill {
        /// Number of the worker.
        worker: WorkerId,
        /// Its process, with its start time.
        process: ProcessIdentity,
    },
    /// Move the branch, then give [`Input::Merged`] or [`Input::GitFailed`].
    Merge {
        /// Number of the merge's attempt.
        attempt: AttemptId,
        /// Commit that the branch must be at.
        onto: CommitId,
        /// Commit to move it to.
        commit: CommitId,
    },
    /// Ask git what somebody else did to the branch, then give [`Input::Explained`].
    Explain {
        /// The head that was recorded.
        from: CommitId,
        /// The head that the branch has now.
        to: CommitId,
        /// Merge commits of passing features.
        merges: Vec<CommitId>,
    },
    /// Start a worker, then give `ChildStarted` and later `ChildEnded`. If
    /// [`Machine::starts_workers`](super::Machine::starts_workers) no longer holds when its turn
    /// comes, it is not started.
    StartWorker {
        /// Kind of the worker.
        kind: WorkerKind,
    },
    /// End one of the scheduler's own workers by force; `ChildEnded` follows.
    EndChild {
        /// Process id of the worker.
        pid: u32,
    },
    /// Give [`Input::Confirmed`]: every earlier effect was executed.
    Confirm,
    /// End the process.
    Exit(Ending),
}

/// How a scheduler process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run is over, with this outcome.
    Finished(RunOutcome),
    /// It was asked to end; a later run continues.
    Interrupted,
    /// git failed too often in a row, so nothing can be merged. The next start asks it about the
    /// open merge.
    GitFailed,
}
