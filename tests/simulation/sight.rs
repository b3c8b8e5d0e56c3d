//! What can be seen from outside, and who looks. Observers know the log, what processes were told
//! and did, and the repository: nothing of how the scheduler or a worker comes to its decisions.

use crate::model::event::{ProcessIdentity, Recorded, RunOutcome};
use crate::model::ids::{AttemptId, CommandId, CommitId, FeatureId, Sequence};
use crate::model::profile::ProfileName;
use crate::model::settings::WorkerKind;
use crate::protocol::Verdict;

use super::book::Book;
use super::checks;
use super::git::Git;

/// Something that an outsider sees.
#[derive(Debug)]
pub enum Sight<'a> {
    /// An event is on the disk.
    Durable(&'a Recorded),
    /// The log, as a new process finds it.
    Reopened { bytes: &'a [u8] },
    /// A person's command was answered.
    Accepted {
        id: CommandId,
        first: Sequence,
        last: Sequence,
    },
    /// A person's command was refused.
    Refused { id: CommandId },
    /// A worker (or somebody who says so) has written a report down.
    Wrote {
        id: CommandId,
        attempt: AttemptId,
        process: &'a ProcessIdentity,
        /// The tokens that it says the attempt has used.
        tokens: u64,
    },
    /// An agent's session has ended and told what it used.
    Used { attempt: AttemptId, tokens: u64 },
    /// A worker was told what became of its report.
    Answered {
        id: CommandId,
        attempt: AttemptId,
        verdict: Verdict,
        at: Sequence,
    },
    /// A worker was sent a job.
    Offered { attempt: AttemptId },
    /// An agent's session begins.
    Began {
        attempt: AttemptId,
        kind: WorkerKind,
        features: &'a [FeatureId],
        process: &'a ProcessIdentity,
        profile: &'a ProfileName,
        at_ms: u64,
    },
    /// A profile's provider fails every session from now on, or no longer does.
    Outage {
        profile: &'a ProfileName,
        at_ms: u64,
        begins: bool,
    },
    /// Nothing is left of the agents of an attempt.
    TreeGone { attempt: AttemptId },
    /// A worker's process came.
    Born { process: &'a ProcessIdentity },
    /// A worker's process is gone.
    Died { process: &'a ProcessIdentity },
    /// The scheduler ends a worker by force. A healthy one was never stopped and does not hang,
    /// and nobody wants the scheduler to end.
    Killed {
        process: &'a ProcessIdentity,
        healthy: bool,
    },
    /// The branch moved.
    Moved { to: &'a CommitId },
    /// Somebody took commits off the branch.
    Rewound { lost: &'a [CommitId] },
    /// An attempt ends because the machine fails it.
    Troubled { attempt: AttemptId },
    /// An agent was given what only people or workers get.
    Obeyed { what: String },
    /// The same events were folded in two ways.
    Folded {
        how: &'static str,
        one: &'a [u8],
        other: &'a [u8],
    },
    /// A scheduler process ended by itself, and these workers of its own are still there.
    Ended { left: &'a [u32] },
    /// An attempt has passed: how long it took by the log, and how long it did.
    Lasted { told_ms: u64, real_ms: u64 },
    /// A worker ends an attempt because its time is up: for how long the worker has worked on it.
    TimedOut { ran_ms: u64, limit_ms: u64 },
    /// The run is over, and the scheduler's process with it.
    Over { outcome: RunOutcome },
}

/// One thing that must hold.
pub trait Checker {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Looks; `book` is what the log said before this. The error says what does not hold.
    fn see(&mut self, sight: &Sight<'_>, book: &Book, git: &Git) -> Result<(), String>;
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub checker: &'static str,
    pub what: String,
}

/// Everybody who looks.
pub struct Observers {
    all: Vec<Box<dyn Checker + Send>>,
    pub book: Book,
}

impl Observers {
    pub fn new() -> Self {
        let (all, book) = (checks::all(), Book::default());
        Self { all, book }
    }

    /// Shows something to everybody; what the first one says who minds.
    pub fn see(&mut self, sight: &Sight<'_>, git: &Git) -> Option<Violation> {
        for checker in &mut self.all {
            if let Err(what) = checker.see(sight, &self.book, git) {
                let checker = checker.name();
                return Some(Violation { checker, what });
            }
        }
        if let Sight::Durable(recorded) = sight {
            self.book.note(recorded);
        }
        None
    }
}

/// Fails with words unless something holds.
pub fn must(holds: bool, words: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(words()) }
}
