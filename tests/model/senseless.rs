//! Logs that no rules would write: they fold all the same, and the same everywhere.

use crewlog::model::actor::Actor;
use crewlog::model::apply::{apply, pass_over};
use crewlog::model::event::*;
use crewlog::model::evidence::{FailureKind, Usage};
use crewlog::model::ids::{
    AttemptId, CommandId, Epoch, FeatureId, JobId, Sequence, Timestamp, WorkerId,
};
use crewlog::model::plan::{Entropy, World, plan};
use crewlog::model::profile::{ProfileName, Profiles};
use crewlog::model::settings::Settings;
use crewlog::model::state::State;
use crewlog::model::trouble::{Stage, TroubleKind};
use proptest::prelude::*;

use crate::given::*;
use crate::oracle;

/// Small numbers, so that events meet; now and then one that is out of all bounds.
struct Dice(Numbers);

impl Dice {
    fn small(&mut self) -> u64 {
        match self.0.one_in(50) {
            true => self.0.next(),
            false => self.0.below(7) as u64,
        }
    }

    fn feature(&mut self) -> FeatureId {
        FeatureId(self.small() as u32)
    }

    fn features(&mut self) -> Vec<FeatureId> {
        let count = self.0.below(4);
        (0..count).map(|_| self.feature()).collect()
    }

    /// What waits has a greater number, so that no circle comes about: the oracle cannot rank one.
    fn depends_on(&mut self, feature: FeatureId) -> Vec<FeatureId> {
        let mut features = self.features();
        features.retain(|&other| other < feature);
        features
    }

    /// The attempts that were started last, or any number.
    fn attempt(&mut self, state: &State) -> AttemptId {
        let open: Vec<AttemptId> = state.attempts().keys().copied().collect();
        match self.0.pick(&open).filter(|_| !self.0.clone().one_in(4)) {
            Some(attempt) => attempt,
            None => AttemptId(self.small()),
        }
    }

    fn worker(&mut self, state: &State) -> WorkerId {
        let known: Vec<WorkerId> = state.workers().keys().copied().collect();
        self.0.pick(&known).unwrap_or(WorkerId(self.small()))
    }

    fn time(&mut self) -> Timestamp {
        Timestamp(self.small().saturating_mul(1_000))
    }
}

fn backlog(dice: &mut Dice, which: usize) -> Event {
    let feature = dice.feature();
    let depends_on = dice.depends_on(feature);
    let numbers: Vec<u32> = depends_on.iter().map(|id| id.0).collect();
    let mut text = spec(dice.small() as u32, &numbers);
    text.category = dice.small().to_string();
    let words = || "words".to_owned();
    match which {
        0 | 1 => FeatureAdded {
            feature,
            spec: text,
        }
        .into(),
        2 => FeatureEdited {
            feature,
            spec: text,
        }
        .into(),
        3 => FeatureRemoved { feature }.into(),
        4 => FeatureSkipped {
            feature,
            reason: words(),
        }
        .into(),
        5 => DependenciesSet {
            feature,
            depends_on,
        }
        .into(),
        6 => RetryRequested { feature }.into(),
        _ => InputAnswered {
            feature,
            answer: words(),
        }
        .into(),
    }
}

fn attempts(dice: &mut Dice, state: &State, which: usize) -> Event {
    let (attempt, worker) = (dice.attempt(state), dice.worker(state));
    let (features, base) = (dice.features(), commit(dice.small()));
    let reason = "words".to_owned();
    match which {
        0 => FeatureAssigned {
            worker,
            features,
            attempt_number: dice.small() as u32,
            base,
            terms: RankTerms::default(),
            runners_up: Vec::new(),
            ready: 0,
        }
        .into(),
        1 => TestAssigned {
            worker,
            features,
            base,
            last: false,
            draw: 0,
            terms: TestTerms::default(),
            runners_up: Vec::new(),
        }
        .into(),
        2 | 3 => {
            let job = JobId(state.sequence.0.saturating_sub(u64::from(dice.0.one_in(9))));
            AttemptStarted {
                job,
                worker,
                profile: dice.0.one_in(2).then(|| "p1".into()),
            }
            .into()
        }
        4 => JobCancelled {
            attempt,
            reason: reason.into(),
        }
        .into(),
        5 => AttemptReleased {
            attempt,
            reason: reason.into(),
            detail: String::new(),
        }
        .into(),
        6 => AttemptLost {
            attempt,
            reason: reason.into(),
        }
        .into(),
        _ => LateResultIgnored {
            attempt,
            report: reason,
        }
        .into(),
    }
}

fn outcomes(dice: &mut Dice, state: &State, which: usize) -> Event {
    let (attempt, feature) = (dice.attempt(state), dice.feature());
    let feature = match state.attempts().get(&attempt) {
        Some(open) if dice.0.one_in(2) => dice.0.pick(&open.job.features).unwrap_or(feature),
        _ => feature,
    };
    let (onto, commit) = (commit(dice.small()), commit(dice.small()));
    let evidence = evidence(&spec(feature.0, &[]), &commit, 0);
    let failure = failure(FailureKind::CheckFailed);
    let not_before = dice.time();
    match which {
        0 => MergeStarted {
            attempt,
            onto,
            commit,
            touched: vec![dice.small().to_string()],
            touched_total: dice.small() as u32,
            evidence: vec![(feature, evidence)],
        }
        .into(),
        1 => MergeAborted {
            attempt,
            head: commit,
        }
        .into(),
        2 => HeadMoved { head: commit }.into(),
        3 => FeaturePassed {
            feature,
            attempt,
            evidence,
        }
        .into(),
        4 => FeatureFailed {
            feature,
            attempt,
            failure,
            not_before,
        }
        .into(),
        5 => RegressionFound {
            feature,
            attempt,
            failure,
            suspects: Vec::new(),
        }
        .into(),
        6 => TestPassed {
            feature,
            attempt,
            evidence,
        }
        .into(),
        7 => TestInconclusive {
            feature,
            attempt,
            failure,
        }
        .into(),
        8 => FeatureParked {
            feature,
            failures: 1,
        }
        .into(),
        _ => InputRequested {
            feature,
            attempt,
            question: "which?".to_owned(),
        }
        .into(),
    }
}

fn run(dice: &mut Dice, state: &State, which: usize) -> Event {
    let (attempt, worker) = (dice.attempt(state), dice.worker(state));
    let (until, reason) = (dice.time(), "words".to_owned());
    let used = Usage {
        input_tokens: dice.small(),
        output_tokens: dice.0.next(),
        cost_microusd: dice.0.next(),
    };
    let kind = [CODING, TESTING][dice.0.below(2)];
    let profile = ProfileName(format!("p{}", dice.0.below(3)));
    match which {
        0 => RunStarted {
            branch: reason,
            head: commit(dice.small()),
            settings: Settings::default(),
            seed: 1,
        }
        .into(),
        1 | 2 => WorkerJoined {
            kind,
            name: reason,
            process: process(1),
        }
        .into(),
        3 => WorkerLeft {
            worker,
            reason: reason.into(),
        }
        .into(),
        4 => SettingsChanged {
            settings: Settings::default(),
        }
        .into(),
        5 => RunFinished {
            outcome: RunOutcome::AllPassing,
            reason,
        }
        .into(),
        6 => RunPaused { reason }.into(),
        7 => RunResumed {}.into(),
        8 => UsageRecorded {
            attempt,
            usage: used,
        }
        .into(),
        9 => BudgetReached { spent: used }.into(),
        10 => CrewRecovered { attempt }.into(),
        12 => ProfileRecovered { attempt, profile }.into(),
        13 => ProfilesSet {
            profiles: Profiles {
                coding: vec![profile],
                testing: Vec::new(),
            },
        }
        .into(),
        11 => CrewTroubled {
            attempt,
            kind: TroubleKind::Disk,
            stage: Stage::Check,
            until,
            reason,
        }
        .into(),
        _ => {
            let kind = FailureKind::ProviderLimited;
            ProviderLimited {
                profile: profile.clone(),
                attempt,
                kind,
                until,
                reason,
            }
            .into()
        }
    }
}

fn any_event(dice: &mut Dice, state: &State) -> Event {
    match dice.0.below(8) {
        0..=1 => {
            let which = dice.0.below(8);
            backlog(dice, which)
        }
        2..=4 => {
            let which = dice.0.below(8);
            attempts(dice, state, which)
        }
        5..=6 => {
            let which = dice.0.below(10);
            outcomes(dice, state, which)
        }
        _ => {
            let which = dice.0.below(15);
            run(dice, state, which)
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn any_log_folds_and_from_anywhere(seed: u64, events in 20_usize..250) {
        let mut dice = Dice(Numbers::new(seed));
        let mut state = State::default();
        let mut resumed = State::default();
        for number in 1..=events as u64 {
            let recorded = Recorded {
                sequence: Sequence(number),
                epoch: Epoch(1),
                at: dice.time(),
                cause: CommandId(u128::from(dice.small()) << 80),
            actor: Actor::Unknown,
                event: any_event(&mut dice, &state),
            };
            apply(&mut state, &recorded);
            apply(&mut resumed, &recorded);
            let bytes = state.to_bytes().unwrap();
            prop_assert_eq!(&bytes, &resumed.to_bytes().unwrap(), "{:?}", recorded);
            if dice.0.one_in(5) {
                resumed = State::from_bytes(&bytes).unwrap();
            }
            if dice.0.one_in(5) {
                oracle::check(&mut state);
                let mut world = World::default();
                let workers = state.workers().iter();
                let idle = workers.map(|(&id, worker)| (id.0, (id, worker.kind)));
                world.idle = idle.collect();
                let _ = plan(&state, Timestamp(5_000), &world, &mut dice.0);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_state_or_an_error(seed: u64, length in 0_usize..2_000) {
        let mut dice = Numbers::new(seed);
        let garbage: Vec<u8> = (0..length).map(|_| dice.next() as u8).collect();
        let _ = State::from_bytes(&garbage);
        let mut story = Story::of(&[(1, &[]), (2, &[1])]);
        story.implement();
        let mut bytes = story.state.to_bytes().unwrap();
        let at = dice.below(bytes.len());
        bytes[at] ^= 1 << dice.below(8);
        if let Ok(state) = State::from_bytes(&bytes) {
            let _ = state.ready().count();
        }
        bytes.truncate(at);
        prop_assert!(State::from_bytes(&bytes).is_err());
    }
}

#[test]
fn an_event_whose_text_is_lost_pauses_the_run_until_a_person_resumes_it() {
    let mut state = State::default();
    let (at, cause) = (Timestamp(5), CommandId(3));
    pass_over(&mut state, Sequence(1), at, cause, "FeatureEdited");
    assert_eq!((state.sequence, state.at), (Sequence(1), Timestamp(5)));
    let reason = state.paused.clone().expect("paused");
    assert!(reason.contains("event 1 (FeatureEdited)"), "{reason}");
    let resumed = Recorded {
        sequence: Sequence(2),
        epoch: Epoch(1),
        at: Timestamp(6),
        cause: CommandId(7),
        actor: Actor::Unknown,
        event: RunResumed {}.into(),
    };
    apply(&mut state, &resumed);
    assert_eq!(state.paused, None);
}
