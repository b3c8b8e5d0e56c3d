//! How an attempt comes to its end: reported, called off, out of time, or dropped.

use crate::model::end_reason::EndReason;
use crate::model::evidence::{Failure, FailureKind};
use crate::model::ids::{AttemptId, Sequence, Timestamp};
use crate::model::report::{AttemptReport, Report, TestVerdict};
use crate::model::settings::WorkerKind;
use crate::model::trouble::{self, Trouble};
use crate::protocol::{Verdict, WorkerMessage};
use crate::worker::outcome;

use super::attempt::{
    Attempt, Ending, Interrupted, RecordStep, Stage, TIDY_LIMIT_MS, TidyStep, Work, WorkStep,
};
use super::{Effect, Exit, Finished, Machine, STOP_LIMIT_MS, StepKind, Stopping, command_id};

/// Whatever ends the whole run at once (a service manager, a container) signals its processes one
/// after the other, within milliseconds. So a failure that a signal may have caused is not reported
/// before it is known that this worker was not told to end as well.
pub(super) const SETTLE_MS: u64 = 300;

impl Machine {
    /// The attempt comes to `report`, unless that is a failure which the end of this run explains.
    pub(super) fn settle(&mut self, now: Timestamp, random: u128, step: WorkStep, report: Report) {
        if !outcome::may_be_a_signal(&report) || self.is_ending() {
            return self.conclude(now, random, report);
        }
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        attempt.enter(Stage::Settling {
            step,
            report,
            until: now.plus_ms(SETTLE_MS),
        });
    }

    /// Reports what was held back, when its time has come or this worker is told to end.
    pub(super) fn settled(&mut self, now: Timestamp, random: u128) {
        let ending = self.is_ending();
        let held = match self.attempt.as_ref().map(|attempt| &attempt.stage) {
            Some(Stage::Settling { report, until, .. }) if ending || now >= *until => {
                report.clone()
            }
            _ => return,
        };
        self.conclude(now, random, held);
    }

    fn is_ending(&self) -> bool {
        self.draining.is_some() || self.stopping.is_some()
    }

    /// The attempt comes to `report`: keep what would be lost, then make the result durable.
    pub(super) fn conclude(&mut self, now: Timestamp, random: u128, report: Report) {
        let stopping = self.stopping.as_ref().map(|one| &one.reason);
        let report = match stopping.or(self.draining.as_ref()) {
            Some(why) => outcome::while_ending(report, why),
            None => report,
        };
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        attempt.clock.stop(now);
        let report = AttemptReport {
            command: command_id(now, random),
            attempt: attempt.id,
            report,
            usage: attempt.usage(),
            workless: attempt.is_workless(),
        };
        if attempt.needs_preserving(&report.report) {
            let step = RecordStep::Preserve;
            self.record(now, StepKind::Preserve, step, report);
        } else {
            self.spool(now, report);
        }
    }

    fn record(&mut self, now: Timestamp, kind: StepKind, step: RecordStep, report: AttemptReport) {
        let stage = Stage::Recording {
            report,
            step,
            ending: None,
            by: now.plus_ms(TIDY_LIMIT_MS),
        };
        self.begin(now, kind, stage);
    }

    /// Writes the result into the spool file, where that is possible and of use.
    pub(super) fn spool(&mut self, now: Timestamp, report: AttemptReport) {
        let up = self.link.is_up();
        // Our own end tells a scheduler that comes back later as much as such a report would.
        if is_empty(&report.report) && !up && self.stopping.is_some() {
            return self.clean(now, None);
        }
        // The disk may be what is in trouble, and nothing is lost with such a report.
        if matches!(report.report, Report::Troubled(_)) {
            return self.wait_for_answer(now, report);
        }
        let kind = StepKind::Spool(Box::new(report.clone()));
        self.record(now, kind, RecordStep::Spool, report);
    }

    /// The work has been kept, or could not be.
    pub(super) fn preserved(&mut self, result: Result<Finished, Failure>) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        let (work, line) = match result {
            Ok(Finished::Preserved(Some(name))) => {
                (Work::Kept, Some(format!("the work is kept as {name}")))
            }
            Ok(_) => (Work::Kept, None),
            Err(failure) => {
                let why = failure.reason;
                let line = format!(
                    "the work stays in its worktree, because it cannot be preserved: {why}"
                );
                (Work::Unkeepable, Some(line))
            }
        };
        attempt.work = work;
        if let Some(line) = line {
            self.log_line(line);
        }
    }

    pub(super) fn spooled(
        &mut self,
        now: Timestamp,
        random: u128,
        report: AttemptReport,
        failure: Option<Failure>,
        ending: Option<Ending>,
    ) {
        if let Some(trouble) = failure
            .as_ref()
            .and_then(|failure| Trouble::of(failure, trouble::Stage::Report))
            && self.attempt.as_ref().is_some_and(|one| one.job.is_some())
        {
            // What is not on the disk is never reported: its work is kept, and the attempt is given
            // back.
            return match ending {
                Some(ending) => self.end(now, random, ending),
                None => self.conclude(now, random, Report::Troubled(trouble)),
            };
        }
        if let Some(failure) = failure {
            // Unsynced results are never reported, and the process's end is an honest answer.
            let reason = format!("cannot write the result: {}", failure.reason);
            return self.leave(reason.clone().into(), Exit::Failed(reason));
        }
        match ending {
            Some(ending) => self.end(now, random, ending),
            None => self.wait_for_answer(now, report),
        }
    }

    fn wait_for_answer(&mut self, now: Timestamp, report: AttemptReport) {
        if let Some(attempt) = self.attempt.as_mut() {
            attempt.enter(Stage::Waiting { report });
        }
        self.report();
        self.nobody_to_report_to(now);
    }

    /// Sends the report, if there is anybody to hear it; otherwise the next welcome does.
    pub(super) fn report(&mut self) {
        if let Some(attempt) = self.attempt.as_ref().filter(|one| one.is_waiting())
            && let Some(report) = attempt.report().cloned()
            && self.link.is_up()
        {
            self.send(WorkerMessage::Report(report));
        }
    }

    /// The link is up again while an attempt is at hand.
    pub(super) fn come_back(&mut self, now: Timestamp, holding_accepted: bool) {
        let Some(attempt) = self.attempt.as_ref() else {
            return;
        };
        match attempt.stage {
            // Also when the holding is refused: the same report gets the same answer, and an
            // attempt that ended by it looks just like one that ended without it.
            Stage::Waiting { .. } => self.report(),
            Stage::Working { .. } | Stage::Recording { .. }
                if !holding_accepted && attempt.holding().is_some() =>
            {
                let reason = "the scheduler no longer waits for it".to_owned();
                self.end_early(now, Ending::Drop { reason });
            }
            _ => self.say_progress(now),
        }
    }

    pub(super) fn reported(
        &mut self,
        now: Timestamp,
        attempt: AttemptId,
        verdict: Verdict,
        acknowledged: Sequence,
    ) {
        let Some(attempt) = self.attempt.as_mut().filter(|one| one.id == attempt) else {
            return;
        };
        attempt.acknowledged = acknowledged;
        let Stage::Waiting { report } = &attempt.stage else {
            // A round of rebasing was under way when the attempt ended otherwise.
            let reason = "the scheduler has ended it".to_owned();
            return self.end_early(now, Ending::Drop { reason });
        };
        let lost = is_mergeable(&report.report) && verdict != Verdict::Passed;
        let line = attempt.result_line(verdict);
        let preserve = lost && attempt.work == Work::Unkept;
        self.log_line(line);
        self.put_away(now, verdict, preserve);
    }

    pub(super) fn cancelled(
        &mut self,
        now: Timestamp,
        random: u128,
        attempt: AttemptId,
        reason: EndReason,
    ) {
        let Some(attempt) = self.attempt.as_ref().filter(|one| one.id == attempt) else {
            return;
        };
        let line = format!("{}: cancelled, {reason}", attempt.title());
        let waiting = attempt.is_waiting();
        self.log_line(line);
        match waiting {
            true => self.conclude(now, random, Report::released(reason)),
            false => self.end_early(now, Ending::Release { reason }),
        }
    }

    pub(super) fn time_limit(&mut self, now: Timestamp) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        if attempt.stage.is_stuck(now) {
            let reason = "cleaning up after an attempt does not finish".to_owned();
            return self.leave(reason.clone().into(), Exit::Failed(reason));
        }
        if attempt.clock.ran_out(now) {
            self.end_early(now, Ending::TimeLimit { during: None });
        }
    }

    /// Interrupts the attempt; what follows when its step is over, `ending` says.
    pub(super) fn end_early(&mut self, now: Timestamp, ending: Ending) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        match &mut attempt.stage {
            Stage::Working { interrupted, .. } => {
                let before = interrupted.take();
                let first = before.is_none();
                // The scheduler ends a worker that does not give up what it should. Of an attempt
                // that is over it knows nothing more, so a step that never ends must be noticed
                // here.
                let by = matches!(ending, Ending::Drop { .. }).then(|| now.plus_ms(TIDY_LIMIT_MS));
                *interrupted = match before {
                    Some(earlier) if earlier.ending.outweighs(&ending) => Some(earlier),
                    _ => Some(Interrupted { ending, by }),
                };
                if first {
                    self.out.push(Effect::Interrupt);
                }
            }
            // The result is known; time that runs out while it is made safe changes nothing.
            Stage::Recording { .. } if matches!(ending, Ending::TimeLimit { .. }) => {}
            Stage::Recording { ending: before, .. } => match before {
                Some(earlier) if earlier.outweighs(&ending) => {}
                _ => *before = Some(ending),
            },
            Stage::Settling { .. } | Stage::Waiting { .. } | Stage::Over { .. } => {}
        }
    }

    /// The interrupted step is over.
    pub(super) fn end(&mut self, now: Timestamp, random: u128, ending: Ending) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        match ending {
            Ending::Release { reason } => {
                self.conclude(now, random, Report::released(reason));
            }
            Ending::TimeLimit { during } => {
                let limit_ms = attempt
                    .job
                    .as_ref()
                    .map_or(0, |job| job.settings.time_limit_ms);
                let reason = format!(
                    "the attempt took longer than its limit of {} s (`run.time_limit`)",
                    limit_ms.div_ceil(1000)
                );
                let reason = match during {
                    Some(during) => format!("{reason}: {during}"),
                    None => reason,
                };
                let report = attempt.failed(&Failure::new(FailureKind::TimeLimit, reason));
                self.conclude(now, random, report);
            }
            Ending::Drop { reason } => {
                let line = format!("{}: dropped, {reason}", attempt.title());
                attempt.clock.stop(now);
                let preserve = attempt.work_is_unkept();
                self.log_line(line);
                // Whatever happens from now on, the scheduler hears nothing more of it.
                self.put_away(now, Verdict::Late, preserve);
            }
        }
    }

    /// The attempt is over: removes what is left of it, its work kept before if it must be.
    fn put_away(&mut self, now: Timestamp, verdict: Verdict, preserve: bool) {
        if !preserve {
            return self.clean(now, Some(verdict));
        }
        let stage = Stage::Over {
            verdict: Some(verdict),
            step: TidyStep::Preserve,
            by: now.plus_ms(TIDY_LIMIT_MS),
        };
        self.begin(now, StepKind::Preserve, stage);
    }

    pub(super) fn clean(&mut self, now: Timestamp, verdict: Option<Verdict>) {
        let work = self.attempt.as_ref().map(|attempt| attempt.work);
        if work == Some(Work::Unkeepable) {
            self.attempt = None;
            return self.next(now);
        }
        let stage = Stage::Over {
            verdict,
            step: TidyStep::Clean,
            by: now.plus_ms(TIDY_LIMIT_MS),
        };
        self.begin(now, StepKind::Clean, stage);
    }

    pub(super) fn cleaned(&mut self, now: Timestamp, failure: Option<Failure>) {
        if let (Some(failure), Some(attempt)) = (failure, &self.attempt) {
            let line = format!(
                "{}: cannot remove everything: {}",
                attempt.title(),
                failure.reason
            );
            self.log_line(line);
        }
        self.attempt = None;
        self.next(now);
    }

    /// End now, after giving back what is at hand.
    pub(super) fn stop(&mut self, now: Timestamp, reason: EndReason, exit: Exit) {
        if self.stopping.is_none() {
            self.stopping = Some(Stopping {
                reason: reason.clone(),
                exit,
                until: now.plus_ms(STOP_LIMIT_MS),
            });
            if self.attempt.as_ref().is_some_and(Attempt::is_idle_orphan) {
                self.attempt = None;
            }
            if self.attempt.as_ref().is_some_and(Attempt::is_working) {
                self.log_line(format!("stopping: {reason}"));
                self.end_early(now, Ending::Release { reason });
            }
            self.nobody_to_report_to(now);
        }
        self.next(now);
    }

    /// A worker that is to stop does not wait for an answer that cannot come: a result that is
    /// worth something stays in the spool.
    pub(super) fn nobody_to_report_to(&mut self, now: Timestamp) {
        let Some(stopping) = self.stopping.as_ref().filter(|_| !self.link.is_up()) else {
            return;
        };
        let (reason, exit) = (stopping.reason.clone(), stopping.exit.clone());
        match self.attempt.as_ref().map(|attempt| &attempt.stage) {
            Some(Stage::Waiting { report }) if is_empty(&report.report) => self.clean(now, None),
            Some(Stage::Waiting { .. }) => self.leave(reason, exit),
            _ => {}
        }
    }
}

impl Attempt {
    fn needs_preserving(&self, report: &Report) -> bool {
        // No agent has been at work, and a disk that is full keeps nothing.
        let untouched =
            matches!(report, Report::Troubled(it) if it.stage == trouble::Stage::Prepare);
        self.work_is_unkept() && !is_mergeable(report) && !untouched
    }

    fn work_is_unkept(&self) -> bool {
        self.kind == WorkerKind::Coding && self.work == Work::Unkept
    }

    /// The end of the attempt as its user reads it.
    fn result_line(&self, verdict: Verdict) -> String {
        let title = self.title();
        let report = self.report().map(|report| &report.report);
        if verdict == Verdict::Late {
            return format!("{title}: too late, the attempt had already ended");
        }
        match report {
            Some(Report::Mergeable(_)) if verdict == Verdict::Passed => {
                format!("{title}: PASS, merged")
            }
            Some(Report::Failed { failures, .. }) => {
                let reason = failures
                    .first()
                    .map(|(_, failure)| first_line(&failure.reason));
                format!("{title}: FAIL, {}", reason.unwrap_or("no reason given"))
            }
            Some(Report::InputNeeded { question, .. }) => {
                format!("{title}: the agent asks: {}", first_line(question))
            }
            Some(Report::Tested { verdicts, .. }) => {
                let count = |wanted: fn(&TestVerdict) -> bool| {
                    verdicts.iter().filter(|(_, one)| wanted(one)).count()
                };
                format!(
                    "{title}: tested, {} passed, {} broken, {} without a verdict",
                    count(|one| matches!(one, TestVerdict::Passed(_))),
                    count(|one| matches!(one, TestVerdict::Broken(_))),
                    count(|one| matches!(one, TestVerdict::Inconclusive(_)))
                )
            }
            Some(Report::Released { reason, detail }) => match detail.as_str() {
                "" => format!("{title}: given up, {reason}"),
                detail => format!("{title}: given up, {reason}: {}", first_line(detail)),
            },
            Some(Report::Troubled(trouble)) => format!(
                "{title}: given up because of {}: {}",
                trouble.kind.whose(),
                first_line(&trouble.reason)
            ),
            _ => format!("{title}: not merged"),
        }
    }
}

fn is_mergeable(report: &Report) -> bool {
    matches!(report, Report::Mergeable(_))
}

/// A report that says nothing of any feature.
fn is_empty(report: &Report) -> bool {
    matches!(report, Report::Released { .. } | Report::Troubled(_))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
