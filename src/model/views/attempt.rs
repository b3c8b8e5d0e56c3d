//! One attempt: who worked on what, from when to when, and what came of it.

use serde::Serialize;

use super::timeline_entry::{EntryFold, TimelineEntry};
use crate::model::event::{Event, Recorded};
use crate::model::evidence::Usage;
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Timestamp};
use crate::model::settings::WorkerKind;

/// An attempt as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptTimeline {
    /// Which.
    pub attempt: AttemptId,
    /// Coding or testing.
    pub kind: WorkerKind,
    /// What it worked on, with the names of that time.
    pub features: Vec<(FeatureId, String)>,
    /// Which try it was, from 1.
    pub number: u32,
    /// Who.
    pub worker: String,
    /// The commit that it began from.
    pub base: CommitId,
    /// When it began.
    pub started: Timestamp,
    /// It has not ended yet.
    pub open: bool,
    /// The commit that was merged, if its work was.
    pub merged: Option<CommitId>,
    /// What it used.
    pub spent: Usage,
    /// What happened in it, in order.
    pub entries: Vec<TimelineEntry>,
}

/// Collects what concerns one attempt while the log goes by.
pub struct AttemptFold {
    attempt: AttemptId,
    fold: EntryFold,
    /// The last assignment's job and base.
    base: (JobId, CommitId),
    timeline: Option<AttemptTimeline>,
}

impl AttemptFold {
    /// Begins before the first event.
    pub fn new(attempt: AttemptId) -> Self {
        Self {
            attempt,
            fold: EntryFold::default(),
            base: (JobId(0), CommitId::default()),
            timeline: None,
        }
    }

    /// Takes the next event.
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
            // An attempt follows its assignment; only a log that was cut by hand has others.
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

    /// The answer after the last event; `None` when no such attempt ever started.
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
        let marks: Vec<&str> = timeline.entries.iter().map(|it| it.label.word()).collect();
        assert_eq!(marks, ["START", "FAIL"]);
        let timeline = told(&log, second).expect("it is there");
        assert_eq!((timeline.number, timeline.open), (2, true));
        for no_attempt in [0, 1, first - 1, second + 1] {
            assert_eq!(told(&log, no_attempt), None, "{no_attempt}");
        }
    }
}
