//! Results that dead workers had written down: whoever reads them first, they count once.

use crewlog::model::ids::{AttemptId, CommandId, FeatureId};
use crewlog::model::report::{AttemptReport, Report};
use crewlog::model::settings::WorkerKind::Coding;
use crewlog::protocol::{SchedulerMessage, Verdict};
use crewlog::scheduler::machine::{Effect, Input};

use crate::kit::{Hand, World, command, commit, failed, features, mergeable};

/// What happens, in an order that the test chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Another worker reports what it found in the spool.
    Heir,
    /// The scheduler learns that the worker is dead.
    Died,
    /// It has read the spool, and found the result.
    Read,
    /// It has read the spool, and could not.
    ReadNothing,
    /// It is killed, and starts again.
    Restart,
    /// git answers.
    Git,
}

use Step::{Died, Git, Heir, Read, ReadNothing, Restart};

struct Case {
    world: World,
    dead: Hand,
    heir: Option<Hand>,
    attempt: AttemptId,
    feature: FeatureId,
    report: Report,
    command: CommandId,
}

impl Case {
    fn new(report: impl Fn(FeatureId) -> Report) -> Self {
        let mut world = World::of(features(2));
        let dead = world.coder(100);
        let job = world.job(&dead);
        let feature = job.features[0].id;
        world.close(dead.connection);
        Self {
            world,
            dead,
            heir: None,
            attempt: job.attempt,
            feature,
            report: report(feature),
            command: command(70_000),
        }
    }

    fn step(mut self, step: Step) -> Self {
        let worker = self.dead.worker;
        match step {
            Heir => {
                let heir = self.heir.take();
                let heir = heir.unwrap_or_else(|| self.world.worker(Coding, 300));
                let report = self.report.clone();
                self.world
                    .report_as(&heir, self.attempt, report, self.command);
                self.heir = Some(heir);
            }
            Died => self.world.step(Input::Died { worker }),
            Read | ReadNothing => {
                let reap = |effect: &Effect| matches!(effect, Effect::CleanUpAttempt { .. });
                assert!(self.world.has(reap), "nothing is lost before it has looked");
                self.world.effects.retain(|effect| !reap(effect));
                let report = AttemptReport {
                    command: self.command,
                    attempt: self.attempt,
                    report: self.report.clone(),
                    usage: Default::default(),
                    workless: false,
                };
                let report = (step == Read).then(|| Box::new(report));
                self.world.step(Input::CleanedUp { worker, report });
            }
            Restart => {
                self.world = self.world.restart(&commit(0));
                self.heir = None;
            }
            Git => {
                let (attempt, _, to) = self.world.merge_asked().expect("a merge");
                self.world.git_says(attempt, true, &to);
            }
        }
        self
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        let heard = self.heir.as_ref().map(|heir| heir.connection);
        let heard = heard.map(|connection| self.world.heard(connection));
        let verdict = |message: &SchedulerMessage| match message {
            SchedulerMessage::Reported { verdict, .. } => Some(*verdict),
            _ => None,
        };
        heard.iter().flatten().filter_map(verdict).collect()
    }
}

#[test]
fn a_written_result_counts_in_whatever_order_it_is_found() {
    let orders: [&[Step]; 9] = [
        &[Heir, Died, Read, Git],
        &[Died, Heir, Read, Git],
        &[Died, Read, Heir, Git],
        &[Died, Read, Git, Heir],
        &[Heir, Heir, Died, Read, Git],
        &[Heir, Restart, Heir, Died, Read, Git],
        &[Heir, Died, Restart, Died, Heir, Read, Git],
        // The scheduler cannot read it; the other worker could.
        &[Heir, Died, ReadNothing, Git],
        &[Died, Heir, ReadNothing, Git],
    ];
    let work = |feature| mergeable(&[feature], &commit(0), &commit(1));
    let failure = |feature| failed(&[feature]);
    for order in orders {
        let mut case = Case::new(work);
        for &step in order {
            case = case.step(step);
        }
        assert_eq!(case.verdicts(), [Verdict::Passed], "{order:?}");
        let events = case.world.events(0);
        let count = |name| events.iter().filter(|it| **it == name).count();
        assert_eq!(count("FeaturePassed"), 1, "{order:?}: {events:?}");
        assert_eq!(count("AttemptLost"), 0, "{order:?}: {events:?}");
        let feature = case.world.machine.state().feature(case.feature);
        assert_eq!(feature.map(|it| it.lost_streak), Some(0), "{order:?}");

        let mut case = Case::new(failure);
        for &step in order.iter().filter(|step| **step != Git) {
            case = case.step(step);
        }
        assert_eq!(case.verdicts(), [Verdict::Recorded], "{order:?}");
        let events = case.world.events(0);
        assert!(!events.contains(&"AttemptLost"), "{order:?}: {events:?}");
    }
}

#[test]
fn a_worker_that_wrote_nothing_is_lost_and_who_speaks_for_it_later_is_late() {
    let mut case = Case::new(|feature| failed(&[feature]));
    for step in [Died, ReadNothing, Heir] {
        case = case.step(step);
    }
    assert_eq!(case.verdicts(), [Verdict::Late]);
    let events = case.world.events(0);
    assert!(events.contains(&"AttemptLost"), "{events:?}");
    assert!(!events.contains(&"FeatureFailed"), "{events:?}");
}
