//! One attempt on its way from the job to the report.

mod clock;
mod next;
mod stage;

use crate::model::end_reason::EndReason;
use crate::model::evidence::{Failure, FailureKind, SessionEnd, Usage};
use crate::model::ids::{AttemptId, CommandId, CommitId, FeatureId, Sequence, Timestamp};
use crate::model::report::{AttemptReport, JobFeature, Report};
use crate::model::settings::WorkerKind;
use crate::model::trouble;
use crate::protocol::{Holding, JobOffer, Phase};
use crate::worker::outcome::{self, FeatureChecks, RebasedCommit, SessionResult};

use super::{Done, Effect, HookPoint, Leftover, Machine, Step, StepKind};
use clock::WorkClock;
use next::Next;
pub(super) use stage::{Ending, Interrupted, RecordStep, Stage, TIDY_LIMIT_MS, TidyStep, WorkStep};

/// An attempt at hand: the job, the stage it is in, and what it has found out so far.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) kind: WorkerKind,
    /// `None` when a dead worker had it: only its result is left to report, or its remains to
    /// remove.
    pub(super) job: Option<Box<JobOffer>>,
    pub(super) acknowledged: Sequence,
    pub(super) stage: Stage,
    pub(super) clock: WorkClock,
    pub(super) work: Work,
    /// The phase of the last step of the work.
    got_to: Phase,
    found: Findings,
}

/// What the agent has left in the worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// There is no worktree.
    Absent,
    /// It is in the worktree, and would be lost with it.
    Unkept,
    /// It is kept under a name, or there was none to keep.
    Kept,
    /// It could not be kept, so the worktree stays.
    Unkeepable,
}

/// What the steps have brought.
#[derive(Debug)]
struct Findings {
    /// The head of the branch, as far as it is known.
    head: CommitId,
    rebased: RebasedCommit,
    checks: Vec<FeatureChecks>,
    session: Option<SessionResult>,
    /// What the attempt has used in all.
    usage: Usage,
}

impl Attempt {
    fn new(job: Box<JobOffer>, now: Timestamp) -> Self {
        Self {
            id: job.attempt,
            kind: job.kind,
            acknowledged: job.acknowledged,
            stage: Stage::working(WorkStep::Make),
            clock: WorkClock::running(now, job.settings.time_limit_ms),
            work: Work::Absent,
            got_to: Phase::Preparing,
            found: Findings::at(job.base.clone()),
            job: Some(job),
        }
    }

    /// Another worker's, which begins at a stage near its end.
    fn orphan(id: AttemptId, kind: WorkerKind, stage: Stage) -> Self {
        Self {
            id,
            kind,
            job: None,
            acknowledged: Sequence(0),
            stage,
            clock: WorkClock::stopped(),
            work: Work::Absent,
            got_to: Phase::Preparing,
            found: Findings::at(CommitId::default()),
        }
    }

    pub(super) fn features(&self) -> &[JobFeature] {
        self.job.as_ref().map_or(&[], |job| &job.features)
    }

    fn test_with_agent(&self) -> bool {
        self.job
            .as_ref()
            .is_some_and(|job| job.settings.test_with_agent)
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        if let Stage::Working { step, .. } | Stage::Settling { step, .. } = &self.stage {
            self.got_to = self.phase_of(step);
        }
        self.stage = stage;
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting { .. })
    }

    /// True while what the attempt comes to is still open and a step is running.
    pub(super) fn is_working(&self) -> bool {
        matches!(self.stage, Stage::Working { .. })
    }

    /// The result, from when it is known until it is answered.
    pub(super) fn report(&self) -> Option<&AttemptReport> {
        match &self.stage {
            Stage::Recording { report, .. } | Stage::Waiting { report } => Some(report),
            Stage::Working { .. } | Stage::Settling { .. } | Stage::Over { .. } => None,
        }
    }

    /// What it has used in all so far.
    pub(super) fn usage(&self) -> Usage {
        self.found.usage
    }

    /// Whether an agent is or was at work.
    pub(super) fn has_session(&self) -> bool {
        let running = matches!(
            &self.stage,
            Stage::Working {
                step: WorkStep::Session { .. },
                ..
            }
        );
        running || self.found.session.is_some()
    }

    /// Whether a session has ended without any work.
    pub(super) fn is_workless(&self) -> bool {
        let session = self.found.session.as_ref();
        session.is_some_and(|session| !session.seen.worked)
    }

    /// True while this report is the one that an answer is wanted to.
    fn waits_for(&self, command: CommandId) -> bool {
        matches!(&self.stage, Stage::Waiting { report } if report.command == command)
    }

    /// Another worker's attempt, with nothing under way.
    pub(super) fn is_idle_orphan(&self) -> bool {
        self.job.is_none() && self.is_waiting()
    }

    /// What a hello says of it: nothing when it is over, or was never this process's.
    pub(super) fn holding(&self) -> Option<Holding> {
        let ending = match &self.stage {
            Stage::Over { verdict, .. } if verdict.is_some() => return None,
            Stage::Working { interrupted, .. } => interrupted.as_ref().map(|it| &it.ending),
            Stage::Recording { ending, .. } => ending.as_ref(),
            Stage::Settling { .. } | Stage::Waiting { .. } | Stage::Over { .. } => None,
        };
        let dropped = matches!(ending, Some(Ending::Drop { .. }));
        (self.job.is_some() && !dropped).then_some(Holding {
            attempt: self.id,
            acknowledged: self.acknowledged,
        })
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let times = [self.clock.deadline(), self.stage.due()];
        times.into_iter().flatten().min()
    }

    /// The stage in the scheduler's words; `None` when it is over, or another worker's.
    pub(super) fn phase(&self) -> Option<(AttemptId, Phase)> {
        let phase = match &self.stage {
            _ if self.job.is_none() => return None,
            Stage::Over { .. } => return None,
            Stage::Waiting { report } | Stage::Recording { report, .. } => match report.report {
                Report::Mergeable(_) | Report::Tested { .. } => Phase::Merging,
                // It got no further than where it failed: a phase beyond that would say that what
                // stopped it is over.
                _ => self.got_to,
            },
            Stage::Working { step, .. } | Stage::Settling { step, .. } => self.phase_of(step),
        };
        Some((self.id, phase))
    }

    /// The phase of a step. An agent that has done nothing gets no further than its session, because
    /// a phase beyond it says that its provider answers.
    fn phase_of(&self, step: &WorkStep) -> Phase {
        let phase = step.phase();
        match self.is_workless() {
            true => phase.min(Phase::Session),
            false => phase,
        }
    }

    /// How far it has got when this step ends.
    fn reached(&self, step: &WorkStep) -> trouble::Stage {
        match step {
            WorkStep::Make | WorkStep::Hook(HookPoint::AfterCreate | HookPoint::BeforeRun) => {
                trouble::Stage::Prepare
            }
            WorkStep::Session { begun: false, .. } if self.found.session.is_none() => {
                trouble::Stage::Prepare
            }
            WorkStep::Session { .. } | WorkStep::Hook(HookPoint::AfterRun) => {
                trouble::Stage::Session
            }
            WorkStep::Commit | WorkStep::Rebase(_) => trouble::Stage::Rebase,
            WorkStep::Check { .. } => trouble::Stage::Check,
        }
    }

    /// The attempt in a few words: `#5 parse dates`.
    pub(super) fn title(&self) -> String {
        match self.features() {
            [] => format!("attempt {}", self.id.0),
            [one] => format!("{} {}", one.id, one.spec.name),
            [first, rest @ ..] => {
                format!("{} {} (and {} more)", first.id, first.spec.name, rest.len())
            }
        }
    }

    /// The features whose checks are run, in the order of the job.
    fn with_checks(&self) -> Vec<FeatureId> {
        let features = self.features().iter();
        features
            .filter(|feature| !feature.spec.checks.is_empty())
            .map(|feature| feature.id)
            .collect()
    }

    /// The features that a testing agent has a say in.
    fn for_agent(&self) -> Vec<FeatureId> {
        let (agent, checks) = (self.test_with_agent(), &self.found.checks);
        let features = self.features().iter();
        features
            .filter(|feature| outcome::needs_agent(feature, agent, checks))
            .map(|feature| feature.id)
            .collect()
    }

    /// What a testing job says; `trouble` is what kept it from the end.
    fn tested(&self, trouble: Option<&Failure>) -> Report {
        outcome::tested(
            self.features(),
            self.test_with_agent(),
            &self.found.rebased,
            &self.found.checks,
            self.found.session.as_ref(),
            trouble,
        )
    }

    /// The report of a failure that no feature of the job is to blame for alone. A session that
    /// failed is the better explanation of whatever failed after it.
    pub(super) fn failed(&self, failure: &Failure) -> Report {
        if self.kind == WorkerKind::Testing {
            return self.tested(Some(failure));
        }
        // But for one that ended because its time was up: that is the explanation.
        let ours = |it: &&SessionResult| {
            let cancelled = it.end == SessionEnd::Cancelled && it.failure.is_none();
            failure.kind == FailureKind::TimeLimit && cancelled
        };
        let session = self.found.session.as_ref().filter(|session| !ours(session));
        if let Some(earlier) = session.and_then(SessionResult::failure) {
            let until = session.and_then(|session| session.limited_until);
            return outcome::fail_all(self.features(), &earlier, until);
        }
        outcome::fail_all(self.features(), failure, None)
    }
}

impl Machine {
    pub(super) fn job(&mut self, now: Timestamp, random: u128, offer: JobOffer) {
        if let Some(attempt) = &self.attempt {
            // An offer that may have been lost is repeated; this one was not.
            if attempt.id != offer.attempt {
                let one = offer.attempt;
                self.log_line(format!("ignored an unexpected job (attempt {one})"));
            }
            return;
        }
        let attempt = Attempt::new(Box::new(offer), now);
        // A coding worker verifies, too, when nothing is left to code.
        let takes = attempt.kind == self.rules.kind || attempt.kind == WorkerKind::Testing;
        let wrong = !takes || attempt.features().is_empty();
        if wrong {
            self.attempt = Some(attempt);
            return self.conclude(now, random, Report::released(EndReason::InvalidJob));
        }
        let number = attempt.job.as_ref().map_or(1, |job| job.attempt_number);
        let verb = match attempt.kind {
            WorkerKind::Coding => "working on",
            WorkerKind::Testing => "testing",
        };
        self.log_line(format!(
            "{verb} {} (attempt {}, try {number})",
            attempt.title(),
            attempt.id.0
        ));
        self.attempt = Some(attempt);
        self.progress.steps = 0;
        self.work(now, WorkStep::Make);
    }

    /// Deals with what a dead worker left behind.
    pub(super) fn take_up(&mut self, now: Timestamp, leftover: Leftover) {
        let Leftover {
            attempt,
            kind,
            report,
        } = leftover;
        let number = attempt.0;
        if let Some(report) = report {
            let stage = Stage::Waiting { report };
            self.attempt = Some(Attempt::orphan(attempt, kind, stage));
            self.log_line(format!(
                "reporting the result of attempt {number} for a worker that died"
            ));
            self.report();
        } else {
            let stage = Stage::working(WorkStep::Make);
            self.attempt = Some(Attempt::orphan(attempt, kind, stage));
            self.log_line(format!(
                "cleaning up attempt {number} of a worker that died"
            ));
            self.clean(now, None);
        }
    }

    /// Begins a step of the work.
    pub(super) fn work(&mut self, now: Timestamp, step: WorkStep) {
        let job = self.attempt.as_ref().and_then(|one| one.job.as_deref());
        let Some(kind) = job.map(|job| step.kind(job)) else {
            return bug!("a step of the work has no job");
        };
        self.begin(now, kind, Stage::working(step));
    }

    /// Gives the order for a step, with the stage that the attempt is in from now on.
    pub(super) fn begin(&mut self, now: Timestamp, kind: StepKind, stage: Stage) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        let before = attempt.phase();
        attempt.enter(stage);
        let (changed, said) = (attempt.phase() != before, attempt.phase().is_some());
        self.progress.activity = kind.words().to_owned();
        self.progress.unsaid = said;
        if matches!(kind, StepKind::Session(_)) {
            self.progress.steps = 0;
        }
        self.out.push(Effect::Begin(Step {
            attempt: attempt.id,
            kind,
        }));
        if changed && said && self.link.is_up() {
            self.say_progress(now);
        }
    }

    pub(super) fn step_done(&mut self, now: Timestamp, random: u128, done: Done) {
        let Some(attempt) = self.attempt.as_mut().filter(|one| one.id == done.attempt) else {
            return;
        };
        match (attempt.stage.clone(), done.result) {
            (Stage::Working { step, interrupted }, result) => {
                let failure = match result {
                    Ok(finished) => {
                        attempt.absorb(finished);
                        None
                    }
                    Err(failure) => Some(failure),
                };
                match interrupted {
                    Some(it) => self.end(now, random, it.ending.during(&step, failure)),
                    None => self.worked(now, random, step, failure),
                }
            }
            (
                Stage::Recording {
                    report,
                    step,
                    ending,
                    ..
                },
                result,
            ) => match step {
                RecordStep::Preserve => {
                    self.preserved(result);
                    match ending {
                        Some(ending) => self.end(now, random, ending),
                        None => self.spool(now, report),
                    }
                }
                RecordStep::Spool => self.spooled(now, random, report, result.err(), ending),
            },
            (Stage::Over { verdict, step, .. }, result) => match step {
                TidyStep::Preserve => {
                    self.preserved(result);
                    self.clean(now, verdict);
                }
                TidyStep::Clean => self.cleaned(now, result.err()),
            },
            (Stage::Settling { .. } | Stage::Waiting { .. }, _) => {}
        }
    }

    /// A step has ended by itself: the next one, or the report.
    fn worked(&mut self, now: Timestamp, random: u128, step: WorkStep, failure: Option<Failure>) {
        let Some(attempt) = self.attempt.as_ref() else {
            return;
        };
        let reached = attempt.reached(&step);
        let next = match failure {
            Some(failure) => Next::Report(attempt.failed(&failure)),
            None => attempt.next(&step),
        };
        match next {
            Next::Step(step) => self.work(now, step),
            Next::Report(report) => {
                let report = outcome::excused(report, reached);
                self.settle(now, random, step, report);
            }
        }
    }

    /// The head has moved: once more, on the new one.
    pub(super) fn rebase_ordered(
        &mut self,
        now: Timestamp,
        random: u128,
        command: CommandId,
        attempt: AttemptId,
        onto: CommitId,
    ) {
        let stopping = self.stopping.as_ref().map(|one| one.reason.clone());
        let waits = |one: &&mut Attempt| one.id == attempt && one.waits_for(command);
        let Some(attempt) = self.attempt.as_mut().filter(waits) else {
            return;
        };
        attempt.found.head = onto.clone();
        let report = attempt.report().map(|report| &report.report);
        let reason = match stopping {
            Some(reason) => Some(reason),
            None if attempt.job.is_none() => Some(EndReason::OwnerDied),
            None if !matches!(report, Some(Report::Mergeable(_))) => {
                Some(EndReason::NothingToRebase)
            }
            None => None,
        };
        if let Some(reason) = reason {
            return self.conclude(now, random, Report::released(reason));
        }
        attempt.clock.go_on(now);
        let line = format!("{}: the head has moved, rebasing", attempt.title());
        self.log_line(line);
        self.work(now, WorkStep::Rebase(onto));
    }
}
