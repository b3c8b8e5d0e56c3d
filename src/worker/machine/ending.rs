//! How an attempt comes to its end: reported, called off, out of time, or dropped.

use crate::model::evidence::{Failure, FailureKind};
use crate::model::ids::{AttemptId, Sequence, Timestamp};
use crate::model::report::{Report, TestVerdict};
use crate::model::settings::WorkerKind;
use crate::model::trouble::{self, Trouble};
use crate::protocol::{Verdict, WorkerMessage};
use crate::worker::outcome;

use super::attempt::{Attempt, Held, RunningStep, SETTLE_MS, Stage, TIDY_LIMIT_MS};
use super::{
    Effect, Ending, Exit, Finished, Machine, STOP_LIMIT_MS, Spooled, StepKind, Stopping, command_id,
};

impl Machine {
    /// The attempt comes to `report`, unless that is a failure which the end of this run explains.
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        random: u128,
        running: RunningStep,
        report: Report,
    ) {
        if !outcome::may_be_a_signal(&report) || self.is_ending() {
            return self.conclude(now, random, report);
        }
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        attempt.stage = Stage::Settling(running);
        let until = now.plus_ms(SETTLE_MS);
        attempt.held = Some(Held { report, until });
    }

    /// Reports what was held back, when its time has come or this worker is told to end.
    pub(super) fn settled(&mut self, now: Timestamp, random: u128) {
        let ending = self.is_ending();
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        let due = |held: &mut Held| ending || now >= held.until;
        if let Some(held) = attempt.held.take_if(due) {
            self.conclude(now, random, held.report);
        }
    }

    fn is_ending(&self) -> bool {
        self.draining.is_some() || self.stopping.is_some()
    }

    /// The attempt comes to `report`: keep what would be lost, then make the result durable.
    pub(super) fn conclude(&mut self, now: Timestamp, random: u128, report: Report) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        if let Some(deadline) = attempt.deadline.take() {
            attempt.left_ms = deadline.since_ms(now);
        }
        attempt.ending = None;
        let report = match self
            .stopping
            .as_ref()
            .map(|one| &one.reason)
            .or(self.draining.as_ref())
        {
            Some(why) => outcome::while_ending(report, why),
            None => report,
        };
        let usage = attempt.take_usage();
        attempt.spooled = Some(Spooled {
            command: command_id(now, random),
            report,
            usage,
        });
        if attempt.needs_preserving() {
            self.begin(now, StepKind::Preserve);
        } else {
            self.spool(now);
        }
    }

    fn spool(&mut self, now: Timestamp) {
        let up = self.link.is_up();
        let Some(spooled) = self.attempt.as_ref().and_then(|one| one.spooled.clone()) else {
            return;
        };
        // Our own end tells a scheduler that comes back later as much as such a report would.
        if is_empty(&spooled.report) && !up && self.stopping.is_some() {
            return self.clean(now);
        }
        // The disk may be what is in trouble, and nothing is lost with such a report.
        if matches!(spooled.report, Report::Troubled(_)) {
            return self.wait_for_answer(now);
        }
        self.begin(now, StepKind::Spool(Box::new(spooled)));
    }

    pub(super) fn preserved(
        &mut self,
        now: Timestamp,
        random: u128,
        result: Result<Finished, Failure>,
    ) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        attempt.preserved = true;
        let line = match result {
            Ok(Finished::Preserved(Some(name))) => Some(format!("the work is kept as {name}")),
            Ok(_) => None,
            Err(failure) => {
                attempt.keep = true;
                let why = failure.reason;
                Some(format!(
                    "the work stays in its worktree, because it cannot be preserved: {why}"
                ))
            }
        };
        let (ending, over) = (attempt.ending.take(), attempt.verdict.is_some());
        if let Some(line) = line {
            self.log_line(line);
        }
        match ending {
            Some(ending) => self.end(now, random, ending),
            None if over => self.clean(now),
            None => self.spool(now),
        }
    }

    pub(super) fn spooled(&mut self, now: Timestamp, random: u128, failure: Option<Failure>) {
        if let Some(trouble) = failure
            .as_ref()
            .and_then(|failure| Trouble::of(failure, trouble::Stage::Report))
            && self.attempt.as_ref().is_some_and(|one| one.job.is_some())
        {
            return self.unwritten(now, random, trouble);
        }
        if let Some(failure) = failure {
            // Unsynced results are never reported, and the process's end is an honest answer.
            let reason = format!("cannot write the result: {}", failure.reason);
            return self.leave(reason.clone(), Exit::Failed(reason));
        }
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        match attempt.ending.take() {
            Some(ending) => self.end(now, random, ending),
            None => self.wait_for_answer(now),
        }
    }

    fn wait_for_answer(&mut self, now: Timestamp) {
        if let Some(attempt) = self.attempt.as_mut() {
            attempt.stage = Stage::Waiting;
        }
        self.report();
        self.nobody_to_report_to(now);
    }

    /// The result cannot be written, and what is not on the disk is never reported: its work is
    /// kept, and the attempt is given back.
    fn unwritten(&mut self, now: Timestamp, random: u128, trouble: Trouble) {
        let ending = self.attempt.as_mut().and_then(|one| one.ending.take());
        match ending {
            Some(ending) => self.end(now, random, ending),
            None => self.conclude(now, random, Report::Troubled(trouble)),
        }
    }

    /// Sends the report, if there is anybody to hear it; otherwise the next welcome does.
    pub(super) fn report(&mut self) {
        let up = self.link.is_up();
        let Some(attempt) = self.attempt.as_mut().filter(|one| one.is_waiting()) else {
            return;
        };
        if let Some(spooled) = attempt.spooled.clone()
            && up
        {
            attempt.sent = true;
            let attempt = attempt.id;
            self.send(WorkerMessage::Report {
                command: spooled.command,
                attempt,
                report: spooled.report,
                usage: spooled.usage,
            });
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
            Stage::Waiting => self.report(),
            Stage::Running(_) if !holding_accepted && attempt.holding().is_some() => {
                let reason = "the scheduler no longer waits for it".to_owned();
                self.end_early(now, Ending::Drop { reason });
            }
            Stage::Running(_) | Stage::Settling(_) => self.say_progress(now),
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
        if !attempt.is_waiting() {
            // A round of rebasing was under way when the attempt ended otherwise.
            let reason = "the scheduler has ended it".to_owned();
            return self.end_early(now, Ending::Drop { reason });
        }
        attempt.verdict = Some(verdict);
        let line = attempt.result_line(verdict);
        let lost = attempt.is_mergeable() && verdict != Verdict::Passed;
        let preserve = lost && attempt.made && !attempt.preserved;
        self.log_line(line);
        match preserve {
            true => self.begin(now, StepKind::Preserve),
            false => self.clean(now),
        }
    }

    pub(super) fn cancelled(
        &mut self,
        now: Timestamp,
        random: u128,
        attempt: AttemptId,
        reason: String,
    ) {
        let Some(attempt) = self.attempt.as_ref().filter(|one| one.id == attempt) else {
            return;
        };
        let line = format!("{}: cancelled, {reason}", attempt.title());
        let waiting = attempt.is_waiting();
        self.log_line(line);
        match waiting {
            true => self.conclude(now, random, Report::Released { reason }),
            false => self.end_early(now, Ending::Release { reason }),
        }
    }

    pub(super) fn time_limit(&mut self, now: Timestamp) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        if attempt.tidy_by.is_some_and(|limit| now >= limit) {
            let reason = "cleaning up after an attempt does not finish".to_owned();
            return self.leave(reason.clone(), Exit::Failed(reason));
        }
        if attempt.deadline.is_some_and(|deadline| now >= deadline) {
            attempt.deadline = None;
            attempt.left_ms = 0;
            self.end_early(now, Ending::TimeLimit { during: None });
        }
    }

    /// Interrupts the attempt; what follows when its step is over, `ending` says.
    pub(super) fn end_early(&mut self, now: Timestamp, ending: Ending) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        let Stage::Running(running) = attempt.stage else {
            return;
        };
        if running == RunningStep::Clean || attempt.verdict.is_some() {
            return;
        }
        let interrupted = attempt.ending.is_some();
        let stays = match (&attempt.ending, &ending) {
            (Some(Ending::Drop { .. }), _) => true,
            (Some(_), new) => !matches!(new, Ending::Drop { .. } | Ending::Release { .. }),
            (None, _) => false,
        };
        if !stays {
            // The scheduler ends a worker that does not give up what it should. Of an attempt that
            // is over it knows nothing more, so a step that never ends must be noticed here.
            if matches!(ending, Ending::Drop { .. }) {
                attempt.tidy_by.get_or_insert(now.plus_ms(TIDY_LIMIT_MS));
            }
            attempt.ending = Some(ending);
        }
        if running.is_work() && !interrupted {
            self.out.push(Effect::Interrupt);
        }
    }

    /// The interrupted step is over.
    pub(super) fn end(&mut self, now: Timestamp, random: u128, ending: Ending) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        match ending {
            Ending::Release { reason } => {
                self.conclude(now, random, Report::Released { reason });
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
                attempt.deadline = None;
                // Whatever happens from now on, the scheduler hears nothing more of it.
                attempt.verdict = Some(Verdict::Late);
                let preserve = attempt.work_is_unkept();
                self.log_line(line);
                match preserve {
                    true => self.begin(now, StepKind::Preserve),
                    false => self.clean(now),
                }
            }
        }
    }

    fn clean(&mut self, now: Timestamp) {
        if self.attempt.as_ref().is_some_and(|attempt| attempt.keep) {
            self.attempt = None;
            return self.next(now);
        }
        self.begin(now, StepKind::Clean);
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
    pub(super) fn stop(&mut self, now: Timestamp, reason: String, exit: Exit) {
        if self.stopping.is_none() {
            self.stopping = Some(Stopping {
                reason: reason.clone(),
                exit,
                until: now.plus_ms(STOP_LIMIT_MS),
            });
            if self.attempt.as_ref().is_some_and(Attempt::is_idle_orphan) {
                self.attempt = None;
            }
            let working = matches!(
                self.attempt.as_ref().map(|attempt| attempt.stage),
                Some(Stage::Running(running)) if running.is_work()
            );
            if working {
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
        let Some(attempt) = self.attempt.as_ref().filter(|one| one.is_waiting()) else {
            return;
        };
        let report = attempt.spooled.as_ref().map(|spooled| &spooled.report);
        match report {
            Some(report) if is_empty(report) => self.clean(now),
            _ => self.leave(reason, exit),
        }
    }
}

impl Attempt {
    fn needs_preserving(&self) -> bool {
        let report = self.spooled.as_ref().map(|spooled| &spooled.report);
        // No agent has been at work, and a disk that is full keeps nothing.
        let untouched =
            matches!(report, Some(Report::Troubled(it)) if it.stage == trouble::Stage::Prepare);
        self.work_is_unkept() && !self.is_mergeable() && !untouched
    }

    fn work_is_unkept(&self) -> bool {
        self.kind == WorkerKind::Coding && self.made && !self.preserved
    }

    /// The end of the attempt as its user reads it.
    fn result_line(&self, verdict: Verdict) -> String {
        let title = self.title();
        let report = self.spooled.as_ref().map(|spooled| &spooled.report);
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
            Some(Report::Released { reason }) => format!("{title}: given up, {reason}"),
            Some(Report::Troubled(trouble)) => format!(
                "{title}: given up because of a problem of the machine: {}",
                first_line(&trouble.reason)
            ),
            _ => format!("{title}: not merged"),
        }
    }
}

/// A report that says nothing of any feature.
fn is_empty(report: &Report) -> bool {
    matches!(report, Report::Released { .. } | Report::Troubled(_))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
