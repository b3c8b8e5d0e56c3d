//! Work that nobody is there to do, or that nobody can do: after a while the run ends, so that
//! nobody waits for ever.

use super::World;
use crate::model::clip::clip;
use crate::model::event::RunOutcome;
use crate::model::format;
use crate::model::ids::Timestamp;
use crate::model::remaining::{nobody_at_work, unverified, waits_for};
use crate::model::settings::WorkerKind;
use crate::model::state::State;

/// What a failed worker said last is a sentence or two.
const SAID_BYTES_MAX: usize = 400;

/// How long nobody has been there for work that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerWait {
    /// For so long, in milliseconds.
    pub waited_ms: u64,
    /// Somebody was there before, or was to be: a run waits for its first worker without limit.
    pub gone: bool,
}

impl WorkerWait {
    /// Milliseconds until the run ends because of it; `None` when it does not.
    pub fn left_ms(self, state: &State) -> Option<u64> {
        let limit = state.settings.worker_wait_ms;
        (self.gone && limit > 0).then(|| limit.saturating_sub(self.waited_ms))
    }
}

/// Workers that have failed again and again, and brought no attempt to an end meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// So often.
    pub failures: u32,
    /// How the last one ended, such as `exit code 1`.
    pub how: String,
    /// What was heard last of one of them; may be empty.
    pub said: String,
}

/// How the run is to end for want of workers, and why; none while it is to go on.
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
    let over = |kind: &WorkerKind, absence: &WorkerWait| {
        waits_for(state, now, *kind) && absence.left_ms(state) == Some(0)
    };
    let (kind, absence) = world.lacking.iter().find(|(kind, it)| over(kind, it))?;
    let left = left(state, *kind);
    let (word, waited) = (kind.word(), format::duration(absence.waited_ms));
    let reason = format!(
        "{left}, and no {word} worker has been there to do it for {waited}: `scheduler run --workers {word}=1` goes on, or start `worker --kind {word}` beside `scheduler run`"
    );
    let unfit = state.workers().values();
    let unfit = unfit.filter(|worker| worker.kind == *kind && worker.is_suspended());
    let unfit: Vec<&str> = unfit.map(|worker| worker.name.as_str()).collect();
    let reason = match unfit.as_slice() {
        [] => reason,
        names => format!(
            "{reason}; {} gave back every job that it was given, see what it says",
            names.join(", ")
        ),
    };
    Some((RunOutcome::WaitingForPerson, reason))
}

fn left(state: &State, kind: WorkerKind) -> String {
    match kind {
        WorkerKind::Coding => "features are left to do".to_owned(),
        WorkerKind::Testing => {
            let count = unverified(state).count();
            format!("{count} passing features are left to verify")
        }
    }
}

fn crashed(state: &State, kind: WorkerKind, crash: &Crash) -> String {
    let (left, word) = (left(state, kind), kind.word());
    let (failures, how) = (crash.failures, &crash.how);
    let said = match &*crash.said {
        "" => "nothing was heard of it; see workers.log in the data directory".to_owned(),
        // A reason has a limit, and what to do next must find its place in it.
        said => format!("it said: {}", clip(said, SAID_BYTES_MAX)),
    };
    format!(
        "{left}, and {failures} {word} workers in a row failed before an attempt came to its end, the last one with {how}; {said}. Mend that, and `scheduler run` goes on"
    )
}
