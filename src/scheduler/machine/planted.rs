//! Planted bugs that need more than leaving something out.

use super::{Machine, Now};
use crate::model::command::Command;
use crate::model::event::TestTerms;
use crate::model::feature::Status;
use crate::model::settings::WorkerKind;

impl Machine {
    /// Takes a merge that an earlier scheduler began for one that did not happen.
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

    /// Gives one more job to a testing worker that asked for one.
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
            profile: (state.starts_agent(WorkerKind::Testing, &[feature])).then(Default::default),
            features: vec![feature],
            last: false,
            draw: 0,
            terms: TestTerms::default(),
            runners_up: Vec::new(),
        };
        // The rules may forbid it, for example when the budget is spent.
        let _ = self.core.submit_own(now.wall, &command);
    }
}
