//! A driver that does anything that could happen, as numbers say.

use crewlog::model::branch::BranchMove;
use crewlog::model::command::{Command, PersonCommand, Rejection};
use crewlog::model::event::{Event, RunOutcome};
use crewlog::model::evidence::{Basis, CheckEnd, FailureKind, Usage};
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::{AttemptId, ContentHash, FeatureId, Timestamp, WorkerId};
use crewlog::model::plan::Entropy;
use crewlog::model::profile::Profiles;
use crewlog::model::report::{Report, TestVerdict};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::state::Feature;
use crewlog::model::trouble::{Stage, Trouble, TroubleKind};

use crate::given::*;

/// Numbers of features that are used; few, so that they meet.
const NUMBERS: u32 = 14;

const KINDS: [FailureKind; 6] = [
    FailureKind::CheckFailed,
    FailureKind::Conflict,
    FailureKind::AgentCrashed,
    FailureKind::Setup,
    FailureKind::ProviderLimited,
    FailureKind::ProviderRefused,
];

/// A story, and the numbers that decide how it goes on.
pub struct Driver {
    pub story: Story,
    dice: Numbers,
    over: Vec<AttemptId>,
    foreign: u64,
}

impl Driver {
    pub fn new(seed: u64) -> Self {
        let mut driver = Self {
            story: Story::empty(),
            dice: Numbers::new(seed),
            over: Vec::new(),
            foreign: 1 << 40,
        };
        for _ in 0..3 {
            let _ = driver.import();
        }
        let settings = driver.settings();
        driver.story.start(settings);
        if driver.dice.one_in(2) {
            let profiles = Profiles {
                coding: vec!["one".into(), "two".into()],
                testing: vec!["two".into()],
            };
            driver.story.ok(Command::SetProfiles { profiles });
        }
        driver
    }

    /// Something happens. Returns what it caused, if it was accepted.
    pub fn step(&mut self) -> Result<Vec<Event>, Rejection> {
        let wait = [0, 1, 50, 700, 30_000][self.dice.below(5)];
        self.story.wait(wait);
        if self.dice.one_in(50) {
            let by_ms = self.dice.below(7_200_000) as u64;
            self.story.wait(by_ms);
            return self.story.submit(&Command::NoteJump { by_ms });
        }
        if self.dice.one_in(40) {
            return self.notice();
        }
        if self.story.state.open_run().is_none() && self.dice.one_in(3) {
            return self.restart();
        }
        match self.dice.below(60) {
            0..=3 => self.join(),
            4 => self.leave(),
            5..=24 => self.planned(),
            25..=39 => self.report(),
            40..=47 => self.settle(),
            48 => self.lose(),
            49 => self.late(),
            50..=56 => self.person(),
            57 => self.restart(),
            58 => self.move_head(),
            _ => self.finish(),
        }
    }

    fn settings(&mut self) -> Settings {
        let dice = &mut self.dice;
        Settings {
            max_concurrency: 1 + dice.below(3) as u32,
            testing: dice.below(3) as u32,
            batch_size: 1 + dice.below(3) as u32,
            max_attempts: 1 + dice.below(3) as u32,
            retry_backoff_ms: [0, 100, 2_000][dice.below(3)],
            retry_backoff_ms_max: [0, 1_000, 5_000][dice.below(3)],
            budget_tokens: [0, 0, 0, 400][dice.below(4)],
            ..Settings::default()
        }
    }

    fn spec(&mut self, number: u32, others: &[u32]) -> FeatureSpec {
        let dice = &mut self.dice;
        // Now and then one that may close a circle, or wait for nobody that exists.
        let limit = if dice.one_in(12) { NUMBERS } else { number };
        let mut depends_on = others.to_vec();
        depends_on.retain(|&other| other < limit && dice.one_in(4));
        if dice.one_in(30) {
            depends_on.push(NUMBERS + 5);
        }
        let mut made = match dice.one_in(4) {
            true => unchecked(number, &depends_on),
            false => spec(number, &depends_on),
        };
        made.category = ["core", "ui"][dice.below(2)].to_owned();
        made.priority = dice.below(3) as i32;
        if dice.one_in(4) {
            made.description = format!("version {}", dice.below(3));
        }
        if dice.one_in(5) {
            made.checks.push(format!("also {}", dice.below(2)));
        }
        if dice.one_in(9) {
            made.name = format!("name {}", dice.below(4));
        }
        made
    }

    fn import(&mut self) -> Result<Vec<Event>, Rejection> {
        let mut others: Vec<u32> = self.story.state.features().map(|it| it.id.0).collect();
        let used = |id: u32| self.story.state.slot(FeatureId(id)).is_some();
        let mut unused: Vec<u32> = (1..=NUMBERS).filter(|&id| !used(id)).collect();
        let mut numbers = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let at = self.dice.below(unused.len());
            numbers.push(match unused.is_empty() || self.dice.one_in(4) {
                true => 1 + self.dice.below(NUMBERS as usize) as u32,
                false => unused.swap_remove(at),
            });
        }
        others.extend(&numbers);
        others.sort_unstable();
        others.dedup();
        let specs = numbers
            .iter()
            .map(|&number| (FeatureId(number), self.spec(number, &others)));
        let features = specs.collect();
        let update = !self.dice.one_in(4);
        self.story
            .person(PersonCommand::Import { features, update })
    }

    fn feature(&mut self) -> FeatureId {
        FeatureId(1 + self.dice.below(NUMBERS as usize + 1) as u32)
    }

    fn worker(&mut self) -> WorkerId {
        let known: Vec<WorkerId> = self.story.state.workers().keys().copied().collect();
        self.dice.pick(&known).unwrap_or(WorkerId(0))
    }

    fn attempt(&mut self) -> AttemptId {
        let open: Vec<AttemptId> = self.story.state.attempts().keys().copied().collect();
        self.dice.pick(&open).unwrap_or(AttemptId(0))
    }

    fn join(&mut self) -> Result<Vec<Event>, Rejection> {
        if self.story.state.workers().len() >= 6 {
            return self.planned();
        }
        let kind = [WorkerKind::Coding, WorkerKind::Testing][self.dice.below(2)];
        let process = process(self.dice.below(1_000) as u32);
        self.story.submit(&Command::Join { kind, process })
    }

    fn leave(&mut self) -> Result<Vec<Event>, Rejection> {
        let worker = self.worker();
        let attempt = self
            .story
            .state
            .workers()
            .get(&worker)
            .and_then(|it| it.attempt);
        self.over.extend(attempt);
        let reason = "it was killed".to_owned();
        self.story.submit(&Command::Leave {
            worker,
            reason: reason.into(),
        })
    }

    fn planned(&mut self) -> Result<Vec<Event>, Rejection> {
        let known: Vec<WorkerId> = self.story.state.workers().keys().copied().collect();
        // Also workers that are busy, as a shell with a bug would have it.
        let mut world = self.story.world(&known);
        world.stay = !self.dice.one_in(8);
        let plan = self.story.plan_in(&world);
        assert!(
            plan.wake_at
                .is_none_or(|at| at > self.story.now.min(self.story.state.at))
        );
        let Some(command) = plan.command else {
            return Ok(Vec::new());
        };
        let events = self.story.submit(&command);
        assert!(
            events.is_ok(),
            "what was planned is refused: {command:?} {events:?}"
        );
        events
    }

    fn report(&mut self) -> Result<Vec<Event>, Rejection> {
        let attempt = self.attempt();
        let Some(open) = self.story.state.attempts().get(&attempt) else {
            return self.planned();
        };
        let kind = open.job.kind;
        let report = match (kind, self.dice.below(10)) {
            (_, 0) => self.any_report(attempt),
            (WorkerKind::Coding, 1..=6) => self.work(attempt),
            (WorkerKind::Coding, 7..=8) => self.failed(attempt),
            (WorkerKind::Testing, 1..=8) => self.verdicts(attempt),
            _ => self.any_report(attempt),
        };
        self.send(attempt, report)
    }

    fn send(&mut self, attempt: AttemptId, report: Report) -> Result<Vec<Event>, Rejection> {
        let usage = Usage {
            input_tokens: self.dice.below(30) as u64,
            ..Usage::default()
        };
        let jitter = self.dice.next();
        let was_open = self.story.state.attempts().contains_key(&attempt);
        let events = self.story.submit(&Command::Report {
            attempt,
            report,
            usage,
            jitter,
        });
        if was_open && !self.story.state.attempts().contains_key(&attempt) {
            self.over.push(attempt);
        }
        events
    }

    /// Work that is right as a rule.
    fn work(&mut self, attempt: AttemptId) -> Report {
        let mut work = self.story.work(attempt);
        if let Some((feature, proof)) = work.evidence.first_mut() {
            match self.dice.below(20) {
                0 => *feature = FeatureId(77),
                1 => proof.basis = Basis::AgentWord,
                2 => proof.commit = commit(3),
                3 => proof
                    .checks
                    .iter_mut()
                    .for_each(|run| run.end = CheckEnd::Exited(1)),
                4 => drop(proof.checks.pop()),
                _ => {}
            }
        }
        match self.dice.below(12) {
            0 => work.onto = commit(4),
            1 => {
                // Nothing to change.
                let onto = work.onto.clone();
                work.evidence
                    .iter_mut()
                    .for_each(|(_, proof)| proof.commit = onto.clone());
                work.commit = onto;
            }
            2 => work.touched_total = 1_000,
            4 => work.notes.push("worth knowing".to_owned()),
            3 => work.touched.push("shared".to_owned()),
            _ => {}
        }
        Report::Mergeable(work)
    }

    fn failed(&mut self, attempt: AttemptId) -> Report {
        let features = self.story.features_of(attempt);
        let mut failures = Vec::new();
        for id in features {
            if !self.dice.one_in(3) {
                let weights = if self.dice.one_in(4) { 6 } else { 4 };
                failures.push((id, failure(KINDS[self.dice.below(weights)])));
            }
        }
        if self.dice.one_in(5) {
            failures.push((self.feature(), failure(FailureKind::Setup)));
        }
        Report::Failed {
            failures,
            limited_until: self.until(),
        }
    }

    fn until(&mut self) -> Option<Timestamp> {
        let later = self.story.now.plus_ms(self.dice.below(60_000) as u64);
        [None, Some(later), Some(Timestamp(0))][self.dice.below(3)]
    }

    fn verdicts(&mut self, attempt: AttemptId) -> Report {
        let features = self.story.features_of(attempt);
        let mut verdicts = Vec::new();
        for id in features {
            let known = self.story.state.feature(id).is_some();
            let verdict = match self.dice.below(8) {
                0 => TestVerdict::Broken(failure(FailureKind::CheckFailed)),
                1 => TestVerdict::Inconclusive(failure(KINDS[3 + self.dice.below(3)])),
                2 => continue,
                _ if known => self.story.proven(attempt, id),
                _ => continue,
            };
            verdicts.push((id, verdict));
        }
        Report::Tested {
            verdicts,
            limited_until: self.until(),
        }
    }

    fn any_report(&mut self, attempt: AttemptId) -> Report {
        match self.dice.below(6) {
            0 => self.work(attempt),
            1 => self.failed(attempt),
            2 => self.verdicts(attempt),
            3 => Report::InputNeeded {
                feature: self.story.features_of(attempt).pop().unwrap_or_default(),
                question: "which?".to_owned(),
            },
            4 => Report::Troubled(Trouble {
                kind: TroubleKind::ALL[self.dice.below(TroubleKind::ALL.len())],
                stage: [Stage::Prepare, Stage::Check][self.dice.below(2)],
                reason: "the disk is full".to_owned(),
            }),
            _ => Report::Released {
                detail: String::new(),
                reason: "a person stopped it".into(),
            },
        }
    }

    fn settle(&mut self) -> Result<Vec<Event>, Rejection> {
        let Some(merge) = self.story.state.open_merge() else {
            return self.report();
        };
        let (attempt, commit) = (merge.attempt, merge.commit.clone());
        let merged = !self.dice.one_in(5);
        let elsewhere = self.dice.one_in(6);
        let head = match (merged, elsewhere) {
            (_, true) => self.foreign_commit(),
            (true, false) => commit,
            (false, false) => self.story.state.head.clone(),
        };
        self.story.submit(&Command::SettleMerge {
            attempt,
            merged,
            head,
        })
    }

    fn foreign_commit(&mut self) -> crewlog::model::ids::CommitId {
        self.foreign += 1;
        commit(self.foreign)
    }

    fn lose(&mut self) -> Result<Vec<Event>, Rejection> {
        let attempt = self.attempt();
        self.over.push(attempt);
        self.story.submit(&losing(attempt))
    }

    fn late(&mut self) -> Result<Vec<Event>, Rejection> {
        let over = self.over.clone();
        let Some(attempt) = self.dice.pick(&over) else {
            return self.planned();
        };
        let report = self.any_report(attempt);
        self.send(attempt, report)
    }

    fn person(&mut self) -> Result<Vec<Event>, Rejection> {
        let feature = self.feature();
        // Nobody stays away for ever.
        let limited = self.story.state.outages().next().is_some() && self.dice.one_in(3);
        if self.story.state.paused.is_some() || limited {
            return self.story.person(PersonCommand::Resume);
        }
        let asking = self
            .story
            .state
            .features()
            .find(|it| it.words.question.is_some());
        if let Some(feature) = asking.map(|feature| feature.id)
            && self.dice.one_in(2)
        {
            let answer = "that one".to_owned();
            return self.story.person(PersonCommand::Answer { feature, answer });
        }
        let command = match self.dice.below(24) {
            0..=8 => return self.import(),
            9 => PersonCommand::Remove { feature },
            10..=12 => PersonCommand::Skip {
                feature,
                reason: "not now".to_owned(),
            },
            13..=14 => PersonCommand::Retry {
                features: Vec::new(),
            },
            15..=20 => PersonCommand::Retry {
                features: vec![feature],
            },
            21 => PersonCommand::Answer {
                feature,
                answer: "that one".to_owned(),
            },
            22 => PersonCommand::Pause {
                reason: "lunch".to_owned(),
            },
            _ => PersonCommand::change_to(&self.settings()),
        };
        self.story.person(command)
    }

    fn restart(&mut self) -> Result<Vec<Event>, Rejection> {
        let settings = match self.dice.one_in(2) {
            true => self.settings(),
            false => self.story.state.settings.clone(),
        };
        let head = match self.dice.one_in(3) {
            true => self.foreign_commit(),
            false => self.story.state.head.clone(),
        };
        self.story.submit(&Command::StartRun {
            branch: "crewlog/main".to_owned(),
            head,
            settings,
            seed: 1,
        })
    }

    fn move_head(&mut self) -> Result<Vec<Event>, Rejection> {
        let head = self.foreign_commit();
        self.story.submit(&Command::MoveHead { head })
    }

    /// What the scheduler notices beside the work.
    fn notice(&mut self) -> Result<Vec<Event>, Rejection> {
        let command = match self.dice.below(4) {
            0 => Command::Refuse {
                attempt: self.story.state.attempts().keys().next().copied(),
                wish: "skip #1".to_owned(),
                reason: "agents cannot steer the run".to_owned(),
            },
            1 => Command::RecordConfig {
                content: ContentHash([self.dice.below(200) as u8; 32]),
                changes: Vec::new(),
            },
            2 => Command::HoldMerges {
                at: self.dice.one_in(2).then(|| "/somewhere".to_owned()),
            },
            _ => Command::ExplainMove(Box::new(self.lost_work())),
        };
        self.story.submit(&command)
    }

    /// Somebody takes the first passing feature's merge off the branch.
    fn lost_work(&self) -> BranchMove {
        let passing = |it: &&Feature| it.status == Status::Passing && it.merged.is_some();
        let lost = self.story.state.features().find(passing);
        BranchMove {
            from: self.story.state.head.clone(),
            to: self.story.state.head.clone(),
            gone: lost.and_then(|it| it.merged.clone()).into_iter().collect(),
            ..BranchMove::default()
        }
    }

    fn finish(&mut self) -> Result<Vec<Event>, Rejection> {
        let outcomes = [RunOutcome::AllPassing, RunOutcome::SomeFailed];
        self.story.submit(&Command::FinishRun {
            outcome: outcomes[self.dice.below(2)],
            reason: "just because".to_owned(),
        })
    }
}
