//! What planted bugs do where leaving something out is not enough.

use super::{Machine, Now};
use crate::model::command::Command;
use crate::model::event::TestTerms;
use crate::model::feature::Status;
use crate::model::settings::WorkerKind;

impl Machine {
    /// Takes the merge that an earlier scheduler has begun for one that did not happen.
    pub(super) fn forget_merge(&mut self, now: Now) {
        let Some(merge) = self.core.state().open_merge() else {
            return;
        };
        let command = Command::SettleMerge {
            attempt: merge.attempt,
            merged: false,
            head: merge.onto.clone(),
        };
        let settled = self.core.submit_own(now.wall, &command);
        assert!(settled.is_ok(), "{settled:?}");
    }

    /// Gives a testing worker that asked for a job one more.
    pub(super) fn test_after_the_end(&mut self, now: Now) {
        let idle = self.world.idle.values();
        let mut idle = idle.filter(|(_, kind)| *kind == WorkerKind::Testing);
        let state = self.core.state();
        let passing = |status| status == Status::Passing;
        let feature = (state.features().find(|it| passing(it.status))).map(|it| it.id);
        let (Some(&(worker, _)), Some(feature)) = (idle.next(), feature) else {
            return;
        };
        let command = Command::AssignTest {
            worker,
            features: vec![feature],
            last: false,
            draw: 0,
            terms: TestTerms::default(),
            runners_up: Vec::new(),
        };
        // It does not fit everywhere, as where the budget is spent.
        let _ = self.core.submit_own(now.wall, &command);
    }
}
