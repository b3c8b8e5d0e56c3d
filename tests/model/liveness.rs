//! Where attempts come to an end and workers keep coming, a run comes to its end, and to the one
//! that follows from what the features are like.

use std::collections::{BTreeMap, BTreeSet};

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::RunOutcome;
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, CommitId, FeatureId, WorkerId};
use crewlog::model::plan::Entropy;
use crewlog::model::report::{Report, TestVerdict};
use crewlog::model::settings::{Settings, WorkerKind};
use proptest::prelude::*;

use crate::given::*;
use crate::oracle;

/// What a feature is like.
#[derive(Clone, Copy, Debug, Default)]
struct Nature {
    /// Tries that fail before one is good; more than are allowed is never.
    fails: u32,
    /// Its first attempt asks something.
    asks: bool,
    /// A person decided to go without it.
    skipped: bool,
    /// Its merge breaks that feature, once.
    breaks: Option<FeatureId>,
}

struct Fair {
    story: Story,
    dice: Numbers,
    nature: BTreeMap<FeatureId, Nature>,
    /// Features that are broken on the branch, and from which commit on.
    broken: BTreeMap<FeatureId, Vec<CommitId>>,
    /// The commits of the branch, oldest first.
    branch: Vec<CommitId>,
    /// Nobody answers.
    silent: bool,
    answered: BTreeSet<FeatureId>,
    verified: BTreeSet<(FeatureId, CommitId)>,
}

impl Fair {
    fn new(seed: u64) -> Self {
        let mut dice = Numbers::new(seed);
        let settings = Settings {
            max_concurrency: 1 + dice.below(4) as u32,
            testing: 1 + dice.below(3) as u32,
            batch_size: 1 + dice.below(3) as u32,
            max_attempts: 2 + dice.below(3) as u32,
            ..Settings::default()
        };
        let count = 2 + dice.below(12) as u32;
        let mut story = Story::empty();
        let mut nature = BTreeMap::new();
        let mut features = Vec::new();
        for number in 1..=count {
            let on: Vec<u32> = (1..number).filter(|_| dice.one_in(5)).collect();
            let made = match dice.one_in(4) {
                true => unchecked(number, &on),
                false => spec(number, &on),
            };
            features.push((FeatureId(number), made));
            let hopeless = dice.one_in(12);
            let like = Nature {
                fails: if hopeless {
                    99
                } else {
                    dice.below(settings.max_attempts as usize) as u32
                },
                asks: dice.one_in(8),
                skipped: dice.one_in(15),
                breaks: dice
                    .one_in(5)
                    .then(|| FeatureId(1 + dice.below(count as usize) as u32)),
            };
            nature.insert(FeatureId(number), like);
        }
        story.import(features);
        story.start(settings);
        for (&feature, _) in nature.iter().filter(|(_, like)| like.skipped) {
            let reason = String::new();
            story
                .person(PersonCommand::Skip { feature, reason })
                .unwrap();
        }
        let branch = vec![story.state.head.clone()];
        Self {
            silent: dice.one_in(2),
            story,
            dice,
            nature,
            broken: BTreeMap::new(),
            branch,
            answered: BTreeSet::new(),
            verified: BTreeSet::new(),
        }
    }

    /// How the run has to end, from the natures alone.
    fn predicted(&self) -> (RunOutcome, BTreeMap<FeatureId, Status>) {
        let most = self.story.state.settings.max_attempts;
        let mut ends: BTreeMap<FeatureId, Status> = BTreeMap::new();
        // Dependencies have lower numbers.
        for (&id, like) in &self.nature {
            let on = &self.story.state.feature(id).unwrap().spec.depends_on;
            let held = on.iter().any(|on| ends[on] != Status::Passing);
            let end = match like {
                like if like.skipped => Status::Skipped,
                _ if held => Status::Pending,
                like if like.asks && self.silent => Status::NeedsInput,
                like if like.fails >= most => Status::Parked,
                _ => Status::Passing,
            };
            ends.insert(id, end);
        }
        let hopeless = |id: &FeatureId| self.behind(*id, &ends, &[Status::Parked, Status::Skipped]);
        let pending = |id: &&FeatureId| ends[*id] == Status::Pending;
        let unreachable = ends.keys().filter(pending).any(hopeless);
        let any = |status| ends.values().any(|&end| end == status);
        let outcome = if any(Status::Parked) || unreachable {
            RunOutcome::SomeFailed
        } else if any(Status::NeedsInput) {
            RunOutcome::WaitingForPerson
        } else {
            RunOutcome::AllPassing
        };
        (outcome, ends)
    }

    fn behind(&self, id: FeatureId, ends: &BTreeMap<FeatureId, Status>, of: &[Status]) -> bool {
        let on = &self.story.state.feature(id).unwrap().spec.depends_on;
        on.iter().any(|&on| {
            let through = matches!(ends[&on], Status::Pending | Status::NeedsInput);
            of.contains(&ends[&on]) || (through && self.behind(on, ends, of))
        })
    }

    /// One thing happens. True when the run is over.
    fn step(&mut self) -> bool {
        self.story.wait(500);
        let workers: Vec<WorkerId> = self.story.state.workers().keys().copied().collect();
        if workers.len() < 6 {
            let testers = self
                .story
                .state
                .workers()
                .values()
                .filter(|it| it.kind == TESTING);
            let kind = if testers.count() < 3 { TESTING } else { CODING };
            self.story.join(kind);
            return false;
        }
        let asking = self
            .story
            .state
            .features()
            .find(|it| it.words.question.is_some());
        if let Some(feature) = asking.map(|it| it.id).filter(|_| !self.silent) {
            let answer = "that one".to_owned();
            let answer = PersonCommand::Answer { feature, answer };
            self.story.person(answer).unwrap();
        }
        let plan = self.story.plan(&workers);
        if let Some(command) = plan.command {
            self.note_last_tests(&command);
            let over = matches!(command, Command::FinishRun { .. });
            self.story.ok(command);
            return over;
        }
        let open: Vec<AttemptId> = self.story.state.attempts().keys().copied().collect();
        if let Some(attempt) = self.dice.pick(&open) {
            self.go_on(attempt);
        } else {
            let wake = plan
                .wake_at
                .expect("nothing is open, nothing is planned, and nobody wakes");
            self.story.now = self.story.now.max(wake);
        }
        false
    }

    /// At the end, what is tested is tested once.
    fn note_last_tests(&mut self, command: &Command) {
        if let Command::AssignTest {
            features,
            last: true,
            ..
        } = command
        {
            for &feature in features {
                let head = self.story.state.head.clone();
                let state = &self.story.state;
                let known = state.feature(feature).unwrap();
                if known.lost_streak == 0 {
                    assert!(
                        self.verified.insert((feature, head)),
                        "{feature} is verified twice"
                    );
                }
            }
        }
    }

    fn go_on(&mut self, attempt: AttemptId) {
        if self.dice.one_in(10) {
            let worker = self.story.state.attempts()[&attempt].job.worker;
            let reason = "it was killed".to_owned();
            let _ = self.story.submit(&Command::Leave {
                worker,
                reason: reason.into(),
            });
            return;
        }
        match self.story.state.attempts()[&attempt].job.kind {
            WorkerKind::Testing => self.test(attempt),
            WorkerKind::Coding => self.code(attempt),
        }
    }

    fn test(&mut self, attempt: AttemptId) {
        let base = self.story.state.attempts()[&attempt].job.base.clone();
        let at = self
            .branch
            .iter()
            .position(|commit| *commit == base)
            .unwrap();
        let features = self.story.features_of(attempt);
        let verdicts = features.iter().map(|&id| {
            let since = self.broken.get(&id).into_iter().flatten();
            let mut since =
                since.filter_map(|commit| self.branch.iter().position(|it| it == commit));
            // The list alternates: broken since, mended since, broken since, ...
            let turns = since.by_ref().filter(|&turn| turn <= at).count();
            let verdict = match turns % 2 {
                0 => self.story.proven(attempt, id),
                _ => TestVerdict::Broken(failure(FailureKind::CheckFailed)),
            };
            (id, verdict)
        });
        let report = tested(verdicts.collect());
        self.story.report(attempt, report).unwrap();
    }

    fn code(&mut self, attempt: AttemptId) {
        let features = self.story.features_of(attempt);
        for &id in &features {
            let like = self.nature[&id];
            if like.asks && !self.answered.contains(&id) {
                self.answered.insert(id);
                let question = "which?".to_owned();
                let report = Report::InputNeeded {
                    feature: id,
                    question,
                };
                self.story.report(attempt, report).unwrap();
                return;
            }
            let known = self.story.state.feature(id).unwrap();
            if known.failures < like.fails && !known.regressed {
                let failures = vec![(id, failure(FailureKind::CheckFailed))];
                let limited_until = None;
                self.story
                    .report(
                        attempt,
                        Report::Failed {
                            failures,
                            limited_until,
                        },
                    )
                    .unwrap();
                return;
            }
        }
        let work = self.story.work(attempt);
        let head = work.commit.clone();
        if self.story.report(attempt, Report::Mergeable(work)).is_err() {
            panic!("work on the head is refused");
        }
        let merged = true;
        self.story.ok(Command::SettleMerge {
            attempt,
            merged,
            head: head.clone(),
        });
        self.branch.push(head.clone());
        for &id in &features {
            // Whoever is merged again is whole again.
            self.turn(id, &head, false);
            let breaks = self.nature.get_mut(&id).and_then(|like| like.breaks.take());
            // What is merged together was checked together.
            let victim = breaks.filter(|victim| !features.contains(victim));
            let passing = |id: &FeatureId| self.story.status(id.0) == Status::Passing;
            if let Some(victim) = victim.filter(passing) {
                self.turn(victim, &head, true);
            }
        }
    }

    fn turn(&mut self, feature: FeatureId, at: &CommitId, broken: bool) {
        let turns = self.broken.entry(feature).or_default();
        if (turns.len() % 2 == 1) != broken {
            turns.push(at.clone());
        }
    }
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn every_fair_run_comes_to_the_end_that_was_to_be_expected(seed: u64) {
        let mut fair = Fair::new(seed);
        let (outcome, ends) = fair.predicted();
        let mut steps = 0;
        while !fair.step() {
            steps += 1;
            prop_assert!(steps < 3_000, "the run is not over");
            oracle::lawful(&fair.story.state);
        }
        let run = fair.story.state.run.clone().unwrap();
        let (ended, reason) = run.finished.unwrap();
        for (id, status) in ends {
            prop_assert_eq!(fair.story.status(id.0), status, "{} {}", id, reason);
        }
        prop_assert_eq!(ended, outcome, "{}", reason);
        let whole = fair.broken.values().all(|turns| turns.len() % 2 == 0);
        let parked = fair.story.state.count(Status::Parked);
        prop_assert!(whole || parked > 0, "a feature was left broken on the branch");
        for feature in fair.story.state.features() {
            let proven = feature.verified == fair.story.state.head_generation;
            prop_assert!(feature.status != Status::Passing || proven, "{} unverified", feature.id);
        }
        let workers: Vec<WorkerId> = fair.story.state.workers().keys().copied().collect();
        prop_assert_eq!(fair.story.plan(&workers).command, None);
    }
}

/// Somebody has to say so if the numbers never lead to the interesting ends.
#[test]
fn all_ends_come_up() {
    let mut seen: BTreeMap<RunOutcome, u32> = BTreeMap::new();
    let mut regressions = 0;
    for seed in 1..=60 {
        let mut fair = Fair::new(seed);
        let ended = (0..3_000).any(|_| fair.step());
        assert!(ended, "the run of seed {seed} does not end");
        let run = fair.story.state.run.clone().unwrap();
        *seen.entry(run.finished.unwrap().0).or_default() += 1;
        regressions += fair.story.state.tally.regressions;
        let _ = fair.dice.next();
    }
    assert!(
        seen.len() == 3 && regressions > 10,
        "{seen:?}, {regressions} regressions"
    );
}
