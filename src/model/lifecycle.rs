//! The life of a feature and of an attempt: which events move them from which status to which.
//!
//! [`apply`](super::apply) folds anything that a log contains; these tables define what a log may
//! contain. The charts in ARCHITECTURE.md are drawn from them, `scheduler verify` names what they
//! forbid, and the simulation fails on an event that breaks them.

use std::fmt;

use super::event::{Event, Recorded};
use super::feature::Status;
use super::ids::{AttemptId, FeatureId};
use super::settings::WorkerKind;
use super::state::State;

/// What an event does to a feature's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transition {
    /// A coding attempt started (`AttemptStarted`).
    Start,
    /// The feature's coding attempt ends without proof: `FeatureFailed`, `AttemptReleased`,
    /// `AttemptLost`.
    End,
    /// A feature passed (`FeaturePassed`).
    Pass,
    /// It no longer passes (`RegressionFound`, `WorkLost`).
    Break,
    /// Its tries are used up (`FeatureParked`).
    Park,
    /// Its agent asked a question (`InputRequested`).
    Ask,
    /// A person answered (`InputAnswered`).
    Answer,
    /// A person retries it (`RetryRequested`).
    Retry,
    /// A person skipped it (`FeatureSkipped`).
    Skip,
    /// A person removed it (`FeatureRemoved`).
    Remove,
}

impl Transition {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::End,
        Self::Pass,
        Self::Break,
        Self::Park,
        Self::Ask,
        Self::Answer,
        Self::Retry,
        Self::Skip,
        Self::Remove,
    ];

    /// The events that do it, as a chart names them.
    pub fn events(self) -> &'static str {
        match self {
            Self::Start => "AttemptStarted",
            Self::End => "FeatureFailed, AttemptReleased, AttemptLost",
            Self::Pass => "FeaturePassed",
            Self::Break => "RegressionFound, WorkLost",
            Self::Park => "FeatureParked",
            Self::Ask => "InputRequested",
            Self::Answer => "InputAnswered",
            Self::Retry => "RetryRequested",
            Self::Skip => "FeatureSkipped",
            Self::Remove => "FeatureRemoved",
        }
    }
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Passing,
        Self::Regressed,
        Self::NeedsInput,
        Self::Skipped,
        Self::Parked,
        Self::Removed,
    ];

    /// The status after a transition, or `None` if it is forbidden. `rest` is the status of the
    /// feature while nobody works on it: `Regressed` after it has passed once and broke, `Pending`
    /// before.
    pub fn after(self, transition: Transition, rest: Self) -> Option<Self> {
        use Status::{NeedsInput, Parked, Passing, Pending, Regressed, Removed, Running, Skipped};
        match (transition, self) {
            (_, Removed) => None,
            (Transition::Start, Pending | Regressed) => Some(Running),
            (Transition::Start, Running | Passing | NeedsInput | Skipped | Parked) => None,
            (Transition::End, Running) => Some(rest),
            // The attempt was cancelled when a person decided otherwise, and ends later.
            (Transition::End, NeedsInput | Skipped | Parked | Pending | Regressed) => Some(self),
            (Transition::End, Passing) => None,
            (Transition::Pass, Running) => Some(Passing),
            (Transition::Pass, Pending | Regressed | Passing | NeedsInput | Skipped | Parked) => {
                None
            }
            (Transition::Break, Passing) => Some(Regressed),
            (Transition::Break, Pending | Running | Regressed | NeedsInput | Skipped | Parked) => {
                None
            }
            // The attempt has ended in the event before.
            (Transition::Park, Pending | Regressed) => Some(Parked),
            (Transition::Park, Running | Passing | NeedsInput | Skipped | Parked) => None,
            (Transition::Ask, Running) => Some(NeedsInput),
            (Transition::Ask, Pending | Regressed | Passing | NeedsInput | Skipped | Parked) => {
                None
            }
            (Transition::Answer, NeedsInput) => Some(rest),
            (Transition::Answer, Pending | Running | Regressed | Passing | Skipped | Parked) => {
                None
            }
            (Transition::Retry, Parked | Skipped) => Some(rest),
            // Its failures are forgiven before they are too many.
            (Transition::Retry, Pending | Regressed | Passing) => Some(self),
            (Transition::Retry, Running | NeedsInput) => None,
            (Transition::Skip, Pending | Running | Regressed | NeedsInput | Parked) => {
                Some(Skipped)
            }
            (Transition::Skip, Passing | Skipped) => None,
            (
                Transition::Remove,
                Pending | Running | Regressed | Passing | NeedsInput | Skipped | Parked,
            ) => Some(Removed),
        }
    }
}

/// Something that the rules never cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlawful {
    /// The status of the feature forbids the event.
    Feature {
        /// Number of the feature.
        feature: FeatureId,
        /// Its status before the event; `None` if the log has no such feature.
        status: Option<Status>,
    },
    /// The phase of the attempt forbids the event.
    Attempt {
        /// Number of the attempt.
        attempt: AttemptId,
        /// The attempt's phase before the event.
        phase: Phase,
    },
}

impl fmt::Display for Unlawful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature { feature, status } => match status {
                Some(status) => write!(f, "feature {feature} is {}", status.as_str()),
                None => write!(f, "the log has no feature {feature}"),
            },
            Self::Attempt { attempt, phase } => write!(f, "attempt {attempt} is {phase}"),
        }
    }
}

/// The phase of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A job was chosen for a worker; the attempt at it starts with the next event.
    Assigned,
    /// A worker holds it.
    Open,
    /// Its commit is being merged.
    Merging,
    /// It has ended, or never existed.
    Over,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Assigned => "assigned",
            Self::Open => "open",
            Self::Merging => "merging",
            Self::Over => "over",
        })
    }
}

/// What an event does to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The attempt started (`AttemptStarted`).
    Start,
    /// A person's command cancelled it (`JobCancelled`).
    CallOff,
    /// Its merge began (`MergeStarted`).
    Merge,
    /// Its merge did not happen (`MergeAborted`).
    Abort,
    /// The outcome for one feature: `FeaturePassed`, `FeatureFailed`, `InputRequested`,
    /// `TestPassed`, `TestInconclusive`, `RegressionFound`. The last one ends the attempt.
    Conclude,
    /// It ended without an outcome (`AttemptReleased`, `AttemptLost`).
    End,
    /// Its report came too late (`LateResultIgnored`).
    Ignore,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Start,
        Self::CallOff,
        Self::Merge,
        Self::Abort,
        Self::Conclude,
        Self::End,
        Self::Ignore,
    ];

    /// The events that do it, as a chart names them.
    pub fn events(self) -> &'static str {
        match self {
            Self::Start => "AttemptStarted",
            Self::CallOff => "JobCancelled",
            Self::Merge => "MergeStarted",
            Self::Abort => "MergeAborted",
            Self::Conclude => "the outcome of a feature",
            Self::End => "AttemptReleased, AttemptLost",
            Self::Ignore => "LateResultIgnored",
        }
    }
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Assigned, Self::Open, Self::Merging, Self::Over];

    /// The phase after a step, or `None` if it is forbidden. `last` is true if no feature of the
    /// attempt is left without an outcome afterwards.
    pub fn after(self, step: Step, last: bool) -> Option<Self> {
        match (step, self) {
            (Step::Start, Self::Assigned) => Some(Self::Open),
            (Step::Start, Self::Open | Self::Merging | Self::Over) => None,
            (Step::CallOff, Self::Open | Self::Merging) => Some(self),
            (Step::CallOff, Self::Assigned | Self::Over) => None,
            (Step::Merge, Self::Open) => Some(Self::Merging),
            (Step::Merge, Self::Assigned | Self::Merging | Self::Over) => None,
            (Step::Abort, Self::Merging) => Some(Self::Open),
            (Step::Abort, Self::Assigned | Self::Open | Self::Over) => None,
            (Step::Conclude, Self::Open | Self::Merging) if last => Some(Self::Over),
            (Step::Conclude, Self::Open | Self::Merging) => Some(self),
            (Step::Conclude, Self::Assigned | Self::Over) => None,
            (Step::End, Self::Open) => Some(Self::Over),
            (Step::End, Self::Assigned | Self::Merging | Self::Over) => None,
            (Step::Ignore, Self::Over) => Some(Self::Over),
            (Step::Ignore, Self::Assigned | Self::Open | Self::Merging) => None,
        }
    }
}

/// What one event does to features and to an attempt.
struct Effects {
    features: Vec<(FeatureId, Transition)>,
    attempt: Option<(AttemptId, Step)>,
}

fn effects(state: &State, recorded: &Recorded) -> Effects {
    use Transition::{Answer, Ask, Break, End, Park, Pass, Remove, Retry, Skip, Start};
    let feature = |id: &FeatureId, transition| (vec![(*id, transition)], None);
    let outcome = |id: &FeatureId, transition, attempt: &AttemptId| {
        (vec![(*id, transition)], Some((*attempt, Step::Conclude)))
    };
    let attempt = |id: &AttemptId, step| (Vec::new(), Some((*id, step)));
    let (features, attempt) = match &recorded.event {
        Event::AttemptStarted(_) => {
            let id = AttemptId(recorded.sequence.0);
            let job = state.unstarted.as_ref();
            let job = job.filter(|job| job.kind == WorkerKind::Coding);
            let features = job.map_or(&[][..], |job| &job.features);
            let started = features.iter().map(|&id| (id, Start)).collect();
            (started, Some((id, Step::Start)))
        }
        Event::AttemptReleased(it) => (
            coded_by(state, it.attempt, End),
            Some((it.attempt, Step::End)),
        ),
        Event::AttemptLost(it) => (
            coded_by(state, it.attempt, End),
            Some((it.attempt, Step::End)),
        ),
        Event::FeaturePassed(it) => outcome(&it.feature, Pass, &it.attempt),
        Event::FeatureFailed(it) => outcome(&it.feature, End, &it.attempt),
        Event::InputRequested(it) => outcome(&it.feature, Ask, &it.attempt),
        Event::RegressionFound(it) => outcome(&it.feature, Break, &it.attempt),
        Event::TestPassed(it) => attempt(&it.attempt, Step::Conclude),
        Event::TestInconclusive(it) => attempt(&it.attempt, Step::Conclude),
        Event::MergeStarted(it) => attempt(&it.attempt, Step::Merge),
        Event::MergeAborted(it) => attempt(&it.attempt, Step::Abort),
        Event::JobCancelled(it) => attempt(&it.attempt, Step::CallOff),
        Event::LateResultIgnored(it) => attempt(&it.attempt, Step::Ignore),
        Event::WorkLost(it) => feature(&it.feature, Break),
        Event::FeatureParked(it) => feature(&it.feature, Park),
        Event::InputAnswered(it) => feature(&it.feature, Answer),
        Event::RetryRequested(it) => feature(&it.feature, Retry),
        Event::FeatureSkipped(it) => feature(&it.feature, Skip),
        Event::FeatureRemoved(it) => feature(&it.feature, Remove),
        Event::FeatureAdded(_)
        | Event::FeatureEdited(_)
        | Event::DependenciesSet(_)
        | Event::FeatureAssigned(_)
        | Event::TestAssigned(_)
        | Event::UsageRecorded(_)
        | Event::WorkerJoined(_)
        | Event::WorkerLeft(_)
        | Event::HeadMoved(_)
        | Event::RunStarted(_)
        | Event::RunPaused(_)
        | Event::RunResumed(_)
        | Event::RunFinished(_)
        | Event::ProviderLimited(_)
        | Event::BudgetReached(_)
        | Event::SettingsChanged(_)
        | Event::CrewTroubled(_)
        | Event::CrewRecovered(_)
        | Event::ProfileRecovered(_)
        | Event::ProfilesSet(_)
        | Event::ClockJumped(_)
        | Event::ConfigRecorded(_)
        | Event::BranchMoved(_)
        | Event::MergesHeld(_)
        | Event::CommandRefused(_)
        | Event::AttemptNoted(_) => (Vec::new(), None),
    };
    Effects { features, attempt }
}

/// The features that a coding attempt has no outcome for yet, each with this transition.
fn coded_by(
    state: &State,
    attempt: AttemptId,
    transition: Transition,
) -> Vec<(FeatureId, Transition)> {
    let open = state.attempts.get(&attempt);
    let coding = open.filter(|open| open.job.kind == WorkerKind::Coding);
    let remaining = coding.map_or(&[][..], |open| &open.remaining);
    remaining.iter().map(|&id| (id, transition)).collect()
}

/// The phase of an attempt.
fn phase_of(state: &State, attempt: AttemptId, step: Step) -> Phase {
    let merging = state.merge.as_ref().map(|merge| merge.attempt);
    match state.attempts.contains_key(&attempt) {
        true if merging == Some(attempt) => Phase::Merging,
        true => Phase::Open,
        false if step == Step::Start && state.unstarted.is_some() => Phase::Assigned,
        false => Phase::Over,
    }
}

/// The statuses after an event, in the state before it.
///
/// # Errors
/// Why the event is forbidden.
pub fn check(state: &State, recorded: &Recorded) -> Result<Vec<(FeatureId, Status)>, Unlawful> {
    let effects = effects(state, recorded);
    if let Some((attempt, step)) = effects.attempt {
        let phase = phase_of(state, attempt, step);
        if phase.after(step, false).is_none() {
            return Err(Unlawful::Attempt { attempt, phase });
        }
    }
    let after = |(id, transition): (FeatureId, Transition)| {
        // A removed feature, too.
        let feature = state.slot(id).and_then(|slot| state.in_slot(slot));
        let status = feature.map(|feature| feature.status);
        // What a cancelled attempt reports about a removed feature changes nothing.
        if status == Some(Status::Removed) && transition == Transition::End {
            return Ok((id, Status::Removed));
        }
        let after = feature.and_then(|it| it.status.after(transition, it.rest()));
        let after = after.ok_or(Unlawful::Feature {
            feature: id,
            status,
        })?;
        Ok((id, after))
    };
    effects.features.into_iter().map(after).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Debug;

    use super::*;

    const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

    /// Edges with the same ends as one line, sorted by status; those that change nothing are left
    /// out.
    fn lines<S: Copy + Debug + Ord>(edges: &[(S, S, &str)]) -> String {
        let mut joined: BTreeMap<(S, S), BTreeSet<&str>> = BTreeMap::new();
        for &(from, to, events) in edges {
            if from != to {
                joined.entry((from, to)).or_default().insert(events);
            }
        }
        let mut text = String::new();
        for ((from, to), events) in joined {
            let events: Vec<&str> = events.into_iter().collect();
            text += &format!("    {from:?} --> {to:?}: {}\n", events.join(", "));
        }
        text
    }

    fn must_be_drawn(chart: &str) {
        let drawn = ARCHITECTURE.contains(chart);
        assert!(drawn, "ARCHITECTURE.md needs this chart:\n{chart}");
    }

    #[test]
    fn the_chart_of_a_feature_is_the_table() {
        let mut edges = Vec::new();
        for from in Status::ALL {
            for transition in Transition::ALL {
                for rest in [Status::Pending, Status::Regressed] {
                    let to = from.after(transition, rest);
                    edges.extend(to.map(|to| (from, to, transition.events())));
                }
            }
        }
        // Anything in the backlog may be removed from it: one arrow instead of seven.
        let removals = edges.extract_if(.., |(_, to, _)| *to == Status::Removed);
        let removed: BTreeSet<Status> = removals.map(|(from, ..)| from).collect();
        assert_eq!(removed.len(), Status::ALL.len() - 1);
        let lines = lines(&edges).replace("\n    ", "\n        ");
        must_be_drawn(&format!(
            "```mermaid\nstateDiagram-v2\n    state Backlog {{\n        [*] --> Pending\n    {}    }}\n    \
             Backlog --> Removed: FeatureRemoved\n```\n",
            lines
        ));
    }

    #[test]
    fn the_chart_of_an_attempt_is_the_table() {
        let mut edges = Vec::new();
        for from in Phase::ALL {
            for step in Step::ALL {
                for last in [false, true] {
                    let to = from.after(step, last);
                    edges.extend(to.map(|to| (from, to, step.events())));
                }
            }
        }
        must_be_drawn(&format!(
            "```mermaid\nstateDiagram-v2\n    [*] --> Assigned\n{}```\n",
            lines(&edges)
        ));
    }
}
