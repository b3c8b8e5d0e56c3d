//! `scheduler log`.

use std::collections::BTreeSet;

use crewlog::cli::output::Output;
use crewlog::cli::pages::event::text;
use crewlog::cli::render::RenderStyle;
use crewlog::cli::text::Palette;
use crewlog::model::branch::NamedCommit;
use crewlog::model::end_reason::EndReason;
use crewlog::model::event::*;
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::*;
use crewlog::model::profile::Profiles;
use crewlog::model::settings::Settings;
use crewlog::model::trouble::TroubleKind;
use crewlog::model::views::Timeline;

use crate::kit::{self, Screen, every};
use crate::status::{finished, trouble};
use crate::story::{Story, commit, every_status, evidence, failure, person, usage};

fn lines(story: &Story, out: &Output) -> String {
    let style = RenderStyle {
        palette: Palette { color: out.color },
        width: out.width,
        name_columns: 32,
    };
    let mut timeline = Timeline::default();
    let lines = story
        .events
        .iter()
        .map(|it| text(&timeline.describe(it), style));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every kind of event at least once.
fn everything() -> Story {
    let (mut story, workers) = every_status();
    let open: Vec<AttemptId> = story.state.attempts().keys().copied().collect();
    let [coding, testing] = open[..] else {
        panic!("two attempts are open")
    };
    backlog(&mut story);
    story.record(AttemptNoted {
        attempt: coding,
        note: "the agent left a process running, which was ended".to_owned(),
    });
    let reason = EndReason::FeatureSkipped;
    let attempt = coding;
    story.record(MergeAborted {
        attempt,
        head: commit('e'),
    });
    story.by(person(), JobCancelled { attempt, reason });
    let reason = EndReason::WorkerDied;
    story.record(AttemptLost {
        attempt,
        reason: reason.clone(),
    });
    let report = "mergeable".to_owned();
    story.record(LateResultIgnored { attempt, report });
    let worker = workers.one;
    story.record(WorkerLeft { worker, reason });
    story.record(TestPassed {
        feature: FeatureId(1),
        attempt: testing,
        evidence: evidence('e'),
    });
    machine(&mut story, workers.two);
    people(&mut story);
    let reason = "all 9 features pass".to_owned();
    let outcome = RunOutcome::AllPassing;
    story.record(RunFinished { outcome, reason });
    story
}

fn backlog(story: &mut Story) {
    let feature = FeatureId(9);
    let spec = FeatureSpec {
        name: "manual pages".to_owned(),
        ..FeatureSpec::default()
    };
    story.by(person(), FeatureEdited { feature, spec });
    let depends_on = vec![FeatureId(7)];
    story.by(
        person(),
        DependenciesSet {
            feature,
            depends_on,
        },
    );
}

fn machine(story: &mut Story, worker: WorkerId) {
    let attempt = story.code(worker, 7, 1);
    trouble(story, attempt, TroubleKind::Disk);
    let reason = EndReason::Trouble(TroubleKind::Disk);
    story.record(AttemptReleased {
        attempt,
        reason,
        detail: String::new(),
    });
    let attempt = story.code(worker, 7, 1);
    story.record(CrewRecovered { attempt });
    story.record(ProviderLimited {
        profile: "claude".into(),
        attempt,
        kind: FailureKind::ProviderLimited,
        until: story.now().plus_ms(754_000),
        reason: "429: the usage limit of this hour is reached".to_owned(),
    });
    story.record(ProfileRecovered {
        attempt,
        profile: "claude".into(),
    });
    story.record(BudgetReached { spent: usage() });
    story.record(ClockJumped { by_ms: 5_000_000 });
    let named = |digit, words: &str| NamedCommit::new(commit(digit), "Ann", words);
    story.record(BranchMoved {
        from: commit('e'),
        to: commit('9'),
        added: vec![named('9', "Raise the version")],
        added_total: 1,
        lost: vec![named('d', "format dates")],
        lost_total: 1,
    });
    let (feature, commit) = (FeatureId(2), commit('d'));
    story.record(WorkLost { feature, commit });
    for at in ["/home/ann/project", ""] {
        let at = at.to_owned();
        story.record(MergesHeld { at });
    }
    story.record(ProfilesSet {
        profiles: Profiles {
            coding: vec!["claude".into(), "codex".into()],
            testing: vec!["codex".into()],
        },
    });
    story.record(ConfigRecorded {
        content: ContentHash([1; 32]),
        changes: Vec::new(),
        changes_total: 0,
    });
}

fn people(story: &mut Story) {
    let settings = Settings {
        max_concurrency: 5,
        ..Settings::default()
    };
    story.by(person(), SettingsChanged { settings });
    let reason = "lunch".to_owned();
    story.by(person(), RunPaused { reason });
    story.by(person(), RunResumed {});
    let feature = FeatureId(4);
    let answer = "TOML".to_owned();
    story.by(person(), InputAnswered { feature, answer });
    let feature = FeatureId(5);
    story.by(person(), RetryRequested { feature });
    story.record(CommandRefused {
        attempt: None,
        command: "skip #9".to_owned(),
        reason: "agents cannot control the run".to_owned(),
    });
}

/// A failure of every kind.
fn failures() -> Story {
    use FailureKind::*;
    let kinds = kit::every!(FailureKind {
        CheckFailed => CheckFailed,
        AgentGaveUp => AgentGaveUp,
        Conflict => Conflict,
        IdleLimit => IdleLimit,
        TimeLimit => TimeLimit,
        StepLimit => StepLimit,
        AgentCrashed => AgentCrashed,
        NoTerminalEvent => NoTerminalEvent,
        ContextOverflow => ContextOverflow,
        TurnOrBudgetCap => TurnOrBudgetCap,
        Refused => Refused,
        ProviderLimited => ProviderLimited,
        ProviderRefused => ProviderRefused,
        HookFailed => HookFailed,
        Setup => Setup,
        Trouble(_) => Trouble(TroubleKind::Other),
        QuotaExhausted => QuotaExhausted,
    });
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.begin(Settings::default());
    let worker = story.join(crewlog::model::settings::WorkerKind::Coding, 1);
    for (number, kind) in (1..).zip(kinds) {
        let attempt = story.code(worker, 1, number);
        story.record(FeatureFailed {
            feature: FeatureId(1),
            attempt,
            failure: failure(kind),
            not_before: Timestamp(0),
        });
    }
    for kind in TroubleKind::ALL {
        let attempt = story.code(worker, 1, 1);
        trouble(&mut story, attempt, kind);
        let reason = EndReason::Trouble(kind);
        story.record(AttemptReleased {
            attempt,
            reason,
            detail: String::new(),
        });
    }
    story
}

/// An attempt for each reason for which it may end without a verdict.
fn reasons() -> Story {
    use EndReason::*;
    let seconds = 750;
    let all = every!(EndReason {
        Other(_) => Other("the words of an earlier version".to_owned()),
        FeatureEdited => FeatureEdited,
        FeatureRemoved => FeatureRemoved,
        FeatureSkipped => FeatureSkipped,
        WorkerDied => WorkerDied,
        WorkerUnknown => WorkerUnknown,
        WorkerSilent { .. } => WorkerSilent { seconds },
        Disconnected { .. } => Disconnected { seconds },
        TimeLimit { .. } => TimeLimit { seconds },
        InvalidReport(_) => InvalidReport("tested".to_owned()),
        SchedulerEnding => SchedulerEnding,
        SchedulerStopped => SchedulerStopped,
        RunOver => RunOver,
        GitFailed => GitFailed,
        ProviderLimited => ProviderLimited,
        OtherFeatureFailed => OtherFeatureFailed,
        OtherFeatureAsks => OtherFeatureAsks,
        InvalidQuestion => InvalidQuestion,
        FeatureChanged => FeatureChanged,
        WorkerEnding => WorkerEnding,
        WorkerStopped => WorkerStopped,
        NoScheduler => NoScheduler,
        InvalidJob => InvalidJob,
        OwnerDied => OwnerDied,
        NothingToRebase => NothingToRebase,
        Trouble(_) => Trouble(TroubleKind::Memory),
    });
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.begin(Settings::default());
    let worker = story.join(crewlog::model::settings::WorkerKind::Coding, 1);
    for reason in all {
        let attempt = story.code(worker, 1, 1);
        let detail = match reason {
            ProviderLimited => "429: the usage limit of this hour is reached",
            _ => "",
        };
        story.record(AttemptReleased {
            attempt,
            reason,
            detail: detail.to_owned(),
        });
    }
    story
}

#[test]
fn log() {
    kit::check("log", |out| {
        let mut screens: Vec<Screen> = vec![
            ("every kind of event".to_owned(), lines(&everything(), out)),
            ("every failure".to_owned(), lines(&failures(), out)),
            (
                "every end without a verdict".to_owned(),
                lines(&reasons(), out),
            ),
        ];
        let ends = finished().into_iter();
        screens.extend(ends.map(|(title, story)| (title, lines(&story, out))));
        screens
    });
}

/// However narrow the terminal is, no line is wider, and nothing panics.
#[test]
fn narrow_terminals() {
    let story = everything();
    for columns in 20..100 {
        let text = lines(&story, &kit::output(columns, false));
        // Number and time are always whole.
        kit::assert_fits("log", &text, columns.max(28));
    }
}

#[test]
fn every_kind_of_event_has_a_line() {
    let story = everything();
    let mut timeline = Timeline::default();
    let mut seen = BTreeSet::new();
    for recorded in &story.events {
        let name = recorded.event.name();
        let line = timeline.describe(recorded);
        assert_ne!(line.note, name, "an event without a description");
        seen.insert(name);
    }
    let all: BTreeSet<&str> = Event::KINDS.iter().map(|(_, name)| *name).collect();
    assert_eq!(seen, all, "an event is missing in the story");
}
