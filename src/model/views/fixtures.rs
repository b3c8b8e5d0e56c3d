//! Events for tests of the views.

use crate::model::actor::Actor;
use crate::model::apply::apply;
use crate::model::event::*;
use crate::model::evidence::{Basis, Evidence, Failure, FailureKind};
use crate::model::feature::FeatureSpec;
use crate::model::ids::*;
use crate::model::settings::WorkerKind;
use crate::model::state::State;

pub fn added(number: u32, name: &str, depends_on: &[u32]) -> Event {
    let spec = FeatureSpec {
        name: name.to_owned(),
        depends_on: depends_on.iter().copied().map(FeatureId).collect(),
        ..FeatureSpec::default()
    };
    FeatureAdded {
        feature: FeatureId(number),
        spec,
    }
    .into()
}

pub fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().expect("digits")
}

pub fn evidence(basis: Basis) -> Evidence {
    Evidence {
        basis,
        commit: commit('c'),
        tree: commit('d'),
        checks: Vec::new(),
    }
}

pub fn joined(kind: WorkerKind, name: &str) -> Event {
    let process = ProcessIdentity {
        host: "box".to_owned(),
        pid: 7,
        ..ProcessIdentity::default()
    };
    WorkerJoined {
        kind,
        name: name.to_owned(),
        process,
    }
    .into()
}

pub fn assigned(worker: u64, features: &[u32], attempt_number: u32) -> Event {
    let terms = RankTerms {
        chain_ms: 60_000,
        unblocks: 2,
        ..RankTerms::default()
    };
    FeatureAssigned {
        worker: WorkerId(worker),
        features: features.iter().copied().map(FeatureId).collect(),
        attempt_number,
        base: commit('a'),
        terms,
        runners_up: vec![(
            FeatureId(9),
            RankTerms {
                priority: -1,
                ..terms
            },
        )],
        ready: 4,
    }
    .into()
}

pub fn started(job: u64, worker: u64) -> Event {
    AttemptStarted {
        job: JobId(job),
        worker: WorkerId(worker),
        profile: None,
    }
    .into()
}

pub fn passed(feature: u32, attempt: u64, basis: Basis) -> Event {
    let attempt = AttemptId(attempt);
    FeaturePassed {
        feature: FeatureId(feature),
        attempt,
        evidence: evidence(basis),
    }
    .into()
}

pub fn failed(feature: u32, attempt: u64, reason: &str) -> Event {
    FeatureFailed {
        feature: FeatureId(feature),
        attempt: AttemptId(attempt),
        failure: Failure::new(FailureKind::CheckFailed, reason),
        not_before: Timestamp(0),
    }
    .into()
}

/// A growing log with its state; each event is a second later than the one before.
#[derive(Default)]
pub struct Log {
    pub events: Vec<Recorded>,
    pub state: State,
}

impl Log {
    /// Appends an event and folds it.
    pub fn record(&mut self, event: impl Into<Event>) -> Sequence {
        let sequence = self.state.sequence.next();
        let at = Timestamp(sequence.0 * 1_000);
        let (epoch, cause) = (Epoch(1), CommandId(1));
        let event = event.into();
        let recorded = Recorded {
            sequence,
            epoch,
            at,
            cause,
            actor: Actor::Unknown,
            event,
        };
        apply(&mut self.state, &recorded);
        self.state.settle();
        self.events.push(recorded);
        sequence
    }

    /// Lets a worker start an attempt, and returns the attempt.
    pub fn start(&mut self, worker: Sequence, features: &[u32], number: u32) -> u64 {
        let job = self.record(assigned(worker.0, features, number));
        self.record(started(job.0, worker.0)).0
    }
}
