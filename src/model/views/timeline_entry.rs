//! One thing that happened, with its particulars: how an attempt was chosen, and what proves or
//! refutes its work.

use std::collections::BTreeMap;

use serde::Serialize;

use super::timeline::{Label, Timeline, rank_words, test_words};
use crate::model::event::{Event, FeatureAssigned, RankTerms, Recorded, TestAssigned, TestTerms};
use crate::model::evidence::{CheckRun, Failure};
use crate::model::format;
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Sequence, Timestamp};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// Which event.
    pub sequence: Sequence,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(serialize_with = "word")]
    pub label: Label,
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

fn word<S: serde::Serializer>(label: &Label, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(label.word())
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

/// Tells events as entries. Gets every event of the log, in order.
#[derive(Default)]
pub struct EntryFold {
    timeline: Timeline,
    /// Choices whose attempt has not started yet, with the features of their jobs.
    choices: BTreeMap<JobId, Choice>,
}

impl EntryFold {
    /// Tells the next event: which features it concerns, and the entry; `None` for what is told
    /// by the events that follow from it.
    pub fn describe(&mut self, recorded: &Recorded) -> Option<(Vec<FeatureId>, TimelineEntry)> {
        let line = self.timeline.describe(recorded);
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
        let mut entry = TimelineEntry {
            sequence: line.sequence,
            at: line.at,
            label: line.label,
            note: line.note,
            more: None,
            attempt: None,
            choice: None,
            checks: Vec::new(),
            suspects: Vec::new(),
        };
        self.particulars(&mut entry, recorded);
        if let Some(elapsed) = line.elapsed_ms.filter(|_| entry.attempt.is_some()) {
            let after = format!("after {}", format::duration(elapsed));
            entry.note = match entry.note.is_empty() {
                true => after,
                false => format!("{after}: {}", entry.note),
            };
        }
        Some((line.features, entry))
    }

    /// The names that are known so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn particulars(&mut self, entry: &mut TimelineEntry, recorded: &Recorded) {
        match &recorded.event {
            Event::AttemptStarted(it) => {
                entry.attempt = Some(AttemptId(recorded.sequence.0));
                entry.choice = self.choices.remove(&it.job);
                let told = self.timeline.open().get(&AttemptId(recorded.sequence.0));
                if let Some(told) = told {
                    let by = format!("by {}", told.worker);
                    entry.note = match entry.note.is_empty() {
                        true => by,
                        false => format!("{}, {by}", entry.note),
                    };
                }
            }
            Event::FeaturePassed(it) => {
                entry.attempt = Some(it.attempt);
                entry.checks.clone_from(&it.evidence.checks);
                let commit = it.evidence.commit.short();
                entry.note = match entry.note.is_empty() {
                    true => format!("at {commit}"),
                    false => format!("at {commit}, {}", entry.note),
                };
            }
            Event::TestPassed(it) => {
                entry.attempt = Some(it.attempt);
                entry.checks.clone_from(&it.evidence.checks);
            }
            Event::FeatureFailed(it) => {
                entry.more = last_line(&it.failure);
                entry.attempt = Some(it.attempt);
                entry.checks.clone_from(&it.failure.checks);
            }
            Event::TestInconclusive(it) => {
                entry.more = last_line(&it.failure);
                entry.attempt = Some(it.attempt);
                entry.checks.clone_from(&it.failure.checks);
            }
            Event::RegressionFound(it) => {
                entry.more = last_line(&it.failure);
                entry.attempt = Some(it.attempt);
                entry.checks.clone_from(&it.failure.checks);
                entry.suspects.clone_from(&it.suspects);
            }
            Event::JobCancelled(it) => entry.attempt = Some(it.attempt),
            Event::InputRequested(it) => entry.attempt = Some(it.attempt),
            Event::AttemptReleased(it) => entry.attempt = Some(it.attempt),
            Event::AttemptLost(it) => entry.attempt = Some(it.attempt),
            Event::MergeStarted(it) => entry.attempt = Some(it.attempt),
            Event::MergeAborted(it) => entry.attempt = Some(it.attempt),
            Event::CommandRefused(it) => entry.attempt = it.attempt,
            Event::AttemptNoted(it) => entry.attempt = Some(it.attempt),
            _ => {}
        }
    }
}

fn last_line(failure: &Failure) -> Option<String> {
    let (_, last) = failure.reason.trim().rsplit_once('\n')?;
    Some(last.to_owned())
}
