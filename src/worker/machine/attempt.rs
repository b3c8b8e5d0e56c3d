//! One attempt on its way from the job to the report.

mod next;

use crate::model::evidence::{Failure, FailureKind, SessionEnd, Usage};
use crate::model::ids::{AttemptId, CommandId, CommitId, FeatureId, Sequence, Timestamp};
use crate::model::report::{JobFeature, Report};
use crate::model::settings::WorkerKind;
use crate::model::trouble;
use crate::protocol::{Holding, JobOffer, Phase, Verdict};
use crate::worker::outcome::{self, FeatureChecks, RebasedCommit, SessionResult};

use super::{
    Done, Effect, Ending, Finished, HookPoint, Leftover, Machine, Spooled, Step, StepKind,
};
use next::Next;

/// Work has its time limit, and what comes after it this one: removing a large worktree from a slow
/// disk takes a minute. A worker that hangs there would ask for no job and be waited for in vain.
pub(super) const TIDY_LIMIT_MS: u64 = 600_000;

/// Whatever ends the whole run at once (a service manager, a container) signals its processes one
/// after the other, within milliseconds. So a failure that a signal may have caused is not reported
/// before it is known that this worker was not told to end as well.
pub(super) const SETTLE_MS: u64 = 300;

/// A failure that is held back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) report: Report,
    pub(super) until: Timestamp,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) kind: WorkerKind,
    /// `None` when a dead worker had it.
    pub(super) job: Option<Box<JobOffer>>,
    pub(super) acknowledged: Sequence,
    pub(super) stage: Stage,
    /// The agent has given a sign of life: its session has come to be.
    pub(super) begun: bool,
    /// There is a worktree with the agent's work.
    pub(super) made: bool,
    pub(super) preserved: bool,
    /// The work could not be preserved, so nothing is removed.
    pub(super) keep: bool,
    /// What becomes of it once the running step is over.
    pub(super) ending: Option<Ending>,
    /// What it comes to, while it settles.
    pub(super) held: Option<Held>,
    /// When its time is up; runs only while it works.
    pub(super) deadline: Option<Timestamp>,
    /// When keeping, noting or removing what is left takes so long that it never ends.
    pub(super) tidy_by: Option<Timestamp>,
    /// What is left of its time while the clock stands.
    pub(super) left_ms: u64,
    /// The head of the branch, as far as it is known.
    pub(super) head: CommitId,
    rebased: RebasedCommit,
    checks: Vec<FeatureChecks>,
    session: Option<SessionResult>,
    /// Used since the last report.
    usage: Usage,
    pub(super) spooled: Option<Spooled>,
    /// The report was sent at least once.
    pub(super) sent: bool,
    /// The scheduler's last word; the attempt is over.
    pub(super) verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Running(RunningStep),
    /// A failure is held back for a moment: see [`SETTLE_MS`].
    Settling(RunningStep),
    /// The result is in the spool and has been or will be sent.
    Waiting,
}

/// A step that runs, without what it needed at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunningStep {
    Make,
    Hook(HookPoint),
    Session,
    Commit,
    Rebase,
    Check,
    Preserve,
    Spool,
    Clean,
}

impl RunningStep {
    fn of(kind: &StepKind) -> Self {
        match kind {
            StepKind::Make(_) => Self::Make,
            StepKind::Hook(point) => Self::Hook(*point),
            StepKind::Session(_) => Self::Session,
            StepKind::Commit => Self::Commit,
            StepKind::Rebase(_) => Self::Rebase,
            StepKind::Check { .. } => Self::Check,
            StepKind::Preserve => Self::Preserve,
            StepKind::Spool(_) => Self::Spool,
            StepKind::Clean => Self::Clean,
        }
    }

    /// True while what the attempt comes to is still open.
    pub(super) fn is_work(self) -> bool {
        !matches!(self, Self::Preserve | Self::Spool | Self::Clean)
    }

    fn words(self) -> &'static str {
        match self {
            Self::Make => "creating the worktree",
            Self::Hook(HookPoint::AfterCreate) => "hook after_create",
            Self::Hook(HookPoint::BeforeRun) => "hook before_run",
            Self::Hook(HookPoint::AfterRun) => "hook after_run",
            Self::Session => "the agent is working",
            Self::Commit => "committing",
            Self::Rebase => "rebasing",
            Self::Check => "running the checks",
            Self::Preserve => "preserving the work",
            Self::Spool => "writing the result",
            Self::Clean => "cleaning up",
        }
    }
}

impl Attempt {
    fn new(job: Box<JobOffer>, now: Timestamp) -> Self {
        let limit_ms = job.settings.time_limit_ms;
        Self {
            id: job.attempt,
            kind: job.kind,
            acknowledged: job.acknowledged,
            stage: Stage::Running(RunningStep::Make),
            begun: false,
            made: false,
            preserved: false,
            keep: false,
            ending: None,
            held: None,
            deadline: Some(now.plus_ms(limit_ms)),
            tidy_by: None,
            left_ms: limit_ms,
            head: job.base.clone(),
            rebased: RebasedCommit::default(),
            checks: Vec::new(),
            session: None,
            usage: Usage::default(),
            spooled: None,
            sent: false,
            verdict: None,
            job: Some(job),
        }
    }

    fn orphan(leftover: Leftover) -> Self {
        Self {
            id: leftover.attempt,
            kind: leftover.kind,
            job: None,
            acknowledged: Sequence(0),
            stage: Stage::Waiting,
            begun: false,
            made: false,
            preserved: false,
            keep: false,
            ending: None,
            held: None,
            deadline: None,
            tidy_by: None,
            left_ms: 0,
            head: CommitId::default(),
            rebased: RebasedCommit::default(),
            checks: Vec::new(),
            session: None,
            usage: Usage::default(),
            spooled: leftover.spooled,
            sent: false,
            verdict: None,
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

    pub(super) fn is_waiting(&self) -> bool {
        self.stage == Stage::Waiting
    }

    /// True while this report is the one that an answer is wanted to.
    fn waits_for(&self, command: CommandId) -> bool {
        let reported = self.spooled.as_ref().map(|spooled| spooled.command);
        self.is_waiting() && reported == Some(command)
    }

    /// Another worker's attempt, with nothing under way.
    pub(super) fn is_idle_orphan(&self) -> bool {
        self.job.is_none() && self.is_waiting()
    }

    pub(super) fn is_mergeable(&self) -> bool {
        let report = self.spooled.as_ref().map(|spooled| &spooled.report);
        matches!(report, Some(Report::Mergeable(_)))
    }

    /// What a hello says of it: nothing when it is over, or was never this process's.
    pub(super) fn holding(&self) -> Option<Holding> {
        let dropped = matches!(self.ending, Some(Ending::Drop { .. }));
        let held = self.job.is_some() && self.verdict.is_none() && !dropped;
        held.then_some(Holding {
            attempt: self.id,
            acknowledged: self.acknowledged,
        })
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let settled = self.held.as_ref().map(|held| held.until);
        let times = [self.deadline, self.tidy_by, settled];
        times.into_iter().flatten().min()
    }

    /// The stage in the scheduler's words; `None` when it is over.
    pub(super) fn phase(&self) -> Option<(AttemptId, Phase)> {
        let phase = match self.stage {
            _ if self.verdict.is_some() || self.job.is_none() => return None,
            Stage::Waiting => Phase::Merging,
            Stage::Running(running) | Stage::Settling(running) => match running {
                RunningStep::Clean => return None,
                RunningStep::Make => Phase::Preparing,
                // Only an agent that runs shows that it can be started.
                RunningStep::Session if !self.begun => Phase::Preparing,
                RunningStep::Hook(HookPoint::AfterRun) | RunningStep::Session => Phase::Session,
                RunningStep::Hook(_) => Phase::Preparing,
                RunningStep::Commit | RunningStep::Rebase => Phase::Rebasing,
                RunningStep::Check => Phase::Checking,
                RunningStep::Preserve | RunningStep::Spool => Phase::Merging,
            },
        };
        Some((self.id, phase))
    }

    /// How far it has got when this step ends.
    fn reached(&self, running: RunningStep) -> trouble::Stage {
        match running {
            RunningStep::Make
            | RunningStep::Hook(HookPoint::AfterCreate | HookPoint::BeforeRun) => {
                trouble::Stage::Prepare
            }
            RunningStep::Session if !self.begun && self.session.is_none() => {
                trouble::Stage::Prepare
            }
            RunningStep::Session | RunningStep::Hook(HookPoint::AfterRun) => {
                trouble::Stage::Session
            }
            RunningStep::Commit | RunningStep::Rebase => trouble::Stage::Rebase,
            RunningStep::Check => trouble::Stage::Check,
            RunningStep::Preserve | RunningStep::Spool | RunningStep::Clean => {
                trouble::Stage::Report
            }
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
        let features = self.features().iter();
        features
            .filter(|feature| outcome::needs_agent(feature, self.test_with_agent(), &self.checks))
            .map(|feature| feature.id)
            .collect()
    }

    /// What a testing job says; `trouble` is what kept it from the end.
    fn tested(&self, trouble: Option<&Failure>) -> Report {
        outcome::tested(
            self.features(),
            self.test_with_agent(),
            &self.rebased,
            &self.checks,
            self.session.as_ref(),
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
            failure.kind == FailureKind::TimeLimit && it.end == SessionEnd::Cancelled
        };
        let session = self.session.as_ref().filter(|session| !ours(session));
        if let Some(earlier) = session.and_then(SessionResult::failure) {
            let until = session.and_then(|session| session.limited_until);
            return outcome::fail_all(self.features(), &earlier, until);
        }
        outcome::fail_all(self.features(), failure, None)
    }

    /// What the next report tells of use: also what a report before it would have told, had it
    /// been sent.
    pub(super) fn take_usage(&mut self) -> Usage {
        let untold = self.spooled.take().filter(|_| !self.sent);
        self.sent = false;
        let untold = untold.map(|spooled| spooled.usage).unwrap_or_default();
        std::mem::take(&mut self.usage).plus(untold)
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
        let mut attempt = Attempt::new(Box::new(offer), now);
        // A coding worker verifies, too, when nothing is left to code.
        let takes = attempt.kind == self.rules.kind || attempt.kind == WorkerKind::Testing;
        let wrong = !takes || attempt.features().is_empty();
        if wrong {
            attempt.deadline = None;
            self.attempt = Some(attempt);
            let reason = "the job is for another kind of worker".to_owned();
            return self.conclude(now, random, Report::Released { reason });
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
        let step = attempt.job.clone().map(StepKind::Make);
        self.attempt = Some(attempt);
        if let Some(step) = step {
            self.begin(now, step);
        }
    }

    /// Deals with what a dead worker left behind.
    pub(super) fn take_up(&mut self, now: Timestamp, leftover: Leftover) {
        let attempt = Attempt::orphan(leftover);
        let number = attempt.id.0;
        let reported = attempt.spooled.is_some();
        self.attempt = Some(attempt);
        if reported {
            self.log_line(format!(
                "reporting the result of attempt {number} for a worker that died"
            ));
            self.report();
        } else {
            self.log_line(format!(
                "cleaning up attempt {number} of a worker that died"
            ));
            self.begin(now, StepKind::Clean);
        }
    }

    pub(super) fn begin(&mut self, now: Timestamp, kind: StepKind) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        let running = RunningStep::of(&kind);
        let before = attempt.phase();
        attempt.stage = Stage::Running(running);
        attempt.tidy_by = (!running.is_work()).then(|| now.plus_ms(TIDY_LIMIT_MS));
        let (changed, said) = (attempt.phase() != before, attempt.phase().is_some());
        let step = Step {
            attempt: attempt.id,
            kind,
        };
        self.out.push(Effect::Begin(step));
        self.progress.activity = running.words().to_owned();
        self.progress.unsaid = said;
        if changed && said && self.link.is_up() {
            self.say_progress(now);
        }
    }

    pub(super) fn step_done(&mut self, now: Timestamp, random: u128, done: Done) {
        let Some(attempt) = self.attempt.as_mut().filter(|one| one.id == done.attempt) else {
            return;
        };
        let Stage::Running(running) = attempt.stage else {
            return;
        };
        match (running, done.result) {
            (RunningStep::Clean, result) => self.cleaned(now, result.err()),
            (RunningStep::Preserve, result) => self.preserved(now, random, result),
            (RunningStep::Spool, result) => self.spooled(now, random, result.err()),
            (_, result) => {
                let failure = match result {
                    Ok(finished) => {
                        attempt.absorb(finished);
                        None
                    }
                    Err(failure) => Some(failure),
                };
                if let Some(ending) = attempt.ending.take() {
                    let ending = match (ending, running) {
                        // Which command did not come to its end.
                        (
                            Ending::TimeLimit { .. },
                            RunningStep::Make | RunningStep::Commit | RunningStep::Rebase,
                        ) => {
                            let during = failure.map(|failure| failure.reason);
                            Ending::TimeLimit { during }
                        }
                        (ending, _) => ending,
                    };
                    return self.end(now, random, ending);
                }
                let stage = attempt.reached(running);
                let next = match failure {
                    Some(failure) => Next::Report(attempt.failed(&failure)),
                    None => attempt.next(running),
                };
                match next {
                    Next::Step(kind) => self.begin(now, kind),
                    Next::Report(report) => {
                        let report = outcome::excused(report, stage);
                        self.settle(now, random, running, report);
                    }
                }
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
        attempt.head = onto.clone();
        let reason = match stopping {
            Some(reason) => Some(reason),
            None if attempt.job.is_none() => Some("its worker died".to_owned()),
            None if !attempt.is_mergeable() => Some("there is nothing to rebase".to_owned()),
            None => None,
        };
        if let Some(reason) = reason {
            return self.conclude(now, random, Report::Released { reason });
        }
        attempt.deadline = Some(now.plus_ms(attempt.left_ms));
        let line = format!("{}: the head has moved, rebasing", attempt.title());
        self.log_line(line);
        self.begin(now, StepKind::Rebase(onto));
    }
}
