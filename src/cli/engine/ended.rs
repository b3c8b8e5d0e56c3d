//! How a run ended, and what it brought.

use crate::cli::exit::ExitCode;
use crate::model::event::RunOutcome;
use crate::model::ids::Sequence;
use crate::model::state::State;
use crate::model::views::{Report, ReportFold};
use crate::queue::EventLog;
use crate::scheduler::Ending;

/// Bytes of events that are read at once for the report.
const CHUNK_BYTES: usize = 4 << 20;

/// How a run ended, and the state at that point.
pub struct Ended {
    /// Finished with an outcome, or interrupted.
    pub ending: Ending,
    /// The state after the run's last event.
    pub state: State,
    /// What the run brought.
    pub report: Report,
}

impl Ended {
    /// The end of a run whose first event in `log` is `first`. Its events are read now, so that a
    /// long run needs no memory for its report.
    pub(super) fn of(
        ending: Ending,
        state: State,
        (log, first, mut fold): (&dyn EventLog, Sequence, ReportFold),
    ) -> Self {
        fold_run(log, first, &mut fold);
        let report = fold.report(&state, None);
        Self {
            ending,
            state,
            report,
        }
    }

    /// The exit code for this end.
    pub fn code(&self) -> ExitCode {
        match self.ending {
            Ending::Interrupted => ExitCode::Interrupted,
            // Its error is shown to the person.
            Ending::GitFailed => ExitCode::Internal,
            Ending::Finished(RunOutcome::AllPassing) => ExitCode::Passing,
            Ending::Finished(RunOutcome::SomeFailed) => ExitCode::SomeFailed,
            Ending::Finished(RunOutcome::WaitingForPerson) => ExitCode::WaitingForPerson,
            Ending::Finished(RunOutcome::BudgetSpent) => ExitCode::BudgetSpent,
        }
    }

    /// Why the run ended, in words; empty after an interruption.
    pub fn reason(&self) -> &str {
        let finished = self
            .state
            .run
            .as_ref()
            .and_then(|run| run.finished.as_ref());
        finished.map_or("", |(_, reason)| reason)
    }
}

fn fold_run(log: &dyn EventLog, first: Sequence, fold: &mut ReportFold) {
    let mut next = first;
    loop {
        let chunk = log.read(next, CHUNK_BYTES);
        let events = chunk.and_then(|chunk| {
            next = chunk.next();
            chunk.events(log.contents())
        });
        match events {
            Ok(events) if events.is_empty() => return,
            Ok(events) => events.iter().for_each(|event| fold.event(event)),
            // The run is over and durable; only its summary is incomplete.
            Err(error) => return tracing::warn!(%error, "cannot read the run's events"),
        }
    }
}
