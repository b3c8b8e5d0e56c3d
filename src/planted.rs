//! Deliberate bugs that test the tests: the simulation switches one on, and its observers must
//! notice.
//!
//! `planted!(Name)` is the literal `false` except in the library's own unit tests, which include
//! the simulation (`cfg(test)`): no shipped binary, and none that an integration test starts,
//! contains any of these bugs, and the crate is not built a second time for them. In those tests
//! the switch is a variable of the thread, so that simulations do not affect each other.

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

    /// A text that tests search binaries for, to prove that they contain no planted bugs.
    pub const MARK: &str = "planted bugs can be switched on in this program";

    /// What can be planted, and what a person would see of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Bug {
        /// A report counts for any open attempt, whichever worker holds it.
        NoTokenCheck,
        /// Effects are executed before their events are durable.
        AcknowledgeBeforeSync,
        /// Features start before their dependencies pass.
        DependencyIgnored,
        /// The end of a worker is not noticed.
        LostNeverDetected,
        /// A repeated command is executed again.
        DuplicateApplied,
        /// A start assigns open attempts again, although their workers live.
        RequeueDoubled,
        /// Folding continues one event too late after a snapshot.
        SnapshotOffByOne,
        /// Features may wait for themselves.
        CycleAccepted,
        /// Failures are not counted.
        RetryNotCounted,
        /// A testing worker gets one more job when the run has ended.
        TestAfterEnd,
        /// A report that repeats its usage counts it again.
        UseCountedTwice,
        /// What a failed attempt used is not counted.
        UseForgotten,
        /// Attempts start while the run is paused.
        PauseIgnored,
        /// Agents start while their provider refuses or fails.
        ProviderIgnored,
        /// Attempts start while the machine is in trouble.
        TroubleIgnored,
        /// A problem of the machine counts as a failed try.
        TroubleCounted,
        /// Agents may give a person's commands.
        AgentObeyed,
        /// What an agent has started may take jobs.
        AgentHired,
        /// Features keep passing after somebody has removed their merges from the branch.
        LostWorkPasses,
        /// Attempts start when the budget is spent.
        BudgetIgnored,
        /// A start does not ask git about the open merge.
        MergeForgotten,
        /// What fails its checks passes.
        FailedChecksPass,
        /// A dead worker's attempt is assigned again before its agents have ended.
        AgentsOutliveTheirAttempt,
        /// A late report that is repeated is answered as if it had been in time.
        LateAnsweredOtherwise,
        /// Connected workers that wait for a job send nothing.
        IdleWorkerSilent,
        /// A merge counts as done when git failed.
        FailedGitBelieved,
        /// Limits continue while the process is stopped.
        StopCounted,
        /// A jump of the clock is not recorded.
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
