//! What a person who is not watching is told: a pure fold of recorded events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::timeline::times;
use crate::model::clip::clip_clean;
use crate::model::event::{Event, ProviderLimited, Recorded};
use crate::model::format;
use crate::model::ids::{AttemptId, FeatureId, Sequence, Timestamp};
use crate::model::profile::ProfileName;
use crate::model::state::State;

/// Most bytes of a notice's text: a phone shows less, and the log has all of it.
const TEXT_BYTES_MAX: usize = 2_000;
/// Most bytes of a feature's name in a notice.
const NAME_BYTES_MAX: usize = 120;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// An agent asks a question.
    Question,
    /// A feature has used up its tries.
    Parked,
    /// A provider limits, fails or refuses.
    Limited,
    /// The budget is spent.
    Budget,
    /// A passing feature no longer passes.
    Regression,
    /// The run has ended.
    End,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Question,
        Self::Parked,
        Self::Limited,
        Self::Budget,
        Self::Regression,
        Self::End,
    ];

    /// The kind as a word, as in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Parked => "parked",
            Self::Limited => "limited",
            Self::Budget => "budget",
            Self::Regression => "regression",
            Self::End => "end",
        }
    }
}

/// One message to a person. All texts are one line or a few, and without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// The event that caused it; for an end, the last one.
    pub sequence: Sequence,
    /// Wall-clock time of that event.
    pub at: Timestamp,
    /// The feature, if it is about one.
    pub feature: Option<FeatureId>,
    /// Name of that feature; empty without one.
    pub name: String,
    /// The attempt, if it is about one.
    pub attempt: Option<AttemptId>,
    /// What happened, in a few words.
    pub title: String,
    /// The question, the reason or the provider's words; may be empty.
    pub text: String,
    /// What to do, with the exact command or key; may be empty.
    pub next: String,
    /// When the provider's limit ends, if that is known.
    pub until: Option<Timestamp>,
}

/// A fold that tells what deserves a notice. It keeps the features' names.
#[derive(Clone, Debug, Default)]
pub struct NoticeFold {
    names: BTreeMap<FeatureId, String>,
    /// Reason of the last failure, which may park its feature.
    failed: Option<(FeatureId, String)>,
    /// The provider limits or refuses, and whether it does so until a person acts. One outage is one
    /// notice, however many attempts meet it.
    limited: BTreeMap<ProfileName, bool>,
}

impl NoticeFold {
    /// A fold that continues from `state`.
    pub fn after(state: &State) -> Self {
        let names = state.features().map(|it| (it.id, it.spec.name.clone()));
        let limited = state.outages();
        let limited = limited.map(|(profile, outage)| (profile.clone(), !outage.ends()));
        Self {
            names: names.collect(),
            failed: None,
            limited: limited.collect(),
        }
    }

    /// The same names, before any outage.
    pub fn without_outage(&self) -> Self {
        Self {
            names: self.names.clone(),
            ..Self::default()
        }
    }

    /// Folds the next event.
    pub fn event(&mut self, recorded: &Recorded) -> Option<Notice> {
        let notice = self.notice(recorded);
        match &recorded.event {
            Event::FeatureAdded(it) => {
                self.names.insert(it.feature, it.spec.name.clone());
            }
            Event::FeatureEdited(it) => {
                self.names.insert(it.feature, it.spec.name.clone());
            }
            Event::FeatureFailed(it) => {
                let words = format!("{}: {}", it.failure.kind.as_str(), it.failure.reason);
                self.failed = Some((it.feature, words));
                self.limited.clear();
            }
            // An agent got through to its provider.
            Event::MergeStarted(_) | Event::FeaturePassed(_) | Event::InputRequested(_) => {
                self.limited.clear();
            }
            Event::ProfileRecovered(it) => {
                self.limited.remove(&it.profile);
            }
            Event::RunResumed(_) => self.limited.clear(),
            _ => {}
        }
        notice
    }

    fn notice(&mut self, recorded: &Recorded) -> Option<Notice> {
        let plain = |kind, title: String, text: &str| Notice {
            kind,
            sequence: recorded.sequence,
            at: recorded.at,
            feature: None,
            name: String::new(),
            attempt: None,
            title,
            text: plain_text(text),
            next: String::new(),
            until: None,
        };
        match &recorded.event {
            Event::InputRequested(it) => Some(Notice {
                attempt: Some(it.attempt),
                next: format!("scheduler answer {} TEXT", it.feature.0),
                ..self.about(it.feature, |it| {
                    plain(NoticeKind::Question, format!("{it} asks a question"), "")
                })
            })
            .map(|notice| Notice {
                text: plain_text(&it.question),
                ..notice
            }),
            Event::FeatureParked(it) => {
                let failed = self.failed.as_ref().filter(|(id, _)| *id == it.feature);
                let reason = failed.map_or("", |(_, reason)| reason.as_str());
                let times = times(it.failures, "failure");
                Some(Notice {
                    next: format!("scheduler why {0}; scheduler retry {0}", it.feature.0),
                    ..self.about(it.feature, |it| {
                        let title = format!("{it} is parked after {times}");
                        plain(NoticeKind::Parked, title, reason)
                    })
                })
            }
            Event::RegressionFound(it) => Some(Notice {
                attempt: Some(it.attempt),
                next: format!("scheduler why {}", it.feature.0),
                ..self.about(it.feature, |name| {
                    let title = format!("{name} no longer passes");
                    plain(NoticeKind::Regression, title, &it.failure.reason)
                })
            }),
            Event::BudgetReached(it) => {
                let text = format!("spent: {}", format::usage(it.spent));
                Some(Notice {
                    next: "raise run.budget_usd or run.budget_tokens, then `scheduler run`"
                        .to_owned(),
                    ..plain(NoticeKind::Budget, "the budget is spent".to_owned(), &text)
                })
            }
            Event::ProviderLimited(it) => self.limited(it, plain),
            _ => None,
        }
    }

    fn limited(
        &mut self,
        it: &ProviderLimited,
        plain: impl Fn(NoticeKind, String, &str) -> Notice,
    ) -> Option<Notice> {
        let forever = it.until.0 == u64::MAX;
        let known = self.limited.get(&it.profile);
        if known.is_some_and(|known| *known || !forever) {
            return None;
        }
        self.limited.insert(it.profile.clone(), forever);
        let (title, next) = match forever {
            true => (
                "the provider refuses; the run waits for you",
                "settle this with the provider, then continue with `scheduler run`",
            ),
            false => ("the provider limits the use", ""),
        };
        Some(Notice {
            attempt: Some(it.attempt),
            next: next.to_owned(),
            until: (!forever).then_some(it.until),
            ..plain(NoticeKind::Limited, title.to_owned(), &it.reason)
        })
    }

    /// A notice about a feature; `of` gets its number and name.
    fn about(&self, feature: FeatureId, of: impl Fn(&str) -> Notice) -> Notice {
        let name = self.names.get(&feature).map_or("", String::as_str);
        let name = clip_clean(name, NAME_BYTES_MAX);
        Notice {
            feature: Some(feature),
            ..of(format!("{feature} {name}").trim_end())
        }
        .named(name)
    }
}

impl Notice {
    fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The end of a run, with its reason, after the event `last`.
    pub fn end(last: Sequence, at: Timestamp, reason: &str) -> Self {
        Self {
            kind: NoticeKind::End,
            sequence: last,
            at,
            feature: None,
            name: String::new(),
            attempt: None,
            title: "the run has ended".to_owned(),
            text: plain_text(reason),
            next: "scheduler report".to_owned(),
            until: None,
        }
    }
}

/// A text in one line without control characters.
fn plain_text(text: &str) -> String {
    clip_clean(&text.trim().replace(['\n', '\t'], " "), TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::*;
    use crate::model::evidence::{Failure, FailureKind, Usage};
    use crate::model::settings::WorkerKind;
    use crate::model::views::fixtures::*;

    fn limited(log: &mut Log, attempt: u64, until: u64) {
        log.record(ProviderLimited {
            attempt: AttemptId(attempt),
            profile: ProfileName("claude".to_owned()),
            kind: FailureKind::ProviderLimited,
            until: Timestamp(until),
            reason: "429".to_owned(),
        });
    }

    fn told(log: &Log) -> Vec<(NoticeKind, String)> {
        let mut fold = NoticeFold::default();
        let notices = log.events.iter().filter_map(|event| fold.event(event));
        notices.map(|it| (it.kind, it.title)).collect()
    }

    #[test]
    fn what_needs_a_person_is_told_with_what_to_do() {
        let mut log = Log::default();
        log.record(added(1, "parse \u{1b}dates", &[]));
        let worker = log.record(joined(WorkerKind::Coding, "worker-1"));
        let first = log.start(worker, &[1], 1);
        log.record(failed(1, first, "it broke"));
        let (feature, failures) = (FeatureId(1), 1);
        log.record(FeatureParked { feature, failures });
        log.record(InputRequested {
            feature,
            attempt: AttemptId(first),
            question: "TOML\nor YAML?".to_owned(),
        });
        log.record(RegressionFound {
            feature,
            attempt: AttemptId(first),
            failure: Failure::new(FailureKind::CheckFailed, "gone"),
            suspects: Vec::new(),
        });
        let spent = Usage {
            cost_microusd: 2_000_000,
            ..Usage::default()
        };
        log.record(BudgetReached { spent });
        let mut fold = NoticeFold::default();
        let notices: Vec<Notice> = log.events.iter().filter_map(|it| fold.event(it)).collect();
        let kinds: Vec<NoticeKind> = notices.iter().map(|it| it.kind).collect();
        use NoticeKind::*;
        assert_eq!(kinds, [Parked, Question, Regression, Budget]);
        let texts: Vec<&str> = notices.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts[0], "check_failed: it broke");
        assert_eq!(texts[1], "TOML or YAML?");
        assert_eq!(texts[3], "spent: $2.00");
        assert!(!notices[0].title.contains('\u{1b}'), "{:?}", notices[0]);
        assert_eq!(notices[1].next, "scheduler answer 1 TEXT");
        assert!(notices[0].title.ends_with("is parked after 1 failure"));
    }

    #[test]
    fn an_outage_is_one_notice_until_something_gets_through() {
        let mut log = Log::default();
        for attempt in [10, 11, 12] {
            limited(&mut log, attempt, 9_000);
        }
        assert_eq!(told(&log).len(), 1);
        // A person is needed: that is news, once.
        limited(&mut log, 14, u64::MAX);
        limited(&mut log, 15, u64::MAX);
        assert_eq!(told(&log).len(), 2);
        log.record(failed(1, 15, "judged"));
        limited(&mut log, 16, 9_000);
        assert_eq!(told(&log).len(), 3);
    }

    #[test]
    fn a_restart_does_not_tell_the_same_outage_again() {
        let mut log = Log::default();
        limited(&mut log, 10, 9_000_000);
        let mut fold = NoticeFold::after(&log.state);
        let known = log.events.len();
        limited(&mut log, 11, 9_000_000);
        let rest = log.events.iter().skip(known);
        assert_eq!(rest.filter_map(|event| fold.event(event)).count(), 0);
    }
}
