//! Problems of the machine: how long one has held the run up, and what shows that it is over.

use super::{Machine, Now};
use crate::model::command::Command;
use crate::model::ids::AttemptId;
use crate::model::plan::trouble as plan;
use crate::model::settings::WorkerKind;
use crate::model::trouble;
use crate::protocol::Phase;

impl Machine {
    /// Measures for how long only a problem of the machine has held the run up. It uses the
    /// monotonic clock and this process only: the next scheduler tries again.
    pub(super) fn look_for_trouble(&mut self, now: Now) {
        let held = self.life.is_working() && plan::holds(self.core.state());
        if !held {
            self.troubled_since_ms = None;
            self.world.troubled_ms = None;
            return;
        }
        let since = *self.troubled_since_ms.get_or_insert(now.mono_ms);
        self.world.troubled_ms = Some(now.mono_ms.saturating_sub(since));
    }

    /// When the run ends because of a problem, in monotonic milliseconds.
    pub(super) fn trouble_until_ms(&self, now: Now) -> Option<u64> {
        let waited_ms = self.world.troubled_ms.filter(|_| !self.world.stay)?;
        let left_ms = plan::left_ms(self.core.state(), waited_ms);
        // A wait that is over already waits for the end of an open attempt, which is an input.
        let left_ms = left_ms.filter(|&left| left > 0)?;
        Some(now.mono_ms.saturating_add(left_ms))
    }

    /// An attempt has come to this phase, and its agent has finished so many steps.
    pub(super) fn got_to(&mut self, now: Now, attempt: AttemptId, phase: Phase, steps: u32) {
        self.agent_shows(attempt, phase, steps);
        let state = self.core.state();
        let machine = state.troubled.as_ref();
        let machine = machine.is_some_and(|it| it.is_probe(attempt) && stage(phase) > it.stage);
        let answers = steps > 0 || self.is_session_over(attempt, phase);
        let outage = state.profile_of(attempt).and_then(|it| state.outage(it));
        let over = outage.is_some_and(|it| answers && it.is_probe(attempt) && it.ends());
        if over || machine {
            self.record(now, &Command::Recover { attempt });
        }
    }
}

impl Machine {
    /// Whether the phase shows that the agent's session is over. A test runs its checks first.
    pub(super) fn is_session_over(&self, attempt: AttemptId, phase: Phase) -> bool {
        let open = self.core.state().attempts().get(&attempt);
        let coding = open.is_some_and(|open| open.job.kind == WorkerKind::Coding);
        coding && phase > Phase::Session
    }
}

/// The stage that an attempt in this phase has reached.
fn stage(phase: Phase) -> trouble::Stage {
    match phase {
        Phase::Preparing => trouble::Stage::Prepare,
        Phase::Session => trouble::Stage::Session,
        Phase::Rebasing => trouble::Stage::Rebase,
        Phase::Checking => trouble::Stage::Check,
        Phase::Merging => trouble::Stage::Report,
    }
}
