//! Bugs on purpose, as a permanent test of the tests: the simulation switches one on, and its
//! observers have to notice.
//!
//! `planted!(Name)` is the literal `false` in everything but the library's own unit tests, of which
//! the simulation is a part (`cfg(test)`): no binary that anybody ships, or that an integration
//! test starts, holds any of these bugs, and the crate is not built a second time for them. There
//! the switch is a variable of the thread, so that one simulation's bug is no other's.

/// Whether this bug is planted here and now.
#[cfg(not(test))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(test)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is($crate::planted::Bug::$bug)
    };
}

#[cfg(test)]
pub(crate) use switch::{Bug, MARK, is, with};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    /// What binaries are searched for, to prove that they hold no planted bugs.
    pub const MARK: &str = "planted bugs can be switched on in this program";

    /// What can be planted, and what a person would see of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Bug {
        /// A report counts for whatever attempt is open, whoever holds it.
        NoTokenCheck,
        /// Effects are carried out before their events are on the disk.
        AcknowledgeBeforeSync,
        /// Features are worked on before what they wait for passes.
        DependencyIgnored,
        /// Nobody notices that a worker is gone.
        LostNeverDetected,
        /// The same command is carried out once more when it is repeated.
        DuplicateApplied,
        /// Open attempts are given out anew at a start, although their workers live.
        RequeueDoubled,
        /// Folding continues one event too late after a snapshot.
        SnapshotOffByOne,
        /// Features may wait for themselves.
        CycleAccepted,
        /// Failures are not counted.
        RetryNotCounted,
        /// A testing worker gets one more job when the run has ended.
        TestAfterEnd,
        /// A report that repeats what was used counts it once more.
        UseCountedTwice,
        /// What a failed attempt used is not counted.
        UseForgotten,
        /// Attempts start while the run is paused.
        PauseIgnored,
        /// Attempts start while the machine is in trouble.
        TroubleIgnored,
        /// A trouble of the machine counts as a failed try.
        TroubleCounted,
        /// Agents may give a person's commands.
        AgentObeyed,
        /// What an agent has started may take jobs.
        AgentHired,
        /// Features keep passing whose merges somebody has taken off the branch.
        LostWorkPasses,
        /// Attempts start when the budget is spent.
        BudgetIgnored,
        /// A start does not ask git what has become of the open merge.
        MergeForgotten,
        /// What fails its checks passes.
        FailedChecksPass,
        /// A dead worker's attempt is given out anew before its agents are gone.
        AgentsOutliveTheirAttempt,
        /// A late report that is repeated is answered as if it had been in time.
        LateAnsweredOtherwise,
        /// Connected workers that wait for a job say nothing.
        IdleWorkerSilent,
        /// A merge counts as done when git failed.
        FailedGitBelieved,
        /// Limits continue while the process is stopped.
        StopCounted,
        /// Nobody notes that the clock went forward.
        JumpForgotten,
    }

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Does something with a bug planted, or without any.
    pub fn with<T>(bug: Option<Bug>, work: impl FnOnce() -> T) -> T {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                PLANTED.set(None);
            }
        }
        PLANTED.set(bug);
        let _reset = Reset;
        work()
    }
}
