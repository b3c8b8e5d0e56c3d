//! Exit codes of `scheduler` and `worker`.

/// The process's exit code. Scripts depend on the numbers, so a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// The command succeeded; for a run: every feature passes.
    Passing = 0,
    /// Crewlog or the machine failed; nothing acknowledged is lost.
    Internal = 1,
    /// The arguments, the config or the backlog are wrong, or the command was refused.
    Usage = 2,
    /// The run is over and some features failed for good: parked, unreachable, or not
    /// verified.
    SomeFailed = 3,
    /// The run cannot continue without a person: a question is open, the remaining work needs workers
    /// that are not running, or nothing is runnable.
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

    /// The exit code as a number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The code with this number.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.code() == number)
    }

    /// What the code means, as printed by `--help`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Passing => "success; for a run: all features pass",
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

    /// The table at the end of `--help`.
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
