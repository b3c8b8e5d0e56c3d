//! One attempt: who worked on what, from when to when, and what came of it.

use serde::Serialize;

use super::chapter::{Chapter, Teller};
use crate::model::event::{Event, Recorded};
use crate::model::evidence::Usage;
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Timestamp};
use crate::model::settings::WorkerKind;

/// An attempt as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptStory {
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
    pub chapters: Vec<Chapter>,
}

/// Collects what concerns one attempt while the log goes by.
pub struct AttemptFold {
    attempt: AttemptId,
    teller: Teller,
    /// The last assignment's job and base.
    base: (JobId, CommitId),
    story: Option<AttemptStory>,
}

impl AttemptFold {
    /// Begins before the first event.
    pub fn new(attempt: AttemptId) -> Self {
        Self {
            attempt,
            teller: Teller::default(),
            base: (JobId(0), CommitId::default()),
            story: None,
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, recorded: &Recorded) {
        let told = self.teller.tell(recorded);
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
                if let Some(story) = &mut self.story {
                    story.spent = story.spent.plus(it.usage);
                }
            }
            Event::FeaturePassed(it) if it.attempt == self.attempt => {
                if let Some(story) = &mut self.story {
                    story.merged = Some(it.evidence.commit.clone());
                }
            }
            _ => {}
        }
        if let (Some(story), Some((_, chapter))) = (&mut self.story, told)
            && chapter.attempt == Some(self.attempt)
        {
            story.chapters.push(chapter);
        }
    }

    fn begin(&mut self, job: JobId, at: Timestamp) {
        let Some(told) = self.teller.story().open().get(&self.attempt) else {
            return;
        };
        let name = |&id: &FeatureId| (id, self.teller.story().name(id).to_owned());
        let (assigned, base) = self.base.clone();
        self.story = Some(AttemptStory {
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
            chapters: Vec::new(),
        });
    }

    /// The answer after the last event; `None` when no such attempt ever started.
    pub fn answer(self) -> Option<AttemptStory> {
        let open = self.teller.story().open().contains_key(&self.attempt);
        let story = self.story?;
        Some(AttemptStory { open, ..story })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::UsageRecorded;
    use crate::model::views::fixtures::*;

    fn told(log: &Log, attempt: u64) -> Option<AttemptStory> {
        let mut fold = AttemptFold::new(AttemptId(attempt));
        log.events.iter().for_each(|recorded| fold.event(recorded));
        fold.answer()
    }

    #[test]
    fn an_attempt_is_told_from_its_beginning_to_its_end() {
        let mut log = Log::default();
        log.tell(added(1, "parse dates", &[]));
        log.tell(added(9, "other", &[]));
        let worker = log.tell(joined(WorkerKind::Coding, "worker-1"));
        let first = log.start(worker, &[1], 1);
        let usage = Usage {
            input_tokens: 7,
            ..Usage::default()
        };
        for _ in 0..2 {
            let attempt = AttemptId(first);
            log.tell(UsageRecorded { attempt, usage });
        }
        log.tell(failed(1, first, "not yet"));
        let second = log.start(worker, &[1], 2);
        let story = told(&log, first).expect("it is there");
        assert_eq!(story.features, [(FeatureId(1), "parse dates".to_owned())]);
        assert_eq!((story.number, story.open), (1, false));
        assert_eq!(
            (story.worker.as_str(), &story.base),
            ("worker-1", &commit('a'))
        );
        assert_eq!(story.spent.input_tokens, 14);
        let marks: Vec<&str> = story.chapters.iter().map(|it| it.mark.word()).collect();
        assert_eq!(marks, ["START", "FAIL"]);
        let story = told(&log, second).expect("it is there");
        assert_eq!((story.number, story.open), (2, true));
        for no_attempt in [0, 1, first - 1, second + 1] {
            assert_eq!(told(&log, no_attempt), None, "{no_attempt}");
        }
    }
}
