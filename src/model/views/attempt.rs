//! One attempt: its worker, features, times and result.

use serde::Serialize;

use super::timeline_entry::{EntryFold, TimelineEntry};
use crate::model::event::{Event, Recorded};
use crate::model::evidence::Usage;
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Timestamp};
use crate::model::settings::WorkerKind;

/// An attempt, folded from the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptTimeline {
    /// Number of the attempt.
    pub attempt: AttemptId,
    /// Whether the attempt codes or tests.
    pub kind: WorkerKind,
    /// Its features, with their names at the time.
    pub features: Vec<(FeatureId, String)>,
    /// Number of the try, from 1.
    pub number: u32,
    /// Name of the worker.
    pub worker: String,
    /// The commit from which it started.
    pub base: CommitId,
    /// Wall-clock time of the start.
    pub started: Timestamp,
    /// True until it ends.
    pub open: bool,
    /// Its merged commit, if its work was merged.
    pub merged: Option<CommitId>,
    /// Tokens and money used.
    pub spent: Usage,
    /// Its events, in order.
    pub entries: Vec<TimelineEntry>,
}

/// A fold that collects the events of one attempt.
pub struct AttemptFold {
    attempt: AttemptId,
    fold: EntryFold,
    /// The last assignment's job and base.
    base: (JobId, CommitId),
    timeline: Option<AttemptTimeline>,
}

impl AttemptFold {
    /// A fold that has not seen any event yet.
    pub fn new(attempt: AttemptId) -> Self {
        Self {
            attempt,
            fold: EntryFold::default(),
            base: (JobId(0), CommitId::default()),
            timeline: None,
        }
    }

    /// Folds the next event; events come in order from the first.
    pub fn event(&mut self, recorded: &Recorded) {
        let told = self.fold.describe(recorded);
        match &recorded.event {
            Event::FeatureAssigned(it) => {
                self.base = (JobId(recorded.sequence.0), it.base.clone());
            }
            Event::TestAssigned(it) => {
                self.base = (JobId(recorded.sequence.0), it.base.clone());
            }
            Event::AttemptStarted(it) if recorded.sequence.0 == self.attempt.0 => {
                self.begin(it.job, recorded.at);
            }
            Event::UsageRecorded(it) if it.attempt == self.attempt => {
                if let Some(timeline) = &mut self.timeline {
                    timeline.spent = timeline.spent.plus(it.usage);
                }
            }
            Event::FeaturePassed(it) if it.attempt == self.attempt => {
                if let Some(timeline) = &mut self.timeline {
                    timeline.merged = Some(it.evidence.commit.clone());
                }
            }
            _ => {}
        }
        if let (Some(timeline), Some((_, entry))) = (&mut self.timeline, told)
            && entry.attempt == Some(self.attempt)
        {
            timeline.entries.push(entry);
        }
    }

    fn begin(&mut self, job: JobId, at: Timestamp) {
        let Some(told) = self.fold.timeline().open().get(&self.attempt) else {
            return;
        };
        let name = |&id: &FeatureId| (id, self.fold.timeline().name(id).to_owned());
        let (assigned, base) = self.base.clone();
        self.timeline = Some(AttemptTimeline {
            attempt: self.attempt,
            kind: told.kind,
            features: told.features.iter().map(name).collect(),
            number: told.number,
            worker: told.worker.clone(),
            // An attempt directly follows its assignment, except in a log that was edited.
            base: if assigned == job {
                base
            } else {
                CommitId::default()
            },
            started: at,
            open: true,
            merged: None,
            spent: Usage::default(),
            entries: Vec::new(),
        });
    }

    /// The result after the last event; `None` if no such attempt ever started.
    pub fn answer(self) -> Option<AttemptTimeline> {
        let open = self.fold.timeline().open().contains_key(&self.attempt);
        let timeline = self.timeline?;
        Some(AttemptTimeline { open, ..timeline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::UsageRecorded;
    use crate::model::views::fixtures::*;

    fn told(log: &Log, attempt: u64) -> Option<AttemptTimeline> {
        let mut fold = AttemptFold::new(AttemptId(attempt));
        log.events.iter().for_each(|recorded| fold.event(recorded));
        fold.answer()
    }

    #[test]
    fn an_attempt_is_told_from_its_beginning_to_its_end() {
        let mut log = Log::default();
        log.record(added(1, "parse dates", &[]));
        log.record(added(9, "other", &[]));
        let worker = log.record(joined(WorkerKind::Coding, "worker-1"));
        let first = log.start(worker, &[1], 1);
        let usage = Usage {
            input_tokens: 7,
            ..Usage::default()
        };
        for _ in 0..2 {
            let attempt = AttemptId(first);
            log.record(UsageRecorded { attempt, usage });
        }
        log.record(failed(1, first, "not yet"));
        let second = log.start(worker, &[1], 2);
        let timeline = told(&log, first).expect("it is there");
        assert_eq!(
            timeline.features,
            [(FeatureId(1), "parse dates".to_owned())]
        );
        assert_eq!((timeline.number, timeline.open), (1, false));
        assert_eq!(
            (timeline.worker.as_str(), &timeline.base),
            ("worker-1", &commit('a'))
        );
        assert_eq!(timeline.spent.input_tokens, 14);
        let marks: Vec<&str> = timeline
            .entries
            .iter()
            .map(|it| it.label.as_str())
            .collect();
        assert_eq!(marks, ["START", "FAIL"]);
        let timeline = told(&log, second).expect("it is there");
        assert_eq!((timeline.number, timeline.open), (2, true));
        for no_attempt in [0, 1, first - 1, second + 1] {
            assert_eq!(told(&log, no_attempt), None, "{no_attempt}");
        }
    }
}
