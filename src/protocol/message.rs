//! The messages between scheduler, workers and commands.

use serde::{Deserialize, Serialize};

use crate::model::command::{PersonCommand, Problem, Rejection};
use crate::model::end_reason::EndReason;
use crate::model::event::ProcessIdentity;
use crate::model::ids::{
    AttemptId, CommandId, CommitId, Epoch, FeatureId, JobId, Sequence, Timestamp, WorkerId,
};
use crate::model::profile::ProfileName;
use crate::model::report::{AttemptReport, JobFeature, Verdict};
use crate::model::settings::{Settings, WorkerKind};

/// Interval of a connected worker's heartbeats, in milliseconds.
pub const HEARTBEAT_MS: u64 = 10_000;

/// From a worker to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerMessage {
    /// The first one on every connection.
    Hello {
        /// The kind of jobs that it takes.
        kind: WorkerKind,
        /// Its process; on a unix socket, the pid is compared with the kernel's.
        process: ProcessIdentity,
        /// Its number on an earlier connection.
        worker: Option<WorkerId>,
        /// The attempt that it works on.
        holding: Option<Holding>,
        /// Its config: one `key = value` per line.
        config: String,
    },
    /// Idle: send a job when there is one. Sent once after a `Welcome` and once after every end of
    /// an attempt.
    Ready,
    /// The progress of the attempt; shown to people, never stored.
    Progress {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The phase that the attempt is in.
        phase: Phase,
        /// The last activity, in a line of at most 200 bytes.
        activity: String,
        /// Steps that the agent has finished in this session: its provider answers.
        steps: u32,
    },
    /// The attempt's result; the same report is repeated until it is answered.
    Report(AttemptReport),
    /// A heartbeat, every [`HEARTBEAT_MS`] while connected. A process that is stopped or hangs
    /// lives, but sends none.
    Heartbeat,
    /// The worker ends and holds nothing any more.
    Leaving {
        /// Why.
        reason: EndReason,
    },
}

/// The attempt of a worker that reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The attempt, which is also the fencing token.
    pub attempt: AttemptId,
    /// The last event the worker saw acknowledged.
    pub acknowledged: Sequence,
}

/// The stages of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Creating the worktree, running `after_create` and `before_run`.
    Preparing,
    /// The agent works.
    Session,
    /// Committing and rebasing onto the head.
    Rebasing,
    /// Running the checks.
    Checking,
    /// Reported; waits for the scheduler.
    Merging,
}

/// From the scheduler to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulerMessage {
    /// The answer to `Hello`.
    Welcome {
        /// Its number from now on.
        worker: WorkerId,
        /// Its name: `worker-3`.
        name: String,
        /// The scheduler's epoch.
        epoch: Epoch,
        /// False if the attempt that the worker holds is over and must be dropped.
        holding_accepted: bool,
    },
    /// The worker cannot take part.
    Refused(Problem),
    /// A job, reserved for this worker; durable before it is sent.
    Job(Box<JobOffer>),
    /// The head has moved: rebase onto it, check again, report again (a new command).
    Rebase {
        /// The report that this answers. A worker that has sent a newer report ignores the order: a
        /// report may arrive twice, and its second answer long after the first.
        command: CommandId,
        /// Number of the attempt.
        attempt: AttemptId,
        /// The branch's commit.
        onto: CommitId,
    },
    /// The report was recorded with this result. The attempt is over.
    Reported {
        /// The report that this answers.
        command: CommandId,
        /// Number of the attempt.
        attempt: AttemptId,
        /// The result of the attempt.
        verdict: Verdict,
        /// The log's head at the time of the answer.
        acknowledged: Sequence,
    },
    /// End the session, preserve the work, and report `Released`.
    Cancel {
        /// Number of the attempt.
        attempt: AttemptId,
        /// Why.
        reason: EndReason,
    },
    /// Nothing more will follow: end now if idle, otherwise after the present attempt.
    Drain {
        /// Why.
        reason: EndReason,
    },
    /// End immediately: end the session, preserve its work, report `Released`, leave.
    Stop {
        /// Why.
        reason: EndReason,
    },
}

/// What a worker needs to know about its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOffer {
    /// Number of the job.
    pub job: JobId,
    /// The attempt, which is also the fencing token.
    pub attempt: AttemptId,
    /// Coding or testing.
    pub kind: WorkerKind,
    /// The agent that works on it; `None` if it needs none.
    pub profile: Option<ProfileName>,
    /// Number of the try, from 1.
    pub attempt_number: u32,
    /// The commit to start from.
    pub base: CommitId,
    /// The integration branch.
    pub branch: String,
    /// The features, at least one.
    pub features: Vec<JobFeature>,
    /// The run's settings.
    pub settings: Settings,
    /// The log's head when the attempt was durable.
    pub acknowledged: Sequence,
}

/// From a person's command to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMessage {
    /// Execute a command of a person.
    Command {
        /// Identifies this command forever.
        id: CommandId,
        /// The person's command.
        command: PersonCommand,
    },
    /// Send the log from here to its head, then `CaughtUp`; continue forever when `follow`.
    Read {
        /// The first event wanted.
        from: Sequence,
        /// Whether to continue after the head.
        follow: bool,
    },
    /// Send what is known of the open attempts besides the log.
    Live,
    /// End the scheduler process.
    Stop(StopMode),
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// Start nothing new; end after the open attempts.
    Drain,
    /// End the open attempts too; they are released.
    Now,
}

/// From the scheduler to a person's command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// The command's events, durable. Equal if it had one.
    Accepted {
        /// The first event of the range.
        first: Sequence,
        /// The last event of the range.
        last: Sequence,
    },
    /// The command was rejected; nothing changed.
    Rejected(Rejection),
    /// Events as the log stores them (envelopes, in order; see `queue::encoding`).
    Events {
        /// Envelopes as the log stores them.
        envelopes: Vec<Vec<u8>>,
    },
    /// Everything up to here was sent.
    CaughtUp {
        /// The last event of the log.
        head: Sequence,
    },
    /// The answer to `Live`.
    Live(Live),
    /// The answer to `Stop`: the end has begun.
    Stopping,
    /// The client cannot be served.
    Refused(Problem),
}

/// What the log does not record: the present activity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// The open attempts.
    pub attempts: Vec<LiveAttempt>,
    /// The scheduler's process id.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// The present time by the log's clock, which never goes back.
    pub now: Timestamp,
    /// True while the scheduler is ending and starts no new attempts.
    pub draining: bool,
    /// Kinds of workers that are missing while work waits for them.
    pub missing_workers: Vec<MissingWorkers>,
}

/// Work waits for a kind of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingWorkers {
    /// The missing kind.
    pub kind: WorkerKind,
    /// Milliseconds until the run ends without one; `None` if it waits without a limit.
    pub ends_in_ms: Option<u64>,
}

/// An open attempt at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveAttempt {
    /// Number of the attempt.
    pub attempt: AttemptId,
    /// Its first feature.
    pub feature: FeatureId,
    /// The worker's name.
    pub worker: String,
    /// The stage, if the worker has sent it on this connection.
    pub phase: Option<Phase>,
    /// The last activity, as text for people.
    pub activity: String,
    /// Time of that activity.
    pub active_at: Timestamp,
    /// False if the worker lives but is not connected.
    pub connected: bool,
}
