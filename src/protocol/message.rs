//! The messages between scheduler, workers and commands.

use serde::{Deserialize, Serialize};

use crate::model::command::{PersonCommand, Rejection};
use crate::model::event::ProcessIdentity;
use crate::model::ids::{
    AttemptId, CommandId, CommitId, Epoch, FeatureId, JobId, Sequence, Timestamp, WorkerId,
};
use crate::model::report::{AttemptReport, JobFeature, Verdict};
use crate::model::settings::{Settings, WorkerKind};

/// How often a connected worker gives a sign of life, in milliseconds.
pub const HEARTBEAT_MS: u64 = 10_000;

/// From a worker to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerMessage {
    /// The first one on every connection.
    Hello {
        /// What it takes.
        kind: WorkerKind,
        /// Which process it is; on a unix socket the pid is checked against the kernel's word.
        process: ProcessIdentity,
        /// Who it was on an earlier connection.
        worker: Option<WorkerId>,
        /// What it works on.
        holding: Option<Holding>,
        /// What it is told: one `key = value` a line.
        config: String,
    },
    /// Idle: send a job when there is one. Sent once after a `Welcome` and once after every end
    /// of an attempt.
    Ready,
    /// How far the attempt is; for people to look at, never stored.
    Progress {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The phase that the attempt is in.
        phase: Phase,
        /// The last thing that happened, in a line of at most 200 bytes.
        activity: String,
    },
    /// The attempt's result; the same report is repeated until it is answered.
    Report(AttemptReport),
    /// A sign of life, every [`HEARTBEAT_MS`] while connected: a process that is stopped or stuck
    /// is alive and sends none.
    Heartbeat,
    /// The worker ends and holds nothing any more.
    Leaving {
        /// The reason, as text for people.
        reason: String,
    },
}

/// What a worker that comes back works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The attempt, which is at the same time the token.
    pub attempt: AttemptId,
    /// The last event the worker saw acknowledged.
    pub acknowledged: Sequence,
}

/// The stages of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making the worktree, running `after_create` and `before_run`.
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
        /// The scheduler's reign.
        epoch: Epoch,
        /// False when the attempt that the worker says it holds is over: drop it.
        holding_accepted: bool,
    },
    /// The worker cannot take part.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// A job, reserved for this worker; durable before it is sent.
    Job(Box<JobOffer>),
    /// The head has moved: rebase onto it, check again, report again (a new command).
    Rebase {
        /// The report that is answered. A worker that has reported anew since ignores the order:
        /// a report may arrive twice, and its second answer long after the first.
        command: CommandId,
        /// Number of the attempt.
        attempt: AttemptId,
        /// Head of the branch.
        onto: CommitId,
    },
    /// The report is durable and this is what became of it. The attempt is over.
    Reported {
        /// The report that is answered.
        command: CommandId,
        /// Number of the attempt.
        attempt: AttemptId,
        /// What became of it.
        verdict: Verdict,
        /// The log's head when it was answered.
        acknowledged: Sequence,
    },
    /// End the session, throw the work away (preserved), and report `Released`.
    Cancel {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The reason, as text for people.
        reason: String,
    },
    /// Nothing more will come: end now if idle, otherwise after the present attempt.
    Drain {
        /// The reason, as text for people.
        reason: String,
    },
    /// End at once: end the session, preserve its work, report `Released`, leave.
    Stop {
        /// The reason, as text for people.
        reason: String,
    },
}

/// All that a worker needs to know of its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOffer {
    /// Number of the job.
    pub job: JobId,
    /// The attempt, which is at the same time the fencing token.
    pub attempt: AttemptId,
    /// Coding or testing.
    pub kind: WorkerKind,
    /// Which try this is, from 1.
    pub attempt_number: u32,
    /// The commit to start from.
    pub base: CommitId,
    /// The integration branch.
    pub branch: String,
    /// The features, at least one.
    pub features: Vec<JobFeature>,
    /// The rules of the run.
    pub settings: Settings,
    /// The log's head when the attempt was durable.
    pub acknowledged: Sequence,
}

/// From a person's command to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMessage {
    /// Carry out a command of a person.
    Command {
        /// Names this command forever.
        id: CommandId,
        /// What the person asks for.
        command: PersonCommand,
    },
    /// Send the log from here to its head, then `CaughtUp`; continue forever when `follow`.
    Read {
        /// The first event wanted.
        from: Sequence,
        /// Whether to go on after the head.
        follow: bool,
    },
    /// Send what is known of the open attempts beside the log.
    Live,
    /// End the scheduler process.
    Stop(StopMode),
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// Start nothing new, end when the open attempts have.
    Drain,
    /// End the open attempts too; they are released.
    Now,
}

/// From the scheduler to a person's command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// The command's events, durable. Equal when there was one.
    Accepted {
        /// The first event of the range.
        first: Sequence,
        /// The last event of the range.
        last: Sequence,
    },
    /// The command was refused; nothing changed.
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
    /// The answer to `Stop`: it has begun.
    Stopping,
    /// The client cannot be served.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

/// What the log does not say: what is going on at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// The open attempts.
    pub attempts: Vec<LiveAttempt>,
    /// The scheduler's process id.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// The time now, by the clock of the log: it never goes back.
    pub now: Timestamp,
    /// No new attempts: it is ending.
    pub draining: bool,
    /// There is work for workers of these kinds, and none is there.
    pub missing_workers: Vec<MissingWorkers>,
}

/// Work waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingWorkers {
    /// Of this kind.
    pub kind: WorkerKind,
    /// The run ends in so many milliseconds if none comes; none when it continues waiting.
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
    /// The stage, if the worker said so on this connection.
    pub phase: Option<Phase>,
    /// The last thing that happened.
    pub activity: String,
    /// When it happened.
    pub active_at: Timestamp,
    /// False when the worker is alive but not connected.
    pub connected: bool,
}
