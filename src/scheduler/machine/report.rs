//! Reports, and the way of finished work onto the branch.

use super::{Machine, Now};
use crate::model::actor::Actor;
use crate::model::command::{Command, Rejection};
use crate::model::evidence::{Failure, FailureKind, Usage};
use crate::model::ids::{AttemptId, CommandId, WorkerId};
use crate::model::report::{AttemptReport, Report, TestVerdict};
use crate::model::settings::WorkerKind;
use crate::model::state::Attempt;
use crate::protocol::{SchedulerMessage, Verdict};
use crate::scheduler::merging::Waiting;

/// An event holds at most 1 MiB, and the events of a report are little larger than the report.
const REPORT_BYTES_MAX: u64 = 900 << 10;

impl Machine {
    /// A result, from a worker's connection or from a dead worker's spool file.
    pub(super) fn reported(&mut self, now: Now, mut waiting: Waiting) {
        let (worker, attempt, command) =
            (waiting.worker, waiting.attempt(), waiting.report.command);
        let state = self.core.state();
        let Some(open) = state.attempts().get(&attempt) else {
            if state.remembered().get(command).is_some() {
                let verdict = self.verdict_on(attempt, command).unwrap_or(Verdict::Late);
                self.answer(worker, command, attempt, verdict);
            } else {
                self.submit_report(now, waiting);
            }
            return;
        };
        if open.job.worker != worker && !planted!(NoTokenCheck) {
            // Found in the spool of a worker that is dead, or will be known to be dead in a moment.
            self.departures.foreign_reports.insert(worker, waiting);
            return;
        }
        if self.is_merging(attempt) {
            // git decides, and the answer follows. Any other report of the attempt waits for that.
            match state.remembered().get(command) {
                Some(_) => self.merges.queue.repeated(attempt, worker, command),
                None => self.merges.queue.wait(waiting),
            }
            return;
        }
        bound(open, &mut waiting.report.report);
        let called_off = open.cancelled.is_some();
        if let Some(profile) = state.profile_of(attempt).cloned() {
            let workless = self.workless.entry(profile).or_default();
            workless.look_at(&mut waiting.report);
        }
        let state = self.core.state();
        let finished = matches!(waiting.report.report, Report::Mergeable(_));
        if finished && called_off && state.remembered().get(command).is_some() {
            return self.report_of_an_earlier_round(now, worker, attempt);
        }
        let merge_open = state.open_merge().is_some();
        if finished && !called_off && !self.merges.queue.may_go(attempt, merge_open) {
            self.merges.queue.wait(waiting);
            return;
        }
        self.submit_report(now, waiting);
    }

    /// A report whose merge did not happen is repeated, while its job was cancelled. The worker was
    /// told to rebase and may be doing so, so the attempt is not over; a worker that does not give
    /// it up is ended.
    fn report_of_an_earlier_round(&mut self, now: Now, worker: WorkerId, attempt: AttemptId) {
        let told = self
            .peers
            .links
            .get(&worker)
            .is_some_and(|link| link.cancelled.is_some());
        match self
            .core
            .state()
            .attempts()
            .get(&attempt)
            .and_then(|open| open.cancelled.clone())
        {
            Some(reason) if !told => self.call_off(now, worker, attempt, reason),
            _ => self.repeat_cancel(worker, attempt),
        }
    }

    /// The answer to a report that was recorded. A repeated report gets the same answer, even if
    /// another report of the same attempt was accepted.
    fn verdict_on(&self, attempt: AttemptId, command: CommandId) -> Option<Verdict> {
        let state = self.core.state();
        let late = state.remembered().was_late(command) && !planted!(LateAnsweredOtherwise);
        let verdict = state.verdict(attempt)?;
        Some(if late { Verdict::Late } else { verdict })
    }

    pub(super) fn submit_report(&mut self, now: Now, waiting: Waiting) {
        let worker = waiting.worker;
        let AttemptReport {
            command,
            attempt,
            report,
            usage,
            workless,
        } = waiting.report;
        let jitter = self.entropy.next();
        let state = self.core.state();
        let was_open = state.attempts().contains_key(&attempt);
        let given_back = matches!(report, Report::Released { .. } | Report::Troubled(_));
        let reporter = state.workers().get(&worker).map(|known| known.kind);
        // The log has events of this report, and yet the attempt is open: its merge did not happen,
        // or the log was cut in the middle. What is missing follows from it again.
        let again = state.remembered().get(command).is_some();
        let body = Command::Report {
            attempt,
            report,
            usage,
            jitter,
        };
        let submitted = match again {
            true => self.core.submit_own(now.wall, &body),
            false => {
                let actor = Actor::Worker(worker);
                self.core.submit(&actor, command, now.wall, &body)
            }
        };
        if let (true, false, Ok(_), Some(kind)) = (was_open, given_back, &submitted, reporter) {
            self.pool.worked(kind);
            self.world.crashing.remove(&kind);
        }
        match submitted {
            Ok(_) if !was_open => self.answer(worker, command, attempt, Verdict::Late),
            Ok(_) => match self.core.state().verdict(attempt) {
                Some(verdict) => {
                    self.merges.queue.ended(attempt);
                    self.answer(worker, command, attempt, verdict);
                }
                None => self.merges.queue.began(attempt, worker, command),
            },
            Err(Rejection::HeadMoved { head }) => {
                // It may never get to the end of another round.
                self.spend(now, attempt, usage);
                self.merges.queue.round(attempt);
                self.order_rebase(worker, command, attempt, head);
            }
            Err(Rejection::MergeOpen) => {
                if let Command::Report { report, .. } = body {
                    let report = AttemptReport {
                        command,
                        attempt,
                        report,
                        usage,
                        workless,
                    };
                    self.merges.queue.wait(Waiting { worker, report });
                }
            }
            Err(rejection) => tracing::error!(%rejection, %attempt, "a report was rejected"),
        }
    }

    /// Counts what an attempt used in all, although its report changes nothing.
    fn spend(&mut self, now: Now, attempt: AttemptId, usage: Usage) {
        let command = Command::Spend { attempt, usage };
        self.record(now, &command);
    }

    pub(super) fn answer(
        &mut self,
        worker: WorkerId,
        command: CommandId,
        attempt: AttemptId,
        verdict: Verdict,
    ) {
        let acknowledged = self.core.state().sequence;
        let message = SchedulerMessage::Reported {
            command,
            attempt,
            verdict,
            acknowledged,
        };
        self.send(worker, message);
    }

    /// Lets waiting reports merge if they may, removes dead workers, and answers those who
    /// recovered another's attempt.
    pub(super) fn settle_reports(&mut self, now: Now) {
        loop {
            while let Some(waiting) = {
                let open = self.core.state().open_merge().is_some();
                self.merges.queue.next(open)
            } {
                self.submit_report(now, waiting);
            }
            // A dead worker that leaves may have had the turn.
            if !self.remove_dead(now) {
                break;
            }
        }
        if self.departures.foreign_reports.is_empty() {
            return;
        }
        let state = self.core.state();
        let known = |(&worker, waiting): (&WorkerId, &Waiting)| {
            let (command, attempt) = (waiting.report.command, waiting.attempt());
            let verdict = self.verdict_on(attempt, command)?;
            let same = state.remembered().get(command).is_some();
            let verdict = if same { verdict } else { Verdict::Late };
            Some((worker, waiting.clone(), verdict))
        };
        let answers: Vec<_> = self
            .departures
            .foreign_reports
            .iter()
            .filter_map(known)
            .collect();
        for (worker, waiting, verdict) in answers {
            let (command, attempt) = (waiting.report.command, waiting.attempt());
            self.departures.foreign_reports.remove(&worker);
            self.spend(now, attempt, waiting.report.usage);
            self.answer(worker, command, attempt, verdict);
        }
    }
}

/// Makes sure that the events of a report can be written. A worker cuts its own reports; one that
/// is too long is replaced by a failure, so that it cannot repeat forever.
fn bound(open: &Attempt, report: &mut Report) {
    let bytes = bincode::serialized_size(report).unwrap_or(u64::MAX);
    if bytes > REPORT_BYTES_MAX {
        let reason =
            format!("the report has {bytes} bytes; at most {REPORT_BYTES_MAX} can be recorded");
        *report = failed(open, &reason);
    }
}

/// The report of an attempt that failed because of its worker.
pub(super) fn failed(open: &Attempt, reason: &str) -> Report {
    let failure = Failure::new(FailureKind::Setup, reason);
    let remaining = open.remaining.iter();
    match open.job.kind {
        WorkerKind::Coding => Report::Failed {
            failures: remaining.map(|&id| (id, failure.clone())).collect(),
            limited_until: None,
        },
        WorkerKind::Testing => {
            let verdict = TestVerdict::Inconclusive(failure);
            Report::Tested {
                verdicts: remaining.map(|&id| (id, verdict.clone())).collect(),
                limited_until: None,
            }
        }
    }
}
