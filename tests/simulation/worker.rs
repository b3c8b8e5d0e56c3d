//! A worker process of the simulation: it says what a real one says, and does nothing for it.

use std::collections::VecDeque;

use crewlog::model::event::ProcessIdentity;
use crewlog::model::evidence::{Basis, Evidence, Failure, FailureKind, Usage};
use crewlog::model::ids::{AttemptId, CommandId, CommitId, FeatureId, WorkerId};
use crewlog::model::report::{Mergeable, Report, TestVerdict};
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::{Holding, JobOffer, SchedulerMessage, WorkerMessage};
use crewlog::scheduler::machine::Connection;
use crewlog::scheduler::outside::Spooled;

use crate::dice::Dice;
use crate::git::{Git, Made};

/// What goes on between two messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    Idle,
    /// A session or a rebase, until that time.
    Working {
        until_ms: u64,
        onto: Option<CommitId>,
    },
    /// Reported, or will be as soon as there is a connection.
    Waiting,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub attempt: AttemptId,
    pub kind: WorkerKind,
    pub features: Vec<FeatureId>,
    pub base: CommitId,
    pub called_off: bool,
    /// Found in the spool of a dead worker.
    pub inherited: bool,
}

pub struct Worker {
    pub pid: u32,
    pub kind: WorkerKind,
    pub alive: bool,
    /// Stopped by SIGSTOP until then.
    pub stopped_ms: u64,
    pub worker: Option<WorkerId>,
    pub wire: Option<Connection>,
    pub welcome: bool,
    pub stage: Stage,
    pub job: Option<Job>,
    pub result: Option<Spooled>,
    pub draining: bool,
    pub stopping: bool,
    pub orphans: VecDeque<(AttemptId, Spooled)>,
    used: Usage,
}

/// What a worker does, beside changing itself.
#[derive(Debug)]
pub enum Deed {
    Say(WorkerMessage),
    /// Written down and synced.
    Spool(AttemptId, Spooled),
    Unspool(AttemptId),
    /// Look again at this time.
    Later(u64),
    Die,
}

impl Worker {
    pub fn new(pid: u32, kind: WorkerKind, orphans: VecDeque<(AttemptId, Spooled)>) -> Self {
        Self {
            pid,
            kind,
            alive: true,
            stopped_ms: 0,
            worker: None,
            wire: None,
            welcome: false,
            stage: Stage::Idle,
            job: None,
            result: None,
            draining: false,
            stopping: false,
            orphans,
            used: Usage::default(),
        }
    }

    pub fn process(&self) -> ProcessIdentity {
        ProcessIdentity {
            host: "box".to_owned(),
            boot_id: "boot".to_owned(),
            pid: self.pid,
            start_ticks: u64::from(self.pid),
        }
    }

    pub fn hello(&self) -> WorkerMessage {
        let own = self.job.as_ref().filter(|job| !job.inherited);
        let holding = own.map(|job| Holding {
            attempt: job.attempt,
            acknowledged: Default::default(),
        });
        WorkerMessage::Hello {
            kind: self.kind,
            process: self.process(),
            worker: self.worker,
            holding,
        }
    }

    pub fn disconnected(&mut self) -> Vec<Deed> {
        self.wire = None;
        self.welcome = false;
        self.idle_next()
    }

    pub fn hear(&mut self, now: u64, dice: &mut Dice, message: SchedulerMessage) -> Vec<Deed> {
        match message {
            SchedulerMessage::Welcome {
                worker,
                holding_accepted,
                ..
            } => {
                self.worker = Some(worker);
                self.welcome = true;
                self.welcomed(holding_accepted)
            }
            SchedulerMessage::Refused { .. } => vec![Deed::Die],
            SchedulerMessage::Job(job) => self.begin(now, dice, *job),
            SchedulerMessage::Rebase { attempt, onto } => self.rebase(now, dice, attempt, onto),
            SchedulerMessage::Reported { attempt, .. } => self.reported(attempt),
            SchedulerMessage::Cancel { attempt, .. } => self.cancel(now, dice, attempt),
            SchedulerMessage::Drain { .. } => {
                self.draining = true;
                self.idle_next()
            }
            SchedulerMessage::Stop { .. } => {
                (self.draining, self.stopping) = (true, true);
                match self.stage {
                    Stage::Working { .. } => self.conclude(now, dice, self.release()),
                    _ => self.idle_next(),
                }
            }
        }
    }

    fn welcomed(&mut self, holding_accepted: bool) -> Vec<Deed> {
        match self.stage {
            Stage::Idle => self.idle_next(),
            Stage::Waiting => self.say_result(),
            Stage::Working { .. } if holding_accepted => Vec::new(),
            Stage::Working { .. } => {
                self.stage = Stage::Idle;
                self.job = None;
                self.idle_next()
            }
        }
    }

    /// Between two attempts.
    fn idle_next(&mut self) -> Vec<Deed> {
        if self.stage != Stage::Idle {
            return Vec::new();
        }
        if self.draining {
            let reason = "drained".to_owned();
            let leaving = Deed::Say(WorkerMessage::Leaving { reason });
            return match self.welcome {
                true => vec![leaving, Deed::Die],
                false => vec![Deed::Die],
            };
        }
        if !self.welcome {
            return Vec::new();
        }
        let Some((attempt, result)) = self.orphans.pop_front() else {
            return vec![Deed::Say(WorkerMessage::Ready)];
        };
        self.job = Some(Job {
            attempt,
            kind: self.kind,
            features: Vec::new(),
            base: CommitId::default(),
            called_off: false,
            inherited: true,
        });
        self.result = Some(result);
        self.stage = Stage::Waiting;
        self.say_result()
    }

    fn say_result(&self) -> Vec<Deed> {
        let (Some(job), Some(result)) = (&self.job, &self.result) else {
            return Vec::new();
        };
        vec![Deed::Say(WorkerMessage::Report {
            command: result.command,
            attempt: job.attempt,
            report: result.report.clone(),
            usage: result.usage,
        })]
    }

    fn begin(&mut self, now: u64, dice: &mut Dice, job: JobOffer) -> Vec<Deed> {
        if self.job.is_some() {
            return Vec::new();
        }
        self.job = Some(Job {
            attempt: job.attempt,
            kind: job.kind,
            features: job.features.iter().map(|feature| feature.id).collect(),
            base: job.base,
            called_off: false,
            inherited: false,
        });
        self.used = Usage::default();
        self.work(now, dice.between(10, 40_000), None)
    }

    fn work(&mut self, now: u64, ms: u64, onto: Option<CommitId>) -> Vec<Deed> {
        let until_ms = now + ms;
        self.stage = Stage::Working { until_ms, onto };
        vec![Deed::Later(until_ms)]
    }

    fn rebase(
        &mut self,
        now: u64,
        dice: &mut Dice,
        attempt: AttemptId,
        onto: CommitId,
    ) -> Vec<Deed> {
        let waits = self.stage == Stage::Waiting;
        let Some(job) = self
            .job
            .as_ref()
            .filter(|job| job.attempt == attempt && waits)
        else {
            return Vec::new();
        };
        let report = self.result.as_ref().map(|result| &result.report);
        let mergeable = matches!(report, Some(Report::Mergeable(_)));
        if self.stopping || job.inherited || !mergeable {
            return self.conclude(now, dice, self.release());
        }
        self.work(now, dice.between(10, 5_000), Some(onto))
    }

    fn reported(&mut self, attempt: AttemptId) -> Vec<Deed> {
        if self.job.as_ref().is_none_or(|job| job.attempt != attempt) {
            return Vec::new();
        }
        self.job = None;
        self.result = None;
        self.stage = Stage::Idle;
        let mut deeds = vec![Deed::Unspool(attempt)];
        deeds.extend(self.idle_next());
        deeds
    }

    fn cancel(&mut self, now: u64, dice: &mut Dice, attempt: AttemptId) -> Vec<Deed> {
        match self.job.as_mut().filter(|job| job.attempt == attempt) {
            None => Vec::new(),
            Some(job) => {
                job.called_off = true;
                self.conclude(now, dice, self.release())
            }
        }
    }

    fn release(&self) -> Report {
        let reason = "as ordered".to_owned();
        Report::Released { reason }
    }

    /// The session's time is over: what has come of it?
    pub fn look(&mut self, now: u64, dice: &mut Dice, git: &mut Git, fair: bool) -> Vec<Deed> {
        let Stage::Working { until_ms, onto } = self.stage.clone() else {
            return Vec::new();
        };
        let Some(job) = self.job.clone() else {
            return Vec::new();
        };
        if now < until_ms {
            return vec![Deed::Later(until_ms)];
        }
        let report = match job.kind {
            WorkerKind::Coding => self.coded(dice, git, &job, onto, fair),
            WorkerKind::Testing => tested(dice, &job, fair),
        };
        self.conclude(now, dice, report)
    }

    fn coded(
        &mut self,
        dice: &mut Dice,
        git: &mut Git,
        job: &Job,
        onto: Option<CommitId>,
        fair: bool,
    ) -> Report {
        self.used.input_tokens += 10;
        let failure = Failure::new(FailureKind::CheckFailed, "it does not work");
        match dice.between(0, 99) {
            0..=11 if !fair => Report::Failed {
                failures: vec![(job.features[0], failure)],
                limited_until: None,
            },
            12..=16 if !fair => Report::InputNeeded {
                feature: job.features[0],
                question: "which colour?".to_owned(),
            },
            17..=20 if !fair => self.release(),
            number => {
                let onto = onto.unwrap_or_else(|| job.base.clone());
                let made = Made {
                    pid: self.pid,
                    attempt: job.attempt,
                };
                // Now and then a commit that does not stand where it is said to.
                let bogus = !fair && number > 96;
                let parent = if bogus {
                    CommitId::default()
                } else {
                    onto.clone()
                };
                let commit = match number {
                    21..=24 => onto.clone(),
                    _ => git.commit_on(&parent, Some(made)),
                };
                mergeable(job, onto, commit)
            }
        }
    }

    fn conclude(&mut self, now: u64, dice: &mut Dice, report: Report) -> Vec<Deed> {
        let Some(job) = &self.job else {
            return Vec::new();
        };
        let attempt = job.attempt;
        let id = (u128::from(now) << 80) | u128::from(dice.roll());
        let result = Spooled {
            command: CommandId(id | (1 << 127)),
            report,
            usage: self.used,
        };
        self.result = Some(result.clone());
        self.stage = Stage::Waiting;
        let mut deeds = vec![Deed::Spool(attempt, result)];
        if self.welcome {
            deeds.extend(self.say_result());
        }
        deeds
    }
}

fn proof(commit: &CommitId) -> Evidence {
    Evidence {
        basis: Basis::AgentWord,
        commit: commit.clone(),
        tree: commit.clone(),
        checks: Vec::new(),
    }
}

fn mergeable(job: &Job, onto: CommitId, commit: CommitId) -> Report {
    let proofs = job.features.iter().map(|&id| (id, proof(&commit)));
    Report::Mergeable(Mergeable {
        evidence: proofs.collect(),
        onto,
        commit,
        touched: Vec::new(),
        touched_total: 0,
    })
}

fn tested(dice: &mut Dice, job: &Job, fair: bool) -> Report {
    let failure = Failure::new(FailureKind::CheckFailed, "it does not work any more");
    let verdict = |dice: &mut Dice| match dice.between(0, 9) {
        0 if !fair => TestVerdict::Broken(failure.clone()),
        1 if !fair => TestVerdict::Inconclusive(failure.clone()),
        _ => TestVerdict::Passed(proof(&job.base)),
    };
    Report::Tested {
        verdicts: job.features.iter().map(|&id| (id, verdict(dice))).collect(),
        limited_until: None,
    }
}
