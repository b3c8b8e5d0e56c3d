//! The steps of an attempt, carried out without git, processes or files: what a worker's executor
//! would bring, from what agents come to and from what is true of the commits.

use super::*;
use crate::model::evidence::{CheckEnd, CheckRun, Failure, FailureKind, SessionEnd};
use crate::model::ids::ContentHash;
use crate::model::profile::ProfileName;
use crate::model::report::{AttemptReport, JobFeature};
use crate::protocol::JobOffer;
use crate::simulation::agent;
use crate::simulation::git::{Change, Made};
use crate::simulation::scenario::Trouble;
use crate::worker::machine::{Activity, Done, Finished, Input as WorkerInput, Step, StepKind};
use crate::worker::outcome::{FeatureChecks, RebasedCommit};

/// A spool file, locked by its owner's life.
pub struct Spool {
    pub owner: Who,
    pub kind: WorkerKind,
    pub result: Option<AttemptReport>,
}

/// The worktree of the attempt at hand.
pub struct AttemptEnv {
    offer: JobOffer,
    change: Change,
    commit: CommitId,
}

/// A step that is under way, and what it will bring.
pub struct Running {
    pub step: Step,
    serial: u64,
    brings: Result<Finished, Failure>,
    /// It never ends, whatever it is told.
    stuck: bool,
}

fn failed(kind: FailureKind, words: &str) -> Failure {
    Failure::new(kind, words)
}

impl World {
    fn trouble(&self) -> Trouble {
        match self.fair() {
            true => Trouble::default(),
            false => self.scenario.trouble,
        }
    }

    pub(super) fn begin_step(&mut self, who: Who, step: Step) {
        let trouble = self.trouble();
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        worker.serial += 1;
        worker.at_hand = Some(step.attempt);
        let serial = worker.serial;
        let mut dice = Dice::new(self.scenario.seed, Stream::Step, who * 10_000 + serial);
        let stuck = dice.percent(trouble.stuck);
        let (ms, brings) = self.carry_step(who, &step, &trouble, &mut dice);
        if stuck {
            self.note(|| format!("worker {who}: a step that never ends"));
        } else {
            self.after(ms, Item::StepDone(who, serial));
            let answers = match &brings {
                Ok(Finished::Session(session)) => session.seen.steps > 0,
                _ => false,
            };
            if answers {
                self.after(ms / 2, Item::Answers(who, serial));
            }
        }
        let running = Running {
            step,
            serial,
            brings,
            stuck,
        };
        if let Some(worker) = self.workers.get_mut(&who) {
            worker.troubled |= stuck;
            worker.running = Some(running);
        }
    }

    /// How long a step takes, and what comes of it.
    fn carry_step(
        &mut self,
        who: Who,
        step: &Step,
        trouble: &Trouble,
        dice: &mut Dice,
    ) -> (u64, Result<Finished, Failure>) {
        let attempt = step.attempt;
        if let Some(failed) = self.machine_fails(attempt, &step.kind) {
            return (dice.between(1, 100), Err(failed));
        }
        let flaky = dice.percent(trouble.flaky);
        let setup = |words: &str| Err(failed(FailureKind::Setup, words));
        match &step.kind {
            StepKind::Make(_) if flaky => (dice.between(1, 300), setup("no room")),
            StepKind::Make(offer) => (dice.between(1, 300), Ok(self.make(who, offer))),
            StepKind::Hook(_) if flaky => {
                let brings = Err(failed(FailureKind::HookFailed, "a hook failed"));
                (dice.between(1, 500), brings)
            }
            StepKind::Hook(_) => (dice.between(0, 5), Ok(Finished::Hooked)),
            StepKind::Session(features) => self.session(who, attempt, features, trouble),
            StepKind::Commit => (dice.between(1, 50), Ok(Finished::Committed)),
            StepKind::Rebase(onto) => (dice.between(1, 100), self.rebase(who, onto, trouble, dice)),
            StepKind::Check { features, go_on } => {
                let ms = 1 + dice.skewed(8_000);
                (ms, self.checks(who, features, *go_on, trouble, dice))
            }
            StepKind::Preserve if flaky => (dice.between(1, 50), setup("no room")),
            StepKind::Preserve => {
                let name = format!("refs/crewlog/preserved/{attempt}");
                (dice.between(1, 50), Ok(Finished::Preserved(Some(name))))
            }
            StepKind::Spool(_) if flaky => (dice.between(1, 20), setup("no room")),
            StepKind::Spool(_) => (dice.between(1, 20), Ok(Finished::Spooled)),
            StepKind::Clean => (dice.between(1, 100), Ok(Finished::Cleaned)),
        }
    }

    /// What git, the disk and programs say for as long as the machine fails them. Whatever the
    /// agent has come to by then, only a step before the checks decides what becomes of the attempt.
    fn machine_fails(&mut self, attempt: AttemptId, kind: &StepKind) -> Option<Failure> {
        let (until, trouble) = self.machine_fails?;
        if until <= self.now_ms || self.fair() {
            return None;
        }
        match kind {
            StepKind::Make(_) | StepKind::Commit | StepKind::Rebase(_) => {
                self.show(&Sight::Troubled { attempt });
            }
            StepKind::Preserve | StepKind::Spool(_) | StepKind::Clean => {}
            StepKind::Hook(_) | StepKind::Session(_) | StepKind::Check { .. } => return None,
        }
        let words = format!("the machine fails: {}", trouble.as_str());
        Some(failed(FailureKind::Trouble(trouble), &words))
    }

    fn make(&mut self, who: Who, offer: &JobOffer) -> Finished {
        let spool = Spool {
            owner: who,
            kind: offer.kind,
            result: None,
        };
        self.spool.insert(offer.attempt, spool);
        let base = offer.base.clone();
        if let Some(worker) = self.workers.get_mut(&who) {
            worker.attempt_env = Some(AttemptEnv {
                offer: offer.clone(),
                change: Change::default(),
                commit: base.clone(),
            });
        }
        Finished::Made(RebasedCommit {
            onto: base.clone(),
            commit: base.clone(),
            tree: base,
            touched: Vec::new(),
            touched_total: 0,
        })
    }

    fn attempt_env(&self, who: Who) -> Result<&AttemptEnv, Failure> {
        let attempt_env = self
            .workers
            .get(&who)
            .and_then(|worker| worker.attempt_env.as_ref());
        attempt_env.ok_or_else(|| failed(FailureKind::Setup, "the worktree was never made"))
    }

    fn session(
        &mut self,
        who: Who,
        attempt: AttemptId,
        features: &[FeatureId],
        trouble: &Trouble,
    ) -> (u64, Result<Finished, Failure>) {
        let attempt_env = match self.attempt_env(who) {
            Ok(attempt_env) => attempt_env,
            Err(failure) => return (1, Err(failure)),
        };
        let (settings, kind) = (attempt_env.offer.settings.clone(), attempt_env.offer.kind);
        let Some(profile) = attempt_env.offer.profile.clone() else {
            return (1, Err(failed(FailureKind::Setup, "the job names no agent")));
        };
        let first = features.first().copied().unwrap_or_default();
        let job = attempt_env.offer.features.iter();
        let chosen: Vec<JobFeature> = job
            .filter(|it| features.contains(&it.id))
            .cloned()
            .collect();
        let works = |id: FeatureId| (id, self.git.works(&attempt_env.commit, id));
        let truth: Vec<(FeatureId, bool)> = features.iter().map(|&id| works(id)).collect();
        let number = self.sessions.entry(first).or_default();
        *number += 1;
        let which = u64::from(first.0) * 1_000 + *number;
        let dice = &mut Dice::new(self.scenario.seed, Stream::Agent, which);
        let now = self.wall();
        let mut plan = match kind {
            WorkerKind::Coding => {
                agent::coding(dice, &chosen, &self.passing(), trouble, &settings, now)
            }
            WorkerKind::Testing => agent::testing(dice, &truth, trouble, &settings, now),
        };
        if self.is_outage(&profile) {
            agent::unanswered(dice, &mut plan, &settings);
        }
        plan.result.blame_provider();
        self.stats.sessions += 1;
        self.note(|| format!("worker {who}: an agent of {attempt}, {features:?}: {plan:?}"));
        self.trees.insert(attempt, who);
        let process = self.workers.get(&who).map(|it| it.process.clone());
        self.show(&Sight::Began {
            attempt,
            kind,
            features,
            process: &process.unwrap_or_default(),
            profile: &profile,
            at_ms: self.now_ms,
        });
        if let Some(attempt_env) = self
            .workers
            .get_mut(&who)
            .and_then(|it| it.attempt_env.as_mut())
        {
            attempt_env.change = plan.change;
        }
        (plan.ms, Ok(Finished::Session(Box::new(plan.result))))
    }

    fn rebase(
        &mut self,
        who: Who,
        onto: &CommitId,
        trouble: &Trouble,
        dice: &mut Dice,
    ) -> Result<Finished, Failure> {
        let attempt_env = self.attempt_env(who)?;
        if attempt_env.offer.base != *onto && dice.percent(trouble.conflicts) {
            return Err(failed(FailureKind::Conflict, "the work conflicts"));
        }
        let (change, attempt) = (attempt_env.change.clone(), attempt_env.offer.attempt);
        let nothing = change.does.is_empty() && change.breaks.is_empty();
        let commit = match nothing {
            true => onto.clone(),
            false => {
                let made = Made { who, attempt };
                self.git.commit_on(onto, made, change.clone())
            }
        };
        if let Some(attempt_env) = self
            .workers
            .get_mut(&who)
            .and_then(|it| it.attempt_env.as_mut())
        {
            attempt_env.commit.clone_from(&commit);
        }
        let touched: Vec<String> = change.does.iter().map(ToString::to_string).collect();
        Ok(Finished::Rebased(RebasedCommit {
            onto: onto.clone(),
            tree: commit.clone(),
            commit,
            touched_total: touched.len() as u32,
            touched,
        }))
    }

    fn checks(
        &self,
        who: Who,
        features: &[FeatureId],
        go_on: bool,
        trouble: &Trouble,
        dice: &mut Dice,
    ) -> Result<Finished, Failure> {
        let attempt_env = self.attempt_env(who)?;
        let mut checks = Vec::new();
        for feature in (attempt_env.offer.features.iter()).filter(|it| features.contains(&it.id)) {
            let works = self.git.works(&attempt_env.commit, feature.id);
            let mut runs = Vec::new();
            for command in &feature.spec.checks {
                let flaky = [
                    CheckEnd::Exited(1),
                    CheckEnd::TimedOut,
                    CheckEnd::Signalled(9),
                ];
                let end = match dice.percent(trouble.flaky) {
                    true => dice.pick(&flaky).unwrap_or(CheckEnd::Exited(1)),
                    false => CheckEnd::Exited(i32::from(!works)),
                };
                runs.push(CheckRun {
                    command: command.clone(),
                    end,
                    duration_ms: 1,
                    output: ContentHash::default(),
                });
                if !end.passed() {
                    break;
                }
            }
            let passed = runs.iter().all(|run| run.end.passed());
            checks.push(FeatureChecks {
                feature: feature.id,
                killed: (runs.last()).is_some_and(|run| run.end == CheckEnd::Signalled(9)),
                runs,
                tail: String::new(),
                removed: Vec::new(),
            });
            if !passed && !go_on {
                break;
            }
        }
        Ok(Finished::Checked(checks))
    }

    /// The step is to end as soon as it can.
    pub(super) fn interrupt_step(&mut self, who: Who) {
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        let Some(running) = worker.running.as_mut().filter(|it| !it.stuck) else {
            return;
        };
        let called_off = failed(FailureKind::Setup, "called off");
        match (&running.step.kind, &mut running.brings) {
            (StepKind::Session(_), Ok(Finished::Session(session))) => {
                (session.end, session.failure) = (SessionEnd::Cancelled, None);
            }
            (StepKind::Hook(_) | StepKind::Check { .. }, brings) => *brings = Err(called_off),
            // git is not interrupted.
            _ => return,
        }
        worker.serial += 1;
        running.serial = worker.serial;
        let serial = worker.serial;
        let ms =
            Dice::new(self.scenario.seed, Stream::Step, who * 10_000 + serial).between(0, 2_500);
        self.after(ms, Item::StepDone(who, serial));
    }

    /// The agent has finished its first step.
    pub(super) fn answers(&mut self, who: Who, serial: u64) {
        let Some(worker) = self.workers.get(&who) else {
            return;
        };
        let current = worker
            .running
            .as_ref()
            .is_some_and(|it| it.serial == serial);
        if current && worker.stopped_ms <= self.now_ms {
            let activity = Activity {
                line: "edits".to_owned(),
                steps: 1,
            };
            self.give(who, WorkerInput::Activity(activity));
        }
    }

    /// Whether the provider fails every session of this profile.
    fn is_outage(&mut self, profile: &ProfileName) -> bool {
        let Some(&until) = self.outages.get(profile) else {
            return false;
        };
        let on = until > self.now_ms && !self.fair();
        if !on {
            self.outages.remove(profile);
            let at_ms = self.now_ms;
            self.show(&Sight::Outage {
                profile,
                at_ms,
                begins: false,
            });
        }
        on
    }

    pub(super) fn step_done(&mut self, who: Who, serial: u64) {
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        if worker.stopped_ms > self.now_ms {
            let later = worker.stopped_ms;
            return self.at(later, Item::StepDone(who, serial));
        }
        let Some(running) = worker.running.take_if(|it| it.serial == serial) else {
            return;
        };
        let attempt = running.step.attempt;
        match &running.step.kind {
            StepKind::Session(_) => self.tree_gone(attempt),
            StepKind::Spool(spooled) if running.brings.is_ok() => {
                self.write_down(who, attempt, spooled);
            }
            StepKind::Clean => {
                self.tree_gone(attempt);
                self.spool.remove(&attempt);
                if let Some(worker) = self.workers.get_mut(&who) {
                    (worker.attempt_env, worker.at_hand) = (None, None);
                }
            }
            _ => {}
        }
        let result = running.brings;
        if let Ok(Finished::Session(session)) = &result {
            let tokens = session.usage.tokens();
            self.show(&Sight::Used { attempt, tokens });
            if matches!(session.failure, Some(FailureKind::Trouble(_))) {
                self.show(&Sight::Troubled { attempt });
            }
        }
        self.give(who, WorkerInput::Done(Done { attempt, result }));
    }

    fn write_down(&mut self, who: Who, attempt: AttemptId, spooled: &AttemptReport) {
        let Some(worker) = self.workers.get(&who) else {
            return;
        };
        let (kind, process) = (worker.kind, worker.process.clone());
        self.show(&Sight::Wrote {
            id: spooled.command,
            attempt,
            process: &process,
            tokens: spooled.usage.tokens(),
        });
        self.note(|| format!("worker {who}: written down: {:?}", spooled.report));
        let result = Some(spooled.clone());
        let entry = self.spool.entry(attempt).or_insert(Spool {
            owner: who,
            kind,
            result: None,
        });
        entry.result = result;
    }

    /// A process that is killed in the middle of writing may have written.
    pub(super) fn finish_spooling(&mut self, who: Who) {
        let running = self.workers.get_mut(&who).and_then(|it| it.running.take());
        if let Some(running) = running
            && let StepKind::Spool(spooled) = &running.step.kind
            && running.brings.is_ok()
            && self.disk.percent(50)
        {
            self.write_down(who, running.step.attempt, spooled);
        }
    }
}
