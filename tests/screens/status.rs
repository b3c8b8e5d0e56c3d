//! `scheduler status`.

use std::collections::BTreeSet;

use crewlog::cli::output::Output;
use crewlog::cli::pages::status::{AsOf, page};
use crewlog::model::actor::Actor;
use crewlog::model::branch::NamedCommit;
use crewlog::model::config::ConfigChange;
use crewlog::model::derived_status::{DerivedStatus, DerivedStatuses};
use crewlog::model::ending;
use crewlog::model::event::*;
use crewlog::model::evidence::FailureKind;
use crewlog::model::ids::*;
use crewlog::model::profile::Profiles;
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::state::GIVE_BACKS_MAX;
use crewlog::model::trouble::{Stage, TroubleKind};
use crewlog::model::views;
use crewlog::protocol::{Live, LiveAttempt, MissingWorkers, Phase};

use crate::kit::{self, Screen};
use crate::story::{Story, Workers, commit, every_status, person, usage};

/// What a scheduler says of itself.
fn live(story: &Story) -> Live {
    let open = story.state.attempts().iter();
    let attempts = open.map(|(&attempt, it)| LiveAttempt {
        attempt,
        feature: it.job.features[0],
        worker: "worker-1".to_owned(),
        phase: Some(Phase::Session),
        activity: "edits src/zones.rs".to_owned(),
        active_at: story.now(),
        connected: it.job.kind == WorkerKind::Coding,
    });
    Live {
        attempts: attempts.collect(),
        pid: 4_242,
        since: story.now(),
        now: story.now(),
        draining: false,
        missing_workers: Vec::new(),
    }
}

/// Everything at once that needs attention.
fn warnings(story: &mut Story, workers: &Workers) {
    let attempt = story.state.attempts().keys().copied().next();
    let attempt = attempt.expect("one is open");
    let change = ConfigChange {
        key: "checks.keep_ignored".to_owned(),
        before: "[]".to_owned(),
        after: "[\"target\"]".to_owned(),
    };
    story.record(ConfigRecorded {
        content: ContentHash([1; 32]),
        changes: vec![change],
        changes_total: 1,
    });
    story.record(BranchMoved {
        from: commit('d'),
        to: commit('e'),
        added: vec![NamedCommit::new(commit('e'), "Ann", "Raise the version")],
        added_total: 1,
        lost: Vec::new(),
        lost_total: 0,
    });
    story.record(MergesHeld {
        at: "/home/ann/project".to_owned(),
    });
    let agent = Actor::Agent {
        attempt: Some(attempt),
        pid: 977,
    };
    for _ in 0..2 {
        let command = CommandRefused {
            attempt: Some(attempt),
            command: "skip #9".to_owned(),
            reason: "agents cannot control the run".to_owned(),
        };
        story.by(agent.clone(), command);
    }
    for _ in 0..GIVE_BACKS_MAX {
        let attempt = story.code(workers.two, 7, 1);
        let reason = "the agent's login has expired".to_owned();
        story.record(AttemptReleased {
            attempt,
            reason: reason.into(),
            detail: String::new(),
        });
    }
    let reason = "lunch".to_owned();
    story.by(person(), RunPaused { reason });
    story.record(ProviderLimited {
        profile: "claude".into(),
        attempt,
        kind: FailureKind::ProviderLimited,
        until: story.now().plus_ms(754_000),
        reason: "429: the usage limit of this hour is reached".to_owned(),
    });
    trouble(story, attempt, TroubleKind::Disk);
}

pub fn trouble(story: &mut Story, attempt: AttemptId, kind: TroubleKind) {
    if kind.is_of_profile() {
        story.record(ProviderLimited {
            profile: "claude".into(),
            attempt,
            kind: FailureKind::Trouble(kind),
            until: story.now().plus_ms(32_000),
            reason: "the provider gave the agent no answer".to_owned(),
        });
        return;
    }
    story.record(CrewTroubled {
        attempt,
        kind,
        stage: Stage::Prepare,
        until: story.now().plus_ms(32_000),
        reason: "cannot create /var/attempts/a9: the reason that the system gives".to_owned(),
    });
}

fn now(story: &Story, live: Option<&Live>, out: &Output) -> String {
    let view = views::status(&story.state, story.now());
    page(&view, AsOf::Now(live), story.now(), out)
}

#[test]
fn status() {
    let (story, _) = every_status();
    let seen: BTreeSet<DerivedStatus> = {
        let statuses = DerivedStatuses::of(&story.state, story.now());
        let features =
            (1..=12).filter_map(|id| story.state.in_slot(story.state.slot(FeatureId(id))?));
        features.map(|it| statuses.of_feature(it)).collect()
    };
    assert_eq!(seen, DerivedStatus::ALL.into(), "a status has no feature");
    kit::check("status", |out| {
        let mut screens: Vec<Screen> = Vec::new();
        let mut add = |title: &str, text: String| screens.push((title.to_owned(), text));
        let empty = Story::default();
        add("an empty log", now(&empty, None, out));
        let (mut story, workers) = every_status();
        let mut running = live(&story);
        add("every status", now(&story, Some(&running), out));
        running.draining = true;
        add("ending", now(&story, Some(&running), out));
        running.draining = false;
        for (kind, ends_in_ms) in [
            (WorkerKind::Coding, Some(90_000)),
            (WorkerKind::Testing, None),
        ] {
            running
                .missing_workers
                .push(MissingWorkers { kind, ends_in_ms });
        }
        add("missing workers", now(&story, Some(&running), out));
        let view = views::status(&story.state, story.now());
        let replayed = page(&view, AsOf::Sequence, story.now(), out);
        add("replayed", replayed);
        warnings(&mut story, &workers);
        add("every warning, and interrupted", now(&story, None, out));
        add("a provider that refuses", now(&refusing(), None, out));
        add(
            "a budget that is spent",
            now(&spent(), Some(&live(&spent())), out),
        );
        for (title, story) in finished() {
            add(&title, now(&story, None, out));
        }
        screens
    });
}

/// The provider refuses until a person does something.
pub fn refusing() -> Story {
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.begin(Settings::default());
    let profiles = Profiles {
        coding: vec!["claude".into(), "codex".into()],
        testing: vec!["claude".into()],
    };
    story.record(ProfilesSet { profiles });
    let worker = story.join(WorkerKind::Coding, 1);
    let attempt = story.code(worker, 1, 1);
    story.record(ProviderLimited {
        profile: "claude".into(),
        attempt,
        kind: FailureKind::ProviderRefused,
        until: Timestamp(u64::MAX),
        reason: "401: the key is not valid".to_owned(),
    });
    story.record(ProviderLimited {
        profile: "codex".into(),
        attempt,
        kind: FailureKind::QuotaExhausted,
        until: Timestamp(u64::MAX),
        reason: "429: you have used up your credit".to_owned(),
    });
    let reason = "the provider refuses".to_owned();
    story.record(AttemptReleased {
        attempt,
        reason: reason.into(),
        detail: String::new(),
    });
    story
}

/// The budget is spent while an attempt is open.
fn spent() -> Story {
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.begin(Settings {
        budget_microusd: 1_000_000,
        ..Settings::default()
    });
    let worker = story.join(WorkerKind::Coding, 1);
    let attempt = story.code(worker, 1, 1);
    let usage = usage();
    story.record(UsageRecorded { attempt, usage });
    story.record(BudgetReached { spent: usage });
    story
}

fn finish(story: &mut Story) {
    let (outcome, reason) = ending::due(&story.state).expect("the run is over");
    story.record(RunFinished { outcome, reason });
}

/// Runs that are over, one for each outcome and one that can be continued.
pub fn finished() -> Vec<(String, Story)> {
    let outcomes = kit::every!(RunOutcome {
        RunOutcome::AllPassing => RunOutcome::AllPassing,
        RunOutcome::SomeFailed => RunOutcome::SomeFailed,
        RunOutcome::WaitingForPerson => RunOutcome::WaitingForPerson,
        RunOutcome::BudgetSpent => RunOutcome::BudgetSpent,
    });
    let mut stories = Vec::new();
    for outcome in outcomes {
        let mut story = Story::default();
        story.add(1, "parse dates", &[]);
        story.add(2, "format dates", &[1]);
        story.begin(Settings {
            testing: 0,
            budget_microusd: 1_000_000,
            ..Settings::default()
        });
        let worker = story.join(WorkerKind::Coding, 1);
        let attempt = story.code(worker, 1, 1);
        let feature = FeatureId(1);
        match outcome {
            RunOutcome::AllPassing => {
                story.pass(attempt, 1, 'b');
                let attempt = story.code(worker, 2, 1);
                story.pass(attempt, 2, 'c');
            }
            RunOutcome::SomeFailed => {
                story.fail(attempt, 1, 0);
                story.record(FeatureParked {
                    feature,
                    failures: 1,
                });
            }
            RunOutcome::WaitingForPerson => {
                story.record(InputRequested {
                    feature,
                    attempt,
                    question: "Which calendar?".to_owned(),
                });
            }
            RunOutcome::BudgetSpent => {
                let usage = usage();
                story.record(UsageRecorded { attempt, usage });
                story.record(BudgetReached { spent: usage });
                story.pass(attempt, 1, 'b');
            }
        }
        finish(&mut story);
        let found = story
            .state
            .run
            .as_ref()
            .and_then(|run| run.finished.clone());
        assert_eq!(found.map(|(found, _)| found), Some(outcome));
        stories.push((format!("finished: {outcome:?}"), story));
    }
    stories
}
