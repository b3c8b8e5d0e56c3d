//! An event with its details: why an attempt was chosen, and which checks passed or failed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::timeline::{Label, Timeline, rank_words, test_words};
use crate::model::event::{Event, FeatureAssigned, RankTerms, Recorded, TestAssigned, TestTerms};
use crate::model::evidence::{CheckRun, Failure};
use crate::model::format;
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Sequence, Timestamp};

/// An event with its details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// Number of the event.
    pub sequence: Sequence,
    /// Time of the event.
    pub at: Timestamp,
    /// What happened, as a word.
    #[serde(serialize_with = "label_as_str")]
    pub label: Label,
    /// Details as text.
    pub note: String,
    /// The last line of a failure's reason of several lines; often what to do about it.
    pub more: Option<String>,
    /// The attempt that the event belongs to, if any.
    pub attempt: Option<AttemptId>,
    /// Why the attempt was chosen, for its start.
    pub choice: Option<Choice>,
    /// Checks that ran.
    pub checks: Vec<CheckRun>,
    /// Merges that may have caused a regression, oldest first.
    pub suspects: Vec<(FeatureId, CommitId)>,
}

/// Why an attempt's job was chosen over others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// A coding job, chosen by rank.
    Ranked {
        /// The job's first feature.
        first: FeatureId,
        /// Rank of that feature.
        terms: RankTerms,
        /// The next best features, best first.
        runners_up: Vec<(FeatureId, RankTerms)>,
        /// Number of ready features.
        ready: u32,
    },
    /// A testing job, chosen by a weighted random draw.
    Drawn {
        /// The job's first feature.
        first: FeatureId,
        /// Weight of that feature.
        terms: TestTerms,
        /// The other candidates of the draw.
        runners_up: Vec<(FeatureId, TestTerms)>,
        /// The random number.
        draw: u64,
        /// True for the verification at the end of a run.
        last: bool,
    },
}

fn label_as_str<S: serde::Serializer>(label: &Label, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(label.as_str())
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

    /// The choice as lines of text: the chosen feature, then the others, best first.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Ranked {
                first,
                terms,
                runners_up,
                ready,
            } => {
                let head = format!(
                    "{first} ranked first of {ready} ready: {}",
                    rank_words(terms)
                );
                let others = runners_up.iter();
                let others =
                    others.map(|(id, terms)| format!("ahead of {id}: {}", rank_words(terms)));
                std::iter::once(head).chain(others).collect()
            }
            Self::Drawn {
                first,
                terms,
                runners_up,
                last,
                // The random number alone explains nothing; the JSON contains it.
                draw: _,
            } => {
                let head = match last {
                    true => format!("{first} was verified at the end of the run"),
                    false => format!("{first} was drawn at random, by {}", test_words(terms)),
                };
                let others = runners_up.iter().filter(|_| !last);
                let others =
                    others.map(|(id, terms)| format!("instead of {id}: {}", test_words(terms)));
                std::iter::once(head).chain(others).collect()
            }
        }
    }
}

/// A fold that turns events into entries. It must get every event of the log, in order.
#[derive(Default)]
pub struct EntryFold {
    timeline: Timeline,
    /// Choices whose attempt has not started yet.
    choices: BTreeMap<JobId, Choice>,
}

impl EntryFold {
    /// Folds the next event. Returns the features that it concerns, and its entry; `None` for events
    /// whose details are part of a later entry.
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

    /// The names known so far.
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
