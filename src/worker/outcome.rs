//! Derives an attempt's report from the end of a session, the agent's claims and the checks' exit
//! codes. Without I/O.

use crate::model::clip::clip;
use crate::model::end_reason::EndReason;
use crate::model::evidence::{Basis, CheckRun, Evidence, Failure, FailureKind, SessionEnd, Usage};
use crate::model::ids::{CommitId, FeatureId, Timestamp};
use crate::model::report::{JobFeature, Mergeable, Report, TestVerdict};
use crate::model::trouble::{Stage, Trouble, TroubleKind};

mod checks;

pub use checks::FeatureChecks;

use super::verdict::session::Told;
use super::verdict::{Claim, Reading};

/// The result of one agent session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionResult {
    /// How it ended.
    pub end: SessionEnd,
    /// Set if it failed because of something else than the agent's own ending: one of our limits,
    /// or a setup that cannot work. It explains `end`.
    pub failure: Option<FailureKind>,
    /// The agent's or the driver's last message about it; may be empty.
    pub detail: String,
    /// When the provider's limit ends, if known.
    pub limited_until: Option<Timestamp>,
    /// What it used.
    pub usage: Usage,
    /// The contents of the agent's verdict file.
    pub verdict: Reading,
    /// What was seen of its work.
    pub seen: Seen,
}

/// What a session showed of its agent's work, whatever the agent says about its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The session came to be.
    pub started: bool,
    /// Tool calls that have ended. A plain command tells of none.
    pub steps: u32,
    /// The agent has said something.
    pub said: bool,
    /// A tool call was under way at the end: it was the agent's turn, not its provider's.
    pub busy: bool,
    /// It has finished a step, written a verdict, or changed a file.
    pub worked: bool,
}

/// A commit, ready to be the head of the branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebasedCommit {
    /// The commit that it is based on.
    pub onto: CommitId,
    /// The commit; the same as `onto` if nothing changed.
    pub commit: CommitId,
    /// Object id of its tree.
    pub tree: CommitId,
    /// Files changed against `onto`, at most `MergeStarted::TOUCHED_MAX`.
    pub touched: Vec<String>,
    /// Number of all changed files.
    pub touched_total: u32,
}

impl SessionResult {
    /// Makes the end a trouble of the provider where it says nothing about the features: there was
    /// no answer, an answer was cut off, or the agent ended before it had done anything.
    pub fn blame_provider(&mut self) {
        let seen = self.seen;
        let (blamed, words) = match (self.failure, self.end) {
            // A plain command tells of no steps: what has changed a file has worked, and hangs by
            // itself.
            (Some(FailureKind::IdleLimit), _) => (
                !seen.busy && (seen.steps > 0 || !seen.worked),
                "the provider gave the agent no answer",
            ),
            (None, SessionEnd::NoTerminalEvent) => (true, "the provider's answer was cut off"),
            (None, SessionEnd::Crashed) => {
                (!seen.worked, "the agent failed before it had done anything")
            }
            _ => (false, ""),
        };
        if blamed {
            self.failure = Some(FailureKind::Trouble(TroubleKind::Provider));
            self.detail = with_detail(words, self.detail.trim());
        }
    }

    /// Takes over what a plain command told about its session. A limit explains however it ended,
    /// unless one of our own limits ended it.
    pub fn believe(&mut self, told: Told, words: impl Fn(&str) -> String) {
        if self.usage.is_zero() {
            self.usage = told.usage;
        }
        let ended = matches!(self.end, SessionEnd::Completed | SessionEnd::Crashed);
        let Some(limited) = told.limited.filter(|_| ended && self.failure.is_none()) else {
            return;
        };
        self.end = SessionEnd::Limited;
        self.limited_until = limited.until;
        self.detail = words(&limited.reason);
    }

    /// Whether the agent ended its turn without a word or a deed.
    fn is_empty_turn(&self) -> bool {
        self.end == SessionEnd::Completed && self.failure.is_none() && !self.seen.said
    }

    /// Why the session is a failure, unless the agent ended it normally.
    pub fn failure(&self) -> Option<Failure> {
        let detail = self.detail.trim();
        if let Some(kind) = self.failure {
            let words = match detail {
                "" => "the session was ended by one of its limits",
                detail => detail,
            };
            return Some(Failure::new(kind, words));
        }
        let (kind, words) = match self.end {
            SessionEnd::Completed => return None,
            SessionEnd::Limited => (
                FailureKind::ProviderLimited,
                "the provider limits the use of the model",
            ),
            SessionEnd::Overloaded => (
                FailureKind::ProviderLimited,
                "the provider is overloaded or failing",
            ),
            SessionEnd::AuthFailed => (
                FailureKind::ProviderRefused,
                "the provider refused the agent's credentials",
            ),
            SessionEnd::QuotaExhausted => (
                FailureKind::QuotaExhausted,
                "the provider's account has no credit left",
            ),
            SessionEnd::ContextOverflow => (
                FailureKind::ContextOverflow,
                "the conversation exceeded the model's context window",
            ),
            SessionEnd::TurnOrBudgetCap => (
                FailureKind::TurnOrBudgetCap,
                "the agent reached its own turn or budget cap",
            ),
            // We did not ask for it, or the attempt would be over for that reason.
            SessionEnd::Cancelled => (
                FailureKind::AgentGaveUp,
                "the agent ended its turn as cancelled",
            ),
            SessionEnd::Crashed => (FailureKind::AgentCrashed, "the agent failed"),
            SessionEnd::NoTerminalEvent => (
                FailureKind::NoTerminalEvent,
                "the agent's stream ended without its final event",
            ),
            SessionEnd::Refused => (FailureKind::Refused, "the model refused the task"),
        };
        Some(Failure::new(kind, with_detail(words, detail)))
    }
}

fn with_detail(words: &str, detail: &str) -> String {
    match detail {
        "" => words.to_owned(),
        detail => format!("{words}: {detail}"),
    }
}

/// Questions are read by people in a terminal; a longer one is cut.
const QUESTION_BYTES_MAX: usize = 8_000;

/// Evaluates a coding session: `None` if the work should be checked, else the report.
pub fn after_coding_session(features: &[JobFeature], session: &SessionResult) -> Option<Report> {
    if let Some(failure) = session.failure() {
        return Some(fail_all(features, &failure, session.limited_until));
    }
    let claims = &session.verdict.claims;
    let mut failures: Vec<_> = claims
        .iter()
        .filter_map(|(feature, claim)| match claim {
            Claim::Fail(reason) => {
                let failure = Failure::new(FailureKind::AgentGaveUp, reason.clone());
                Some((*feature, failure))
            }
            Claim::Pass | Claim::Input(_) => None,
        })
        .collect();
    failures.extend(wordless(features, &session.verdict));
    if !failures.is_empty() {
        return Some(Report::Failed {
            failures,
            limited_until: None,
        });
    }
    claims.iter().find_map(|(feature, claim)| match claim {
        Claim::Input(question) => Some(Report::InputNeeded {
            feature: *feature,
            question: clip(question, QUESTION_BYTES_MAX).to_owned(),
        }),
        Claim::Pass | Claim::Fail(_) => None,
    })
}

/// Features without checks pass on the agent's verdict. An unreadable verdict is none; if there are
/// checks, they decide.
fn wordless(features: &[JobFeature], verdict: &Reading) -> Vec<(FeatureId, Failure)> {
    let Some(note) = &verdict.note else {
        return Vec::new();
    };
    let said = |id: FeatureId| verdict.claims.iter().any(|(other, _)| *other == id);
    let without = features
        .iter()
        .filter(|feature| feature.spec.checks.is_empty() && !said(feature.id));
    without
        .map(|feature| {
            let reason = format!(
                "{note}. {} has no checks to decide instead; write the verdict as JSON, for example {{\"feature\": {}, \"verdict\": \"pass\"}}",
                feature.id, feature.id.0
            );
            (feature.id, Failure::new(FailureKind::AgentGaveUp, reason))
        })
        .collect()
}

/// The same failure for every feature of a coding job.
pub fn fail_all(
    features: &[JobFeature],
    failure: &Failure,
    limited_until: Option<Timestamp>,
) -> Report {
    Report::Failed {
        failures: features
            .iter()
            .map(|feature| (feature.id, failure.clone()))
            .collect(),
        limited_until,
    }
}

/// The report of an agent that has said and done nothing at all, unless its checks prove the work: a
/// provider that answers nothing looks like this, and the features have not been tried.
pub fn empty_turn(report: Report, session: &SessionResult) -> Report {
    let unproven = match &report {
        Report::Failed { failures, .. } => {
            let checks = |(_, it): &(FeatureId, Failure)| it.kind == FailureKind::CheckFailed;
            failures.iter().all(checks)
        }
        Report::Mergeable(work) => {
            let word = |(_, evidence): &(FeatureId, Evidence)| evidence.basis == Basis::AgentWord;
            work.evidence.iter().any(word)
        }
        _ => false,
    };
    if !unproven || !session.is_empty_turn() || session.seen.worked {
        return report;
    }
    Report::Troubled(Trouble {
        kind: TroubleKind::Provider,
        stage: Stage::Session,
        reason: "the agent ended its turn without saying or doing anything".to_owned(),
    })
}

/// What the checks of a coding job say of the commit that they ran on. `note` is what else people
/// and the next attempt should know: that the agent's verdict could not be read.
pub fn after_checks(
    features: &[JobFeature],
    rebased: &RebasedCommit,
    checks: &[FeatureChecks],
    note: Option<&str>,
) -> Report {
    let noted = |failure: Failure| match note {
        Some(note) => failure.with_more(note),
        None => failure,
    };
    let failures: Vec<_> = checks
        .iter()
        .filter_map(|one| Some((one.feature, noted(one.failure()?))))
        .collect();
    if !failures.is_empty() {
        return Report::Failed {
            failures,
            limited_until: None,
        };
    }
    // A feature with checks of which none ran would pass without proof. That would be our own
    // mistake, and it must still not merge.
    if let Some(feature) = features.iter().find(|feature| {
        !feature.spec.checks.is_empty()
            && runs_of(checks, feature.id).len() != feature.spec.checks.len()
    }) {
        let reason = format!("not every check of {} was run", feature.id);
        let failure = Failure::new(FailureKind::Setup, reason);
        return fail_all(features, &failure, None);
    }
    let evidence = features
        .iter()
        .map(|feature| (feature.id, evidence(feature, rebased, checks)))
        .collect();
    Report::Mergeable(Mergeable {
        onto: rebased.onto.clone(),
        commit: rebased.commit.clone(),
        touched: rebased.touched.clone(),
        touched_total: rebased.touched_total,
        evidence,
        notes: note
            .map(|note| format!("{note}. The checks decided"))
            .into_iter()
            .collect(),
    })
}

fn runs_of(checks: &[FeatureChecks], feature: FeatureId) -> &[CheckRun] {
    checks
        .iter()
        .find(|one| one.feature == feature)
        .map_or(&[], |one| &one.runs)
}

fn evidence(feature: &JobFeature, rebased: &RebasedCommit, checks: &[FeatureChecks]) -> Evidence {
    Evidence {
        basis: match feature.spec.checks.as_slice() {
            [] => Basis::AgentWord,
            _ => Basis::Checks,
        },
        commit: rebased.commit.clone(),
        tree: rebased.tree.clone(),
        checks: runs_of(checks, feature.id).to_vec(),
    }
}

/// The report of an attempt that got to `stage`. If the machine is to blame, it says nothing about
/// the features.
pub fn excused(report: Report, stage: Stage) -> Report {
    let failures: Vec<&Failure> = match &report {
        Report::Failed { failures, .. } => failures.iter().map(|(_, it)| it).collect(),
        Report::Tested { verdicts, .. } => {
            let inconclusive = verdicts.iter().filter_map(|(_, verdict)| match verdict {
                TestVerdict::Inconclusive(failure) => Some(failure),
                TestVerdict::Passed(_) | TestVerdict::Broken(_) => None,
            });
            inconclusive.collect()
        }
        _ => Vec::new(),
    };
    let mut troubles = failures.into_iter().filter_map(|it| Trouble::of(it, stage));
    match troubles.next() {
        Some(trouble) => Report::Troubled(trouble),
        None => report,
    }
}

/// What a report is worth when this run is ending: whatever ends the run may have reached the agent,
/// its checks or git as well, so that a failure says nothing about the feature and costs it no try.
/// What a provider said stands, and so does a question.
pub fn while_ending(report: Report, why: &EndReason) -> Report {
    match report {
        Report::Failed { failures, .. } if !failures.iter().any(|(_, it)| is_providers(it)) => {
            let reason = failures.first().map(|(_, failure)| failure.reason.trim());
            Report::Released {
                detail: reason.unwrap_or_default().to_owned(),
                reason: why.clone(),
            }
        }
        Report::Tested {
            mut verdicts,
            limited_until,
        } => {
            verdicts.retain(|(_, verdict)| match verdict {
                TestVerdict::Passed(_) => true,
                TestVerdict::Inconclusive(failure) => is_providers(failure),
                TestVerdict::Broken(_) => false,
            });
            match verdicts.is_empty() {
                true => Report::released(why.clone()),
                false => Report::Tested {
                    verdicts,
                    limited_until,
                },
            }
        }
        Report::Troubled(trouble) if trouble.kind == TroubleKind::Provider => Report::Released {
            reason: why.clone(),
            detail: trouble.reason.trim().to_owned(),
        },
        other => other,
    }
}

/// Whether a signal to every process, including this one, would look like this: a program that
/// failed. Our own limits, a provider's answer and a conflict have other causes.
pub fn may_be_a_signal(report: &Report) -> bool {
    let programs = |failure: &Failure| {
        matches!(
            failure.kind,
            FailureKind::AgentCrashed
                | FailureKind::NoTerminalEvent
                | FailureKind::AgentGaveUp
                | FailureKind::CheckFailed
                | FailureKind::HookFailed
                | FailureKind::Setup
        )
    };
    match report {
        Report::Failed { failures, .. } => failures.iter().any(|(_, it)| programs(it)),
        Report::Tested { verdicts, .. } => verdicts.iter().any(|(_, verdict)| match verdict {
            TestVerdict::Passed(_) => false,
            TestVerdict::Broken(failure) | TestVerdict::Inconclusive(failure) => programs(failure),
        }),
        Report::Troubled(trouble) => trouble.kind == TroubleKind::Provider,
        _ => false,
    }
}

fn is_providers(failure: &Failure) -> bool {
    failure.kind.is_refusal()
}

/// True if an agent's session takes part in the test of this feature.
pub fn needs_agent(feature: &JobFeature, test_with_agent: bool, checks: &[FeatureChecks]) -> bool {
    let broken = checks
        .iter()
        .any(|one| one.feature == feature.id && one.failure().is_some());
    (feature.spec.checks.is_empty() || test_with_agent) && !broken
}

/// The report of a testing job. `trouble` is what kept it from the end, if anything: features
/// without a verdict until then are inconclusive for that reason.
pub fn tested(
    features: &[JobFeature],
    test_with_agent: bool,
    rebased: &RebasedCommit,
    checks: &[FeatureChecks],
    session: Option<&SessionResult>,
    trouble: Option<&Failure>,
) -> Report {
    let verdicts = features
        .iter()
        .map(|feature| {
            let verdict = test_verdict(feature, test_with_agent, rebased, checks, session, trouble);
            (feature.id, verdict)
        })
        .collect();
    Report::Tested {
        verdicts,
        limited_until: session.and_then(|session| session.limited_until),
    }
}

fn test_verdict(
    feature: &JobFeature,
    test_with_agent: bool,
    rebased: &RebasedCommit,
    checks: &[FeatureChecks],
    session: Option<&SessionResult>,
    trouble: Option<&Failure>,
) -> TestVerdict {
    let checked = checks.iter().find(|one| one.feature == feature.id);
    if let Some(failure) = checked.and_then(FeatureChecks::failure) {
        return match failure.kind {
            FailureKind::CheckFailed => TestVerdict::Broken(failure),
            _ => TestVerdict::Inconclusive(failure),
        };
    }
    let untested = |reason: &str| {
        let failure = Failure::new(FailureKind::Setup, reason);
        TestVerdict::Inconclusive(trouble.cloned().unwrap_or(failure))
    };
    if runs_of(checks, feature.id).len() != feature.spec.checks.len() {
        return untested("its checks were not run");
    }
    if !needs_agent(feature, test_with_agent, checks) {
        return TestVerdict::Passed(evidence(feature, rebased, checks));
    }
    let Some(session) = session else {
        return untested("no agent tested it");
    };
    if let Some(failure) = session.failure() {
        return TestVerdict::Inconclusive(failure);
    }
    let gave_up =
        |reason: String| TestVerdict::Inconclusive(Failure::new(FailureKind::AgentGaveUp, reason));
    let verdict = &session.verdict;
    match verdict.claims.iter().find(|(id, _)| *id == feature.id) {
        Some((_, Claim::Pass)) => TestVerdict::Passed(evidence(feature, rebased, checks)),
        Some((_, Claim::Fail(reason))) => {
            TestVerdict::Broken(Failure::new(FailureKind::CheckFailed, reason.clone()))
        }
        Some((_, Claim::Input(question))) => gave_up(format!("the agent asks: {question}")),
        None if verdict.note.is_some() => gave_up(verdict.note.clone().unwrap_or_default()),
        None => gave_up("the testing agent wrote no verdict to $CREWLOG_VERDICT".to_owned()),
    }
}

#[cfg(test)]
mod tests;
