//! Work that nobody is there to do: after a while the run ends, so that nobody waits for ever.

use super::testing::unverified;
use super::{World, final_tests_wait, starts};
use crate::model::event::RunOutcome;
use crate::model::ids::Timestamp;
use crate::model::settings::WorkerKind;
use crate::model::state::State;
use crate::model::views::brief;

/// How long nobody has been there for work that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// For so long, in milliseconds.
    pub waited_ms: u64,
    /// Somebody was there before, or was to be: a run waits for its first worker without limit.
    pub gone: bool,
}

impl Absence {
    /// Milliseconds until the run ends because of it; `None` when it does not.
    pub fn left_ms(self, state: &State) -> Option<u64> {
        let limit = state.settings.worker_wait_ms;
        (self.gone && limit > 0).then(|| limit.saturating_sub(self.waited_ms))
    }
}

/// Whether there is work that may begin, or soon may, if only a worker of this kind were there.
pub fn waits_for(state: &State, now: Timestamp, kind: WorkerKind) -> bool {
    let work = match kind {
        WorkerKind::Coding => state.ready_count() > 0 || state.delayed().next().is_some(),
        WorkerKind::Testing => final_tests_wait(state),
    };
    work && state.open_run().is_some() && starts(state, now)
}

/// Whether nothing is under way, and what is left needs a worker of some kind.
pub fn nobody_at_work(state: &State, now: Timestamp) -> bool {
    let kinds = [WorkerKind::Coding, WorkerKind::Testing];
    let open = !state.attempts().is_empty() || state.open_merge().is_some();
    !open && kinds.iter().any(|&kind| waits_for(state, now, kind))
}

/// How the run is to end for want of workers, and why; none while it is to go on.
pub fn due(state: &State, now: Timestamp, world: &World) -> Option<(RunOutcome, String)> {
    if !nobody_at_work(state, now) {
        return None;
    }
    let over = |kind: &WorkerKind, absence: &Absence| {
        waits_for(state, now, *kind) && absence.left_ms(state) == Some(0)
    };
    let (kind, absence) = world.lacking.iter().find(|(kind, it)| over(kind, it))?;
    let left = match kind {
        WorkerKind::Coding => "features are left to do".to_owned(),
        WorkerKind::Testing => {
            let count = unverified(state).count();
            format!("{count} passing features are left to verify")
        }
    };
    let (word, waited) = (kind.word(), brief::duration(absence.waited_ms));
    let reason = format!(
        "{left}, and no {word} worker has been there to do it for {waited}: `scheduler run --workers {word}=1` goes on, or start `worker --kind {word}` beside `scheduler run`"
    );
    let unfit = state.workers().values();
    let unfit = unfit.filter(|worker| worker.kind == *kind && worker.is_unfit());
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
