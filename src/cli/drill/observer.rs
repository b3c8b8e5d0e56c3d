//! What a follower of the log received during the drill, which must stay true forever; and from the
//! same events, how long each recovery took.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::targets::{Kind, Target};
use crate::model::event::{Event, Recorded};
use crate::model::ids::{AttemptId, Epoch, Sequence, WorkerId};

/// What shows that a recovery is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// A scheduler of a later epoch records an event.
    Reign(Epoch),
    /// The log says that the worker left, so its work can be assigned again.
    Left(WorkerId),
    /// The attempt has ended.
    Over(AttemptId),
}

/// A recovery in progress.
#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    since: Instant,
    sign: Sign,
}

/// Everything that the follower received.
#[derive(Default)]
pub struct Observer {
    /// The bytes of every event, by its number.
    pub envelopes: BTreeMap<Sequence, Vec<u8>>,
    /// Events that came twice with different bytes.
    pub changed: BTreeSet<Sequence>,
    /// Number of features that were merged.
    pub passed: u32,
    /// Number of attempts that started.
    pub attempts: u32,
    /// True while the follower is connected to a scheduler.
    pub connected: bool,
    epoch: Epoch,
    joined: BTreeMap<u32, WorkerId>,
    running: BTreeSet<AttemptId>,
    open: Vec<Open>,
    recovered: Vec<(Kind, Duration)>,
}

impl Observer {
    /// The next event to ask for.
    pub fn next(&self) -> Sequence {
        let last = self.envelopes.last_key_value();
        last.map_or(Sequence(1), |(last, _)| last.next())
    }

    /// Records the bytes of an event as they were received.
    pub fn told(&mut self, sequence: Sequence, bytes: &[u8]) {
        let before = self.envelopes.insert(sequence, bytes.to_vec());
        if before.is_some_and(|before| before != bytes) {
            self.changed.insert(sequence);
        }
    }

    /// Records what an event means.
    pub fn happened(&mut self, recorded: &Recorded, now: Instant) {
        self.epoch = self.epoch.max(recorded.epoch);
        let attempt_id = AttemptId(recorded.sequence.0);
        match &recorded.event {
            Event::WorkerJoined(event) => {
                let worker = WorkerId(recorded.sequence.0);
                self.joined.insert(event.process.pid, worker);
            }
            Event::AttemptStarted(_) => {
                self.running.insert(attempt_id);
                self.attempts += 1;
            }
            Event::FeaturePassed(_) => self.passed += 1,
            _ => {}
        }
        if let Some(over) = ended(&recorded.event) {
            self.running.remove(&over);
        }
        self.recover(recorded, now);
    }

    fn recover(&mut self, recorded: &Recorded, now: Instant) {
        let shows = |sign: Sign| match (sign, &recorded.event) {
            (Sign::Reign(epoch), _) => recorded.epoch > epoch,
            (Sign::Left(worker), Event::WorkerLeft(event)) => event.worker == worker,
            (Sign::Over(attempt), event) => ended(event) == Some(attempt),
            _ => false,
        };
        let recovered = &mut self.recovered;
        self.open.retain(|open| {
            let done = shows(open.sign);
            if done {
                recovered.push((open.kind, now.duration_since(open.since)));
            }
            !done
        });
    }

    /// Records a kill. A process that the log does not know yet, or whose attempt has ended, leaves
    /// nothing to recover.
    pub fn killed(&mut self, target: &Target, now: Instant) {
        let sign = match target.kind {
            Kind::Scheduler => Some(Sign::Reign(self.epoch)),
            Kind::Worker => self.joined.get(&target.pid).copied().map(Sign::Left),
            Kind::Agent => target
                .attempt
                .filter(|attempt| self.running.contains(attempt))
                .map(Sign::Over),
        };
        self.open.extend(sign.map(|sign| Open {
            kind: target.kind,
            since: now,
            sign,
        }));
    }

    /// Whether a recovery is in progress, so that a kill now hits it.
    pub fn recovering(&self) -> bool {
        !self.open.is_empty()
    }

    /// How long each recovery took, with what was killed.
    pub fn recoveries(&self) -> &[(Kind, Duration)] {
        &self.recovered
    }

    /// Number of kills without a complete recovery.
    pub fn unrecovered(&self) -> usize {
        self.open.len()
    }
}

/// The attempt that an event ends. Each job of a drill has one feature.
fn ended(event: &Event) -> Option<AttemptId> {
    match event {
        Event::AttemptReleased(event) => Some(event.attempt),
        Event::AttemptLost(event) => Some(event.attempt),
        Event::FeaturePassed(event) => Some(event.attempt),
        Event::FeatureFailed(event) => Some(event.attempt),
        Event::RegressionFound(event) => Some(event.attempt),
        Event::TestPassed(event) => Some(event.attempt),
        Event::TestInconclusive(event) => Some(event.attempt),
        Event::InputRequested(event) => Some(event.attempt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{
        AttemptLost, AttemptStarted, ProcessIdentity, WorkerJoined, WorkerLeft,
    };
    use crate::model::ids::{CommandId, JobId, Timestamp};
    use crate::model::settings::WorkerKind;

    fn recorded(sequence: u64, epoch: u64, event: impl Into<Event>) -> Recorded {
        Recorded {
            sequence: Sequence(sequence),
            epoch: Epoch(epoch),
            at: Timestamp(0),
            cause: CommandId(0),
            actor: crate::model::actor::Actor::Scheduler,
            event: event.into(),
        }
    }

    fn joined(pid: u32) -> WorkerJoined {
        WorkerJoined {
            kind: WorkerKind::Coding,
            name: "worker-1".to_owned(),
            process: ProcessIdentity {
                pid,
                ..ProcessIdentity::default()
            },
        }
    }

    fn target(kind: Kind, pid: u32, attempt: Option<u64>) -> Target {
        Target {
            pid,
            kind,
            attempt: attempt.map(AttemptId),
        }
    }

    #[test]
    fn each_kind_of_kill_recovers_by_its_own_sign() {
        let (mut observer, began) = (Observer::default(), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        let started = AttemptStarted {
            job: JobId(1),
            worker: WorkerId(1),
            profile: None,
        };
        observer.happened(&recorded(1, 1, joined(70)), at(0));
        observer.happened(&recorded(2, 1, started), at(0));
        observer.killed(&target(Kind::Worker, 70, None), at(10));
        observer.killed(&target(Kind::Agent, 71, Some(2)), at(10));
        observer.killed(&target(Kind::Scheduler, 72, None), at(10));
        observer.killed(&target(Kind::Worker, 99, None), at(10));
        observer.killed(&target(Kind::Agent, 98, Some(1)), at(10));
        assert_eq!(observer.unrecovered(), 3, "of two nobody had heard");
        let left = WorkerLeft {
            worker: WorkerId(1),
            reason: "".into(),
        };
        observer.happened(&recorded(3, 1, left), at(30));
        let lost = AttemptLost {
            attempt: AttemptId(2),
            reason: "".into(),
        };
        observer.happened(&recorded(4, 2, lost), at(50));
        let ms = |ms| Duration::from_millis(ms);
        let wanted = [
            (Kind::Worker, ms(20)),
            (Kind::Agent, ms(40)),
            (Kind::Scheduler, ms(40)),
        ];
        assert_eq!(observer.recoveries(), wanted);
        assert!(!observer.recovering());
    }

    #[test]
    fn an_event_that_becomes_another_is_noticed() {
        let mut observer = Observer::default();
        observer.told(Sequence(1), b"one");
        observer.told(Sequence(1), b"one");
        assert!(observer.changed.is_empty());
        assert_eq!(observer.next(), Sequence(2));
        observer.told(Sequence(1), b"another");
        assert_eq!(observer.changed.len(), 1);
    }
}
