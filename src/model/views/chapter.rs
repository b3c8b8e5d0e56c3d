//! One thing that happened, with its particulars: how an attempt was chosen, and what proves or
//! refutes its work.

use std::collections::BTreeMap;

use serde::Serialize;

use super::brief;
use super::story::{Mark, Story, rank_words, test_words};
use crate::model::event::{Event, FeatureAssigned, RankTerms, Recorded, TestAssigned, TestTerms};
use crate::model::evidence::{CheckRun, Failure};
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Sequence, Timestamp};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chapter {
    /// Which event.
    pub sequence: Sequence,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(serialize_with = "word")]
    pub mark: Mark,
    /// The particulars in words.
    pub note: String,
    /// The last line of a failure's reason that has several: what to do about it, often.
    pub more: Option<String>,
    /// The attempt it begins or ends, if any.
    pub attempt: Option<AttemptId>,
    /// How an attempt was chosen.
    pub choice: Option<Choice>,
    /// The checks that prove or refute.
    pub checks: Vec<CheckRun>,
    /// Merges that may have broken it, oldest first.
    pub suspects: Vec<(FeatureId, CommitId)>,
}

/// By what terms an attempt's job was chosen, and against which others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// To be implemented.
    Ranked {
        /// The first feature of the job, whose terms these are.
        first: FeatureId,
        /// Its terms.
        terms: RankTerms,
        /// The next best.
        runners_up: Vec<(FeatureId, RankTerms)>,
        /// How many were ready.
        ready: u32,
    },
    /// To be tested.
    Drawn {
        /// The first feature of the job, whose terms these are.
        first: FeatureId,
        /// Its terms.
        terms: TestTerms,
        /// The other candidates.
        runners_up: Vec<(FeatureId, TestTerms)>,
        /// The number that was drawn.
        draw: u64,
        /// Verification at the end of a run.
        last: bool,
    },
}

fn word<S: serde::Serializer>(mark: &Mark, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mark.word())
}

impl Choice {
    fn ranked(it: &FeatureAssigned) -> Self {
        Self::Ranked {
            first: it.features.first().copied().unwrap_or_default(),
            terms: it.terms,
            runners_up: it.runners_up.clone(),
            ready: it.ready,
        }
    }

    fn drawn(it: &TestAssigned) -> Self {
        Self::Drawn {
            first: it.features.first().copied().unwrap_or_default(),
            terms: it.terms,
            runners_up: it.runners_up.clone(),
            draw: it.draw,
            last: it.last,
        }
    }

    /// The choice in words: the terms, then those of the others, best first.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Ranked {
                first,
                terms,
                runners_up,
                ready,
            } => {
                let head = format!("{first} was first of {ready} ready: {}", rank_words(terms));
                let others = runners_up.iter();
                let others =
                    others.map(|(id, terms)| format!("before {id}: {}", rank_words(terms)));
                std::iter::once(head).chain(others).collect()
            }
            Self::Drawn {
                first,
                terms,
                runners_up,
                last,
                // A number without its meaning explains nothing; who checks it has the JSON.
                draw: _,
            } => {
                let head = match last {
                    true => format!("{first} was to be verified at the end of the run"),
                    false => format!(
                        "{first} was drawn by lot, the heavier the likelier: {}",
                        test_words(terms)
                    ),
                };
                let others = runners_up.iter().filter(|_| !last);
                let others = others.map(|(id, terms)| format!("not {id}: {}", test_words(terms)));
                std::iter::once(head).chain(others).collect()
            }
        }
    }
}

/// Tells events as chapters. Gets every event of the log, in order.
#[derive(Default)]
pub struct Teller {
    story: Story,
    /// Choices whose attempt has not started yet, with the features of their jobs.
    choices: BTreeMap<JobId, Choice>,
}

impl Teller {
    /// Tells the next event: which features it concerns, and the chapter; `None` for what is told
    /// by the events that follow from it.
    pub fn tell(&mut self, recorded: &Recorded) -> Option<(Vec<FeatureId>, Chapter)> {
        let line = self.story.tell(recorded);
        match &recorded.event {
            Event::FeatureAssigned(it) => {
                let choice = Choice::ranked(it);
                self.choices.insert(JobId(recorded.sequence.0), choice);
                return None;
            }
            Event::TestAssigned(it) => {
                let choice = Choice::drawn(it);
                self.choices.insert(JobId(recorded.sequence.0), choice);
                return None;
            }
            Event::UsageRecorded(_) | Event::LateResultIgnored(_) => return None,
            _ => {}
        }
        let mut chapter = Chapter {
            sequence: line.sequence,
            at: line.at,
            mark: line.mark,
            note: line.note,
            more: None,
            attempt: None,
            choice: None,
            checks: Vec::new(),
            suspects: Vec::new(),
        };
        self.particulars(&mut chapter, recorded);
        if let Some(elapsed) = line.elapsed_ms.filter(|_| chapter.attempt.is_some()) {
            let after = format!("after {}", brief::duration(elapsed));
            chapter.note = match chapter.note.is_empty() {
                true => after,
                false => format!("{after}: {}", chapter.note),
            };
        }
        Some((line.features, chapter))
    }

    /// The names that are known so far.
    pub fn story(&self) -> &Story {
        &self.story
    }

    fn particulars(&mut self, chapter: &mut Chapter, recorded: &Recorded) {
        match &recorded.event {
            Event::AttemptStarted(it) => {
                chapter.attempt = Some(AttemptId(recorded.sequence.0));
                chapter.choice = self.choices.remove(&it.job);
                let told = self.story.open().get(&AttemptId(recorded.sequence.0));
                if let Some(told) = told {
                    let by = format!("by {}", told.worker);
                    chapter.note = match chapter.note.is_empty() {
                        true => by,
                        false => format!("{}, {by}", chapter.note),
                    };
                }
            }
            Event::FeaturePassed(it) => {
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.evidence.checks);
                let commit = it.evidence.commit.short();
                chapter.note = match chapter.note.is_empty() {
                    true => format!("at {commit}"),
                    false => format!("at {commit}, {}", chapter.note),
                };
            }
            Event::TestPassed(it) => {
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.evidence.checks);
            }
            Event::FeatureFailed(it) => {
                chapter.more = last_line(&it.failure);
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.failure.checks);
            }
            Event::TestInconclusive(it) => {
                chapter.more = last_line(&it.failure);
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.failure.checks);
            }
            Event::RegressionFound(it) => {
                chapter.more = last_line(&it.failure);
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.failure.checks);
                chapter.suspects.clone_from(&it.suspects);
            }
            Event::JobCancelled(it) => chapter.attempt = Some(it.attempt),
            Event::InputRequested(it) => chapter.attempt = Some(it.attempt),
            Event::AttemptReleased(it) => chapter.attempt = Some(it.attempt),
            Event::AttemptLost(it) => chapter.attempt = Some(it.attempt),
            Event::MergeStarted(it) => chapter.attempt = Some(it.attempt),
            Event::MergeAborted(it) => chapter.attempt = Some(it.attempt),
            Event::CommandRefused(it) => chapter.attempt = it.attempt,
            Event::AttemptNoted(it) => chapter.attempt = Some(it.attempt),
            _ => {}
        }
    }
}

fn last_line(failure: &Failure) -> Option<String> {
    let (_, last) = failure.reason.trim().rsplit_once('\n')?;
    Some(last.to_owned())
}
