//! Ends the run when the remaining work has waited too long for a kind of worker, or when that
//! kind's workers keep failing.

use super::World;
use crate::model::clip::clip;
use crate::model::event::RunOutcome;
use crate::model::format;
use crate::model::ids::Timestamp;
use crate::model::remaining::{nobody_at_work, unverified, waits_for};
use crate::model::settings::WorkerKind;
use crate::model::state::State;

/// Longest part quoted of a failed worker's last output.
const SAID_BYTES_MAX: usize = 400;

/// How long work has waited for a kind of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerWait {
    /// Milliseconds of the wait.
    pub waited_ms: u64,
    /// True if such a worker was connected before, or should have started. A run waits for its first
    /// worker without limit.
    pub gone: bool,
}

impl WorkerWait {
    /// Milliseconds until the run ends because of the wait; `None` if it does not.
    pub fn left_ms(self, state: &State) -> Option<u64> {
        let limit = state.settings.worker_wait_ms;
        (self.gone && limit > 0).then(|| limit.saturating_sub(self.waited_ms))
    }
}

/// Consecutive failures of workers, with no finished attempt in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// Number of failures.
    pub failures: u32,
    /// How the last one ended, such as `exit code 1`.
    pub how: String,
    /// Last output of one of them; may be empty.
    pub said: String,
}

/// How and why the run ends for lack of workers; `None` while it continues.
pub fn due(state: &State, now: Timestamp, world: &World) -> Option<(RunOutcome, String)> {
    if !nobody_at_work(state, now) {
        return None;
    }
    let crash = world
        .crashing
        .iter()
        .find(|(kind, _)| waits_for(state, now, **kind));
    if let Some((&kind, crash)) = crash {
        return Some((RunOutcome::WaitingForPerson, crashed(state, kind, crash)));
    }
    let over = |kind: &WorkerKind, wait: &WorkerWait| {
        waits_for(state, now, *kind) && wait.left_ms(state) == Some(0)
    };
    let (kind, wait) = world
        .missing_workers
        .iter()
        .find(|(kind, it)| over(kind, it))?;
    let left = left(state, *kind);
    let (word, waited) = (kind.as_str(), format::duration(wait.waited_ms));
    let reason = format!(
        "stopped: no {word} worker for {waited}, and {left}. Continue with `scheduler run --workers {word}=1`, or with `scheduler run` and `worker --kind {word}`"
    );
    let unfit = state.workers().values();
    let unfit = unfit.filter(|worker| worker.kind == *kind && worker.is_suspended());
    let unfit: Vec<&str> = unfit.map(|worker| worker.name.as_str()).collect();
    let reason = match unfit.as_slice() {
        [] => reason,
        names => format!(
            "{reason}. {} gave up every job; check its output",
            names.join(", ")
        ),
    };
    Some((RunOutcome::WaitingForPerson, reason))
}

fn left(state: &State, kind: WorkerKind) -> String {
    match kind {
        WorkerKind::Coding => "features remain to be implemented".to_owned(),
        WorkerKind::Testing => match unverified(state).count() {
            1 => "1 passing feature remains to be verified".to_owned(),
            count => format!("{count} passing features remain to be verified"),
        },
    }
}

fn crashed(state: &State, kind: WorkerKind, crash: &Crash) -> String {
    let (left, word) = (left(state, kind), kind.as_str());
    let (failures, how) = (crash.failures, &crash.how);
    let said = match &*crash.said {
        "" => "it wrote nothing (see workers.log in the data directory)".to_owned(),
        // The reason has a limit, and must have room for what to do next.
        said => format!("its last output: {}", clip(said, SAID_BYTES_MAX)),
    };
    format!(
        "stopped: {failures} {word} workers in a row failed before finishing an attempt, the last one with {how}; {said}. Fix this, then continue with `scheduler run` ({left})"
    )
}
