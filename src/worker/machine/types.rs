//! What goes into the machine and what comes out.

use crate::model::command::Problem;
use crate::model::evidence::Failure;
use crate::model::ids::{AttemptId, CommitId, FeatureId};
use crate::model::report::AttemptReport;
use crate::model::settings::WorkerKind;
use crate::protocol::{JobOffer, SchedulerMessage, WorkerMessage};
use crate::worker::outcome::{FeatureChecks, RebasedCommit, SessionResult};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first one.
    Start,
    /// [`Effect::Connect`] succeeded, preambles exchanged.
    Connected,
    /// [`Effect::Connect`] failed, or the connection is gone.
    Disconnected {
        /// The reason, as text for people.
        reason: String,
    },
    /// The scheduler says something.
    Message(SchedulerMessage),
    /// A step is over.
    Done(Done),
    /// The running step shows a sign of life.
    Activity(Activity),
    /// The user wants us to end: the first time after the attempt, the second time now.
    Signal,
    /// The time that [`super::Machine::wake_at`] named has come.
    Tick,
}

/// A sign of life of the running step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// For people to read; its first line counts.
    pub line: String,
    /// Steps that the agent has finished in this session.
    pub steps: u32,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect to the scheduler; answered by `Connected` or `Disconnected`.
    Connect,
    /// Drop the connection; answered by nothing.
    Disconnect,
    /// Send a message. Progress may be dropped when the connection is busy.
    Send(WorkerMessage),
    /// Begin a step. One at a time; answered by `Done`.
    Begin(Step),
    /// End the running step as soon as possible; it still answers with `Done`.
    Interrupt,
    /// Tell the user.
    Say(String),
    /// End the process. The last effect.
    Exit(Exit),
}

/// One thing to do for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of the attempt.
    pub attempt: AttemptId,
    /// What the step does.
    pub kind: StepKind,
}

/// The things there are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Make the spool file (held locked from now on), the worktree and the attempt's directory.
    Make(Box<JobOffer>),
    /// Run a hook of the project, if there is one.
    Hook(HookPoint),
    /// Run an agent's session about these features of the job.
    Session(Vec<FeatureId>),
    /// Commit whatever changed in the worktree.
    Commit,
    /// Rebase the commit onto this head.
    Rebase(CommitId),
    /// Run the checks of these features, each up to its first failure; after a failure continue
    /// with the next feature only when `go_on`.
    Check {
        /// Numbers of its features.
        features: Vec<FeatureId>,
        /// Whether one feature's failure leaves the others of interest.
        go_on: bool,
    },
    /// Keep the work reachable although it will not be merged.
    Preserve,
    /// Write the result into the spool file and sync it.
    Spool(Box<AttemptReport>),
    /// Remove worktree, branch, the attempt's directory, and at last the spool file.
    Clean,
}

impl StepKind {
    /// The step in a few words, as its user reads it: "running the checks".
    pub fn words(&self) -> &'static str {
        match self {
            Self::Make(_) => "creating the worktree",
            Self::Hook(HookPoint::AfterCreate) => "hook after_create",
            Self::Hook(HookPoint::BeforeRun) => "hook before_run",
            Self::Hook(HookPoint::AfterRun) => "hook after_run",
            Self::Session(_) => "the agent is working",
            Self::Commit => "committing",
            Self::Rebase(_) => "rebasing",
            Self::Check { .. } => "running the checks",
            Self::Preserve => "preserving the work",
            Self::Spool(_) => "writing the result",
            Self::Clean => "cleaning up",
        }
    }
}

/// Where a project's own commands run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookPoint {
    /// After the worktree was made.
    AfterCreate,
    /// Before the session.
    BeforeRun,
    /// After the session.
    AfterRun,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// For which attempt.
    pub attempt: AttemptId,
    /// What it brought, or why it failed.
    pub result: Result<Finished, Failure>,
}

/// What a step brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The worktree is there; it holds this commit.
    Made(RebasedCommit),
    /// The hook ran.
    Hooked,
    /// The session is over.
    Session(Box<SessionResult>),
    /// What changed is committed.
    Committed,
    /// The commit stands on the head.
    Rebased(RebasedCommit),
    /// The checks ran.
    Checked(Vec<FeatureChecks>),
    /// The work is kept, under this name if there was any.
    Preserved(Option<String>),
    /// The result is on the disk.
    Spooled,
    /// All is removed.
    Cleaned,
}

/// An attempt that a dead worker of this project left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Number of the attempt.
    pub attempt: AttemptId,
    /// Whose kind of job it was.
    pub kind: WorkerKind,
    /// Its result, unless the worker died before there was one.
    pub report: Option<AttemptReport>,
}

/// How the worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing more to do.
    Drained,
    /// The scheduler wanted it.
    Stopped,
    /// The user wanted it at once.
    Interrupted,
    /// There was no scheduler for too long.
    NoScheduler,
    /// The scheduler does not want this worker.
    Refused(Problem),
    /// The worker could not continue; why.
    Failed(String),
}

impl Exit {
    /// The process's exit code: 0 when all went as it should, 130 interrupted, 4 nothing to work
    /// for, 1 anything else.
    pub fn code(&self) -> u8 {
        match self {
            Self::Drained | Self::Stopped => 0,
            Self::Interrupted => 130,
            Self::NoScheduler => 4,
            Self::Refused(_) | Self::Failed(_) => 1,
        }
    }
}
