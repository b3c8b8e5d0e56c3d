//! What must hold whatever happens, looked at event by event and at the end.

use std::collections::{BTreeMap, BTreeSet};

use crewlog::model::apply::apply;
use crewlog::model::event::{Event, Recorded};
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, CommandId, FeatureId, Sequence};
use crewlog::model::settings::WorkerKind;
use crewlog::model::state::State;
use crewlog::protocol::Verdict;

use crate::git::Git;

/// What the world knows to be true, for comparison.
pub struct Truth<'a> {
    pub git: &'a Git,
    /// Processes that live.
    pub alive: &'a BTreeSet<u32>,
    /// Attempts whose remains were looked for after their worker's death.
    pub reaped: &'a BTreeSet<AttemptId>,
}

/// What was promised.
#[derive(Default)]
pub struct Checks {
    /// The fold of what is on the disk.
    pub state: State,
    accepted: Vec<(CommandId, Sequence, Sequence)>,
    verdicts: BTreeMap<(CommandId, AttemptId), Verdict>,
    finished: bool,
}

impl Checks {
    /// An event is on the disk.
    pub fn committed(&mut self, recorded: &Recorded, truth: &Truth<'_>) {
        let before = &self.state;
        assert_eq!(
            recorded.sequence,
            before.sequence.next(),
            "sequences are dense"
        );
        match &recorded.event {
            Event::AttemptLost(event) => {
                let open = &before.attempts()[&event.attempt];
                let worker = &before.workers()[&open.job.worker];
                let pid = worker.process.pid;
                assert!(!truth.alive.contains(&pid), "lost, and process {pid} lives");
                assert!(
                    truth.reaped.contains(&event.attempt),
                    "lost, and not reaped"
                );
            }
            Event::FeaturePassed(event) => self.passed(event.feature, event.attempt, truth),
            Event::RunFinished(_) => {
                assert!(before.attempts().is_empty(), "finished with open attempts");
                self.finished = true;
            }
            // A scheduler that is started once more begins anew.
            Event::RunStarted(_) => self.finished = false,
            Event::AttemptStarted(_) => assert!(!self.finished, "started after the end"),
            _ => {}
        }
        let started = matches!(recorded.event, Event::AttemptStarted(_));
        apply(&mut self.state, recorded);
        if started {
            self.one_coder_each();
        }
    }

    fn one_coder_each(&self) {
        let mut taken: BTreeMap<FeatureId, AttemptId> = BTreeMap::new();
        let coding = |open: &&crewlog::model::state::Attempt| open.job.kind == WorkerKind::Coding;
        for (&attempt, open) in self
            .state
            .attempts()
            .iter()
            .filter(|(_, open)| coding(open))
        {
            for &feature in &open.remaining {
                let other = taken.insert(feature, attempt);
                assert_eq!(other, None, "two work on {feature}: {attempt} and another");
            }
        }
    }

    /// Only the holder of an attempt makes it pass, and what passes by a merge is on the branch.
    fn passed(&self, feature: FeatureId, attempt: AttemptId, truth: &Truth<'_>) {
        let open = self.state.attempts().get(&attempt);
        let open = open.unwrap_or_else(|| panic!("{feature} passed by {attempt}, which is over"));
        let pid = self.state.workers()[&open.job.worker].process.pid;
        let Some(merge) = self.state.open_merge() else {
            return;
        };
        assert_eq!(merge.attempt, attempt, "another's merge is open");
        assert!(
            truth.git.contains(&merge.commit),
            "{feature} is not on the branch"
        );
        let made = truth.git.made[&merge.commit];
        assert_eq!(
            (made.attempt, made.pid),
            (attempt, pid),
            "it is another's work"
        );
    }

    /// A person's command was answered.
    pub fn accepted(&mut self, id: CommandId, first: Sequence, last: Sequence) {
        assert!(
            last <= self.state.sequence,
            "acknowledged before it was durable"
        );
        if let Some((_, earlier, _)) = self.accepted.iter().find(|(known, _, _)| *known == id) {
            assert_eq!(
                *earlier, first,
                "a repeated command is answered as the first time"
            );
        }
        self.accepted.push((id, first, last));
    }

    /// A report was answered.
    pub fn reported(&mut self, id: CommandId, attempt: AttemptId, verdict: Verdict, at: Sequence) {
        assert!(at <= self.state.sequence, "answered before it was durable");
        let open = self.state.attempts().contains_key(&attempt);
        assert!(!open, "{attempt} was answered with {verdict:?} and is open");
        if verdict != Verdict::Late {
            assert_eq!(self.state.verdict(attempt), Some(verdict), "{attempt}");
        }
        let earlier = self.verdicts.insert((id, attempt), verdict);
        assert!(
            earlier.is_none_or(|it| it == verdict),
            "{attempt}: {earlier:?}, then {verdict:?}"
        );
    }

    /// A job was sent.
    pub fn offered(&self, attempt: AttemptId, at: Sequence) {
        assert!(at <= self.state.sequence, "offered before it was durable");
        // It may have ended since it was decided, but never before it was on the disk.
        assert!(
            attempt.0 <= self.state.sequence.0,
            "{attempt} was offered and is not durable"
        );
    }

    /// The run is over.
    pub fn end(&self, log: &[Recorded], git: &Git) {
        for &(id, first, last) in &self.accepted {
            for sequence in first.0..=last.0 {
                let recorded = &log[sequence as usize - 1];
                assert_eq!(recorded.cause, id, "acknowledged, and gone");
            }
        }
        let mut merged: BTreeMap<AttemptId, u32> = BTreeMap::new();
        for commit in &git.history {
            if let Some(made) = git.made.get(commit) {
                *merged.entry(made.attempt).or_default() += 1;
            }
        }
        for (attempt, times) in &merged {
            assert_eq!(*times, 1, "{attempt} was merged {times} times");
            let passes = |recorded: &&Recorded| matches!(&recorded.event, Event::FeaturePassed(it) if it.attempt == *attempt);
            assert!(
                log.iter().any(|recorded| passes(&recorded)),
                "{attempt} is merged unnoticed"
            );
        }
        for feature in self.state.features() {
            self.end_of(feature.id, feature.status, log);
        }
    }

    fn end_of(&self, id: FeatureId, status: Status, log: &[Recorded]) {
        let count = |wanted: &dyn Fn(&Event) -> bool| {
            log.iter()
                .filter(|recorded| wanted(&recorded.event))
                .count()
        };
        let passed = count(&|event| matches!(event, Event::FeaturePassed(it) if it.feature == id));
        let broken =
            count(&|event| matches!(event, Event::RegressionFound(it) if it.feature == id));
        let still = usize::from(status == Status::Passing);
        assert_eq!(
            passed,
            broken + still,
            "{id}: passes, regressions, and whether it passes"
        );
        assert_ne!(
            status,
            Status::Running,
            "{id} is being worked on after the end"
        );
    }
}
