//! Why a feature is where it is, from the log alone.

use std::collections::BTreeMap;

use serde::Serialize;

use super::brief;
use super::standing::{Chain, Standing, Standings};
use super::story::{Mark, Story, rank_words, test_words};
use crate::model::event::{Event, FeatureAssigned, RankTerms, Recorded, TestAssigned, TestTerms};
use crate::model::evidence::CheckRun;
use crate::model::ids::{AttemptId, CommitId, FeatureId, JobId, Sequence, Timestamp};
use crate::model::state::State;

/// Ready features ahead of this one that are named.
const AHEAD_MAX: usize = 5;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Which.
    pub feature: FeatureId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub standing: Standing,
    /// Why it stands there, in sentences.
    pub because: Vec<String>,
    /// What it waits for.
    pub chain: Chain,
    /// The terms of its place in the order.
    pub terms: Option<RankTerms>,
    /// The ready features ahead of it, best first, the first few.
    pub ahead: Vec<(FeatureId, RankTerms)>,
    /// How many features are ahead of it.
    pub ahead_total: u32,
    /// How often another was chosen while it was among the next best, and when last, and which.
    pub passed_over: Option<PassedOver>,
    /// What happened to it, in order.
    pub chapters: Vec<Chapter>,
}

/// Being ready and not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// How often.
    pub times: u32,
    /// The event of the last time.
    pub sequence: Sequence,
    /// Which feature was chosen.
    pub chosen: FeatureId,
    /// By what terms.
    pub terms: RankTerms,
    /// This feature's own terms at that time.
    pub own: RankTerms,
}

/// One thing that happened to the feature.
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

/// Collects what concerns one feature while the log goes by.
pub struct WhyFold {
    feature: FeatureId,
    story: Story,
    /// Choices whose attempt has not started yet.
    choices: BTreeMap<JobId, Choice>,
    passed_over: Option<PassedOver>,
    chapters: Vec<Chapter>,
}

impl WhyFold {
    /// Begins before the first event.
    pub fn new(feature: FeatureId) -> Self {
        Self {
            feature,
            story: Story::default(),
            choices: BTreeMap::new(),
            passed_over: None,
            chapters: Vec::new(),
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, recorded: &Recorded) {
        let line = self.story.tell(recorded);
        match &recorded.event {
            Event::FeatureAssigned(it) => return self.assigned(recorded.sequence, it),
            Event::TestAssigned(it) => return self.test_assigned(recorded.sequence, it),
            // Told by the events that follow from them.
            Event::UsageRecorded(_) | Event::LateResultIgnored(_) => return,
            _ => {}
        }
        if !line.features.contains(&self.feature) {
            return;
        }
        let mut chapter = Chapter {
            sequence: line.sequence,
            at: line.at,
            mark: line.mark,
            note: line.note,
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
        self.chapters.push(chapter);
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
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.failure.checks);
            }
            Event::TestInconclusive(it) => {
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.failure.checks);
            }
            Event::RegressionFound(it) => {
                chapter.attempt = Some(it.attempt);
                chapter.checks.clone_from(&it.failure.checks);
                chapter.suspects.clone_from(&it.suspects);
            }
            Event::InputRequested(it) => chapter.attempt = Some(it.attempt),
            Event::AttemptReleased(it) => chapter.attempt = Some(it.attempt),
            Event::AttemptLost(it) => chapter.attempt = Some(it.attempt),
            Event::MergeStarted(it) => chapter.attempt = Some(it.attempt),
            Event::MergeAborted(it) => chapter.attempt = Some(it.attempt),
            _ => {}
        }
    }

    fn assigned(&mut self, sequence: Sequence, it: &FeatureAssigned) {
        let first = it.features.first().copied().unwrap_or_default();
        if it.features.contains(&self.feature) {
            let choice = Choice::Ranked {
                first,
                terms: it.terms,
                runners_up: it.runners_up.clone(),
                ready: it.ready,
            };
            self.choices.insert(JobId(sequence.0), choice);
        }
        let own = it.runners_up.iter().find(|(id, _)| *id == self.feature);
        if let Some(&(_, own)) = own {
            let times = self.passed_over.as_ref().map_or(0, |before| before.times) + 1;
            let (chosen, terms) = (first, it.terms);
            self.passed_over = Some(PassedOver {
                times,
                sequence,
                chosen,
                terms,
                own,
            });
        }
    }

    fn test_assigned(&mut self, sequence: Sequence, it: &TestAssigned) {
        if it.features.contains(&self.feature) {
            let choice = Choice::Drawn {
                first: it.features.first().copied().unwrap_or_default(),
                terms: it.terms,
                runners_up: it.runners_up.clone(),
                draw: it.draw,
                last: it.last,
            };
            self.choices.insert(JobId(sequence.0), choice);
        }
    }

    /// The answer at `state`, which is the fold of the same events; `None` when there is no such
    /// feature.
    pub fn answer(self, state: &State, now: Timestamp) -> Option<Why> {
        let feature = state.feature(self.feature)?;
        let standings = Standings::of(state, now);
        let standing = standings.standing(feature);
        let chain = match standing {
            Standing::Blocked | Standing::Unreachable => standings.chain(self.feature),
            _ => Chain::default(),
        };
        let ready = standing == Standing::Ready;
        let ahead = || {
            state
                .ready()
                .take_while(|(id, _)| ready && *id != self.feature)
        };
        let mut why = Why {
            feature: self.feature,
            name: feature.spec.name.clone(),
            standing,
            because: Vec::new(),
            terms: state.terms(self.feature),
            ahead: ahead().take(AHEAD_MAX).collect(),
            ahead_total: ahead().count() as u32,
            passed_over: self.passed_over,
            chapters: self.chapters,
            chain,
        };
        why.because = because(&why, state, &standings, now);
        Some(why)
    }
}

/// The present, in sentences.
fn because(why: &Why, state: &State, standings: &Standings<'_>, now: Timestamp) -> Vec<String> {
    let Some(feature) = state.feature(why.feature) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    match why.standing {
        Standing::Running => out.push("an attempt works on it".to_owned()),
        Standing::Passing => out.push(match feature.basis {
            Some(crate::model::evidence::Basis::AgentWord) => {
                "it has no checks; an agent said that it is done".to_owned()
            }
            _ => "its checks passed on the tree that was merged".to_owned(),
        }),
        Standing::NeedsInput => {
            let question = feature.words.question.as_deref().unwrap_or("something");
            let number = why.feature.0;
            out.push(format!("an agent asks: {question}"));
            out.push(format!("answer with `scheduler answer {number} TEXT`"));
        }
        Standing::Parked => {
            let number = why.feature.0;
            out.push("its tries are used up".to_owned());
            out.push(format!("`scheduler retry {number}` forgives its failures"));
        }
        Standing::Skipped if feature.words.skipped.is_empty() => {
            out.push("a person skipped it".to_owned());
        }
        Standing::Skipped => out.push(format!("a person skipped it: {}", feature.words.skipped)),
        Standing::Blocked | Standing::Unreachable => out.push(standings.chain_words(&why.chain)),
        Standing::Delayed => {
            let wait = brief::duration(feature.not_before.since_ms(now));
            out.push(format!(
                "after its last failure it waits for another {wait}"
            ));
        }
        Standing::Ready => out.extend(ready(why, state)),
    }
    if let (Standing::Ready | Standing::Delayed, Some(_)) = (why.standing, &state.paused) {
        out.push("the run is paused; `scheduler resume` goes on".to_owned());
    }
    out
}

fn ready(why: &Why, state: &State) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(terms) = &why.terms {
        out.push(format!("it may be tried now: {}", rank_words(terms)));
    }
    match (why.ahead_total, state.open_run()) {
        (_, None) => out.push("no run is open; `scheduler run` starts one".to_owned()),
        (0, Some(_)) => out.push("it is the next one".to_owned()),
        (ahead, Some(_)) => out.push(format!("{ahead} ready before it")),
    }
    out
}

impl Choice {
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
                draw,
                last,
            } => {
                let total = runners_up
                    .iter()
                    .map(|(_, terms)| terms.weight)
                    .sum::<u64>();
                let total = total.saturating_add(terms.weight);
                let head = match last {
                    true => format!("{first} was to be verified at the end of the run"),
                    false => format!(
                        "{first} was drawn ({draw} of {total}): {}",
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

#[cfg(test)]
mod tests;
