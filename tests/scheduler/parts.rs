//! What worlds are made of.

use crewlog::model::actor::{Actor, Caller, Kin};
use crewlog::model::event::ProcessIdentity;
use crewlog::model::evidence::{Basis, Evidence, Failure, FailureKind};
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::*;
use crewlog::model::plan::Entropy;
use crewlog::model::report::{Mergeable, Report};
use crewlog::model::settings::Settings;
use crewlog::protocol::SchedulerMessage;

pub fn commit(number: u64) -> CommitId {
    format!("{:040x}", number + 1).parse().expect("hex")
}

/// Draws the same numbers every time.
pub struct Counting(pub u64);

impl Entropy for Counting {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What the kernel says of a worker's process.
pub fn caller(pid: u32) -> Caller {
    let kin = Kin {
        pid,
        start_ticks: process(pid).start_ticks,
        origin: None,
    };
    Caller {
        lineage: vec![kin],
        ..Caller::person(1000, pid, "")
    }
}

pub fn process(pid: u32) -> ProcessIdentity {
    ProcessIdentity {
        host: "box".to_owned(),
        boot_id: "boot".to_owned(),
        pid,
        start_ticks: u64::from(pid) * 10,
    }
}

pub fn spec(name: &str, depends_on: &[u32]) -> FeatureSpec {
    FeatureSpec {
        name: name.to_owned(),
        depends_on: depends_on.iter().copied().map(FeatureId).collect(),
        ..FeatureSpec::default()
    }
}

pub fn features(count: u32) -> Vec<(FeatureId, FeatureSpec)> {
    let one = |number| (FeatureId(number), spec(&format!("feature {number}"), &[]));
    (1..=count).map(one).collect()
}

/// Whoever gives the commands.
pub fn person() -> Actor {
    Actor::person(1000, 4_711, "pts/3")
}

/// An outsider's command id.
pub fn command(number: u64) -> CommandId {
    CommandId((1 << 100) + u128::from(number))
}

pub fn evidence(at: &CommitId) -> Evidence {
    Evidence {
        basis: Basis::AgentWord,
        commit: at.clone(),
        tree: at.clone(),
        checks: Vec::new(),
    }
}

/// Work on these features, from `onto` to `to`.
pub fn mergeable(features: &[FeatureId], onto: &CommitId, to: &CommitId) -> Report {
    Report::Mergeable(Mergeable {
        onto: onto.clone(),
        commit: to.clone(),
        touched: Vec::new(),
        touched_total: 0,
        evidence: features.iter().map(|&id| (id, evidence(to))).collect(),
        notes: Vec::new(),
    })
}

/// The order to rebase that answers this report.
pub fn rebase(command: CommandId, attempt: AttemptId, onto: CommitId) -> SchedulerMessage {
    SchedulerMessage::Rebase {
        command,
        attempt,
        onto,
    }
}

pub fn failed(features: &[FeatureId]) -> Report {
    let failure = Failure::new(FailureKind::CheckFailed, "no");
    Report::Failed {
        failures: features.iter().map(|&id| (id, failure.clone())).collect(),
        limited_until: None,
    }
}

pub fn released() -> Report {
    let reason = "its user wants it back".to_owned();
    Report::released(reason.into())
}

pub fn quiet() -> Settings {
    Settings {
        testing: 0,
        retry_backoff_ms: 0,
        retry_backoff_ms_max: 0,
        ..Settings::default()
    }
}
