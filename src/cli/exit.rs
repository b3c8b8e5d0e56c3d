//! How the `scheduler` and `worker` commands end, as one number.

/// What the process's exit code says. The numbers are part of the interface: scripts decide by
/// them, so a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// The command did what it was asked; of a run: every feature passes.
    Passing = 0,
    /// Crewlog or the machine failed; nothing acknowledged is lost.
    Internal = 1,
    /// The arguments, the config or the backlog are wrong, or the command was refused.
    Usage = 2,
    /// The run is over and some features failed for good: parked, unreachable, or not
    /// verified.
    SomeFailed = 3,
    /// Nothing can go on without a person: a question is open, nobody has started the workers that
    /// the rest needs, or nothing is runnable.
    WaitingForPerson = 4,
    /// Another process holds the log.
    LogHeld = 5,
    /// The log is damaged.
    LogDamaged = 6,
    /// The budget is spent.
    BudgetSpent = 7,
    /// Ended by Ctrl-C or SIGTERM before the run was over.
    Interrupted = 130,
}

impl ExitCode {
    /// Every code, ascending.
    pub const ALL: [Self; 9] = [
        Self::Passing,
        Self::Internal,
        Self::Usage,
        Self::SomeFailed,
        Self::WaitingForPerson,
        Self::LogHeld,
        Self::LogDamaged,
        Self::BudgetSpent,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in the words of `--help`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Passing => "done; of a run: all features pass",
            Self::Internal => "Crewlog or the machine failed",
            Self::Usage => "wrong arguments, config or backlog, or the command was refused",
            Self::SomeFailed => {
                "some features failed for good (parked, unreachable, or not verified)"
            }
            Self::WaitingForPerson => "waiting for a person or for workers, or nothing is runnable",
            Self::LogHeld => "the log is held by another process",
            Self::LogDamaged => "the log is damaged",
            Self::BudgetSpent => "the budget is spent",
            Self::Interrupted => "interrupted",
        }
    }

    /// The table that `--help` ends with.
    pub fn table() -> String {
        let mut out = String::from("Exit codes:\n");
        for code in Self::ALL {
            out.push_str(&format!("  {:>3}  {}\n", code.code(), code.meaning()));
        }
        out
    }
}

impl From<crate::model::event::RunOutcome> for ExitCode {
    fn from(outcome: crate::model::event::RunOutcome) -> Self {
        use crate::model::event::RunOutcome;
        match outcome {
            RunOutcome::AllPassing => Self::Passing,
            RunOutcome::SomeFailed => Self::SomeFailed,
            RunOutcome::WaitingForPerson => Self::WaitingForPerson,
            RunOutcome::BudgetSpent => Self::BudgetSpent,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}
