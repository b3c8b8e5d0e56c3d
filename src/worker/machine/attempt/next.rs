//! What a step brought, and which one follows it.

use super::{Attempt, Findings, Work, WorkStep};
use crate::model::evidence::Usage;
use crate::model::ids::CommitId;
use crate::model::report::Report;
use crate::model::settings::WorkerKind;
use crate::worker::machine::{Finished, HookPoint};
use crate::worker::outcome::{self, RebasedCommit};

/// What follows a step that went well.
pub(super) enum Next {
    Step(WorkStep),
    Report(Report),
}

impl Findings {
    /// Nothing yet, on this head.
    pub(super) fn at(head: CommitId) -> Self {
        Self {
            head,
            rebased: RebasedCommit::default(),
            checks: Vec::new(),
            session: None,
            usage: Usage::default(),
        }
    }
}

impl Attempt {
    pub(super) fn absorb(&mut self, finished: Finished) {
        match finished {
            Finished::Made(rebased) => {
                self.work = Work::Unkept;
                self.found.rebased = rebased;
            }
            Finished::Session(session) => {
                self.found.usage = self.found.usage.plus(session.usage);
                self.found.session = Some(*session);
            }
            Finished::Rebased(rebased) => self.found.rebased = rebased,
            Finished::Checked(checks) => self.found.checks = checks,
            Finished::Hooked
            | Finished::Committed
            | Finished::Preserved(_)
            | Finished::Spooled
            | Finished::Cleaned => {}
        }
    }

    pub(super) fn next(&self, step: &WorkStep) -> Next {
        let all = || self.features().iter().map(|feature| feature.id).collect();
        match (step, self.kind) {
            (WorkStep::Make, _) => Next::Step(WorkStep::Hook(HookPoint::AfterCreate)),
            (WorkStep::Hook(HookPoint::AfterCreate), _) => {
                Next::Step(WorkStep::Hook(HookPoint::BeforeRun))
            }
            (WorkStep::Hook(HookPoint::BeforeRun), WorkerKind::Coding) => {
                Next::Step(WorkStep::session(all()))
            }
            (WorkStep::Hook(HookPoint::BeforeRun), WorkerKind::Testing) => {
                self.check_or(|| Next::Step(WorkStep::session(self.for_agent())))
            }
            (WorkStep::Session { .. }, _) => Next::Step(WorkStep::Hook(HookPoint::AfterRun)),
            (WorkStep::Check { .. }, WorkerKind::Testing) => Next::Step(match self.for_agent() {
                none if none.is_empty() => WorkStep::Hook(HookPoint::AfterRun),
                some => WorkStep::session(some),
            }),
            (WorkStep::Hook(HookPoint::AfterRun), WorkerKind::Testing) => {
                Next::Report(self.tested(None))
            }
            (WorkStep::Hook(HookPoint::AfterRun), WorkerKind::Coding) => {
                let session = self.found.session.as_ref();
                match session
                    .and_then(|session| outcome::after_coding_session(self.features(), session))
                {
                    Some(report) => Next::Report(report),
                    None => Next::Step(WorkStep::Commit),
                }
            }
            (WorkStep::Commit, _) => Next::Step(WorkStep::Rebase(self.found.head.clone())),
            (WorkStep::Rebase(_), _) => self.check_or(|| Next::Report(self.checked())),
            (WorkStep::Check { .. }, WorkerKind::Coding) => Next::Report(self.checked()),
        }
    }

    fn check_or(&self, otherwise: impl FnOnce() -> Next) -> Next {
        match self.with_checks() {
            none if none.is_empty() => otherwise(),
            features => Next::Step(WorkStep::Check {
                features,
                go_on: self.kind == WorkerKind::Testing,
            }),
        }
    }

    fn checked(&self) -> Report {
        let session = self.found.session.as_ref();
        let note = session.and_then(|session| session.verdict.note.as_deref());
        let (rebased, checks) = (&self.found.rebased, &self.found.checks);
        let report = outcome::after_checks(self.features(), rebased, checks, note);
        match session {
            Some(session) => outcome::empty_turn(report, session),
            None => report,
        }
    }
}
