//! What goes into the machine and what comes out.

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

/// One connection, for as long as the scheduler lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

/// The time, both ways: the wall clock's, which is recorded, and a monotonic one for waits, which
/// stands still while the machine sleeps and while this process is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall-clock time.
    pub wall: Timestamp,
    /// Monotonic milliseconds since any fixed moment.
    pub mono_ms: u64,
}

/// What a run is told, for its log and for its workers.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// All of it, as text in a content file.
    pub content: ContentHash,
    /// What differs from what the last run was told.
    pub changes: Vec<ConfigChange>,
    /// The part that workers act on; a worker that is told something else is refused.
    pub workers: String,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// Somebody connected who says to be a worker.
    Opened {
        /// On which connection.
        connection: Connection,
        /// The kernel's word for who it is.
        caller: Caller,
    },
    /// A person's command connected.
    OpenedClient {
        /// On which connection.
        connection: Connection,
        /// The kernel's word for who it is.
        caller: Caller,
    },
    /// A worker said something.
    Worker {
        /// On which connection.
        connection: Connection,
        /// What.
        message: Box<WorkerMessage>,
    },
    /// A person's command said something.
    Client {
        /// On which connection.
        connection: Connection,
        /// What.
        message: Box<ClientMessage>,
    },
    /// A door inside this process asks in somebody's name. It gets one answer, on a connection
    /// that nothing else is said on.
    Asked {
        /// Where the answer goes.
        connection: Connection,
        /// In whose name.
        actor: Actor,
        /// What.
        message: Box<ClientMessage>,
    },
    /// A connection is closed.
    Closed {
        /// Which.
        connection: Connection,
    },
    /// A watched worker process is gone.
    Died {
        /// Whose.
        worker: WorkerId,
    },
    /// Nothing is left of a dead worker's agents.
    CleanedUp {
        /// Which.
        worker: WorkerId,
        /// The result that it had written down before, if any.
        report: Option<Box<AttemptReport>>,
    },
    /// git answered.
    Merged {
        /// Whose merge.
        attempt: AttemptId,
        /// Where the branch is.
        merged: Merged,
    },
    /// git could not move the branch.
    GitFailed {
        /// For whose merge.
        attempt: AttemptId,
        /// Why.
        failure: GitFailure,
    },
    /// git said what somebody else did to the branch; none when it could not.
    Explained(Option<Box<BranchMove>>),
    /// A worker of the scheduler's own was started, or could not be (no pid).
    ChildStarted {
        /// Which kind.
        kind: WorkerKind,
        /// Its process.
        pid: Option<u32>,
    },
    /// A worker of the scheduler's own has ended.
    ChildEnded {
        /// Its process.
        pid: u32,
        /// How.
        end: ChildEnd,
    },
    /// Everything up to a `Confirm` has been carried out.
    Confirmed,
    /// Somebody wants the process to end.
    Stop(StopMode),
    /// The wall clock went forward by more than the time in which this process ran. Comes before
    /// whatever else has happened by then.
    ClockJumped {
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// Time has passed.
    Tick,
}

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Say something to a worker.
    Send {
        /// On which connection.
        connection: Connection,
        /// What.
        message: Box<SchedulerMessage>,
    },
    /// Say something to a person's command.
    Reply {
        /// On which connection.
        connection: Connection,
        /// What.
        message: Box<ToClient>,
    },
    /// Send the log on a connection.
    Stream {
        /// On which connection.
        connection: Connection,
        /// From which event on.
        from: Sequence,
        /// Whether to go on after the head.
        follow: bool,
    },
    /// Close a connection when everything said before is sent.
    Close {
        /// Which.
        connection: Connection,
    },
    /// Wait for a worker's process to end, and say `Died`.
    Watch {
        /// Whose.
        worker: WorkerId,
        /// Which process.
        process: ProcessIdentity,
    },
    /// End whatever a dead worker's attempt has left behind, look for a result that it had
    /// written down, and say `CleanedUp`.
    CleanUpAttempt {
        /// Whose.
        worker: WorkerId,
        /// What it worked on.
        attempt: AttemptId,
    },
    /// End a worker's process by force.
    Kill {
        /// Whose.
        worker: WorkerId,
        /// Which process.
        process: ProcessIdentity,
    },
    /// Move the branch, and say `Merged` or `GitFailed`.
    Merge {
        /// Whose work.
        attempt: AttemptId,
        /// From where.
        onto: CommitId,
        /// To where.
        commit: CommitId,
    },
    /// Ask git what somebody else did to the branch, and say `Explained`.
    Explain {
        /// The head that was recorded.
        from: CommitId,
        /// The head that the branch has.
        to: CommitId,
        /// Merges of passing features.
        merges: Vec<CommitId>,
    },
    /// Start a worker, and say `ChildStarted` and later `ChildEnded`. One that comes due when
    /// [`Machine::starts_workers`](super::Machine::starts_workers) no longer holds is not started.
    StartWorker {
        /// Which kind.
        kind: WorkerKind,
    },
    /// End a worker of the scheduler's own by force; `ChildEnded` follows.
    EndChild {
        /// Its process.
        pid: u32,
    },
    /// Say `Confirmed`: whatever was to be done before has waited for the disk and is done.
    Confirm,
    /// The process is to end.
    Exit(Ending),
}

/// How a scheduler process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run is over.
    Finished(RunOutcome),
    /// It was asked to end; the run goes on another time.
    Interrupted,
    /// git has failed too often in a row, so that nothing can be merged. The next start asks it
    /// what has become of the open merge.
    GitFailed,
}
