//! What a step brought, and which one follows it.

use super::{Attempt, Finished, HookPoint, RunningStep, StepKind};
use crate::model::evidence::{Failure, FailureKind};
use crate::model::report::Report;
use crate::model::settings::WorkerKind;
use crate::worker::outcome;

/// What follows a step that went well.
pub(super) enum Next {
    Step(StepKind),
    Report(Report),
}

impl Attempt {
    pub(super) fn absorb(&mut self, finished: Finished) {
        match finished {
            Finished::Made(rebased) => {
                self.made = true;
                self.rebased = rebased;
            }
            Finished::Session(session) => {
                self.usage = self.usage.plus(session.usage);
                self.session = Some(*session);
            }
            Finished::Rebased(rebased) => self.rebased = rebased,
            Finished::Checked(checks) => self.checks = checks,
            Finished::Hooked
            | Finished::Committed
            | Finished::Preserved(_)
            | Finished::Spooled
            | Finished::Cleaned => {}
        }
    }

    pub(super) fn next(&self, running: RunningStep) -> Next {
        let all = || self.features().iter().map(|feature| feature.id).collect();
        match (running, self.kind) {
            (RunningStep::Make, _) => Next::Step(StepKind::Hook(HookPoint::AfterCreate)),
            (RunningStep::Hook(HookPoint::AfterCreate), _) => {
                Next::Step(StepKind::Hook(HookPoint::BeforeRun))
            }
            (RunningStep::Hook(HookPoint::BeforeRun), WorkerKind::Coding) => {
                Next::Step(StepKind::Session(all()))
            }
            (RunningStep::Hook(HookPoint::BeforeRun), WorkerKind::Testing) => {
                self.check_or(|| Next::Step(StepKind::Session(self.for_agent())))
            }
            (RunningStep::Session, _) => Next::Step(StepKind::Hook(HookPoint::AfterRun)),
            (RunningStep::Check, WorkerKind::Testing) => Next::Step(match self.for_agent() {
                none if none.is_empty() => StepKind::Hook(HookPoint::AfterRun),
                some => StepKind::Session(some),
            }),
            (RunningStep::Hook(HookPoint::AfterRun), WorkerKind::Testing) => {
                Next::Report(self.tested(None))
            }
            (RunningStep::Hook(HookPoint::AfterRun), WorkerKind::Coding) => {
                let session = self.session.as_ref();
                match session
                    .and_then(|session| outcome::after_coding_session(self.features(), session))
                {
                    Some(report) => Next::Report(report),
                    None => Next::Step(StepKind::Commit),
                }
            }
            (RunningStep::Commit, _) => Next::Step(StepKind::Rebase(self.head.clone())),
            (RunningStep::Rebase, _) => self.check_or(|| Next::Report(self.checked())),
            (RunningStep::Check, WorkerKind::Coding) => Next::Report(self.checked()),
            (RunningStep::Preserve | RunningStep::Spool | RunningStep::Clean, _) => {
                let failure = Failure::new(FailureKind::Setup, "the attempt has no next step");
                Next::Report(self.failed(&failure))
            }
        }
    }

    fn check_or(&self, otherwise: impl FnOnce() -> Next) -> Next {
        match self.with_checks() {
            none if none.is_empty() => otherwise(),
            features => Next::Step(StepKind::Check {
                features,
                go_on: self.kind == WorkerKind::Testing,
            }),
        }
    }

    fn checked(&self) -> Report {
        let session = self.session.as_ref();
        let note = session.and_then(|session| session.verdict.note.as_deref());
        outcome::after_checks(self.features(), &self.rebased, &self.checks, note)
    }
}
