//! What `run` and `demo` print at their end.

use crewlog::cli::engine::Ended;
use crewlog::cli::exit::ExitCode;
use crewlog::cli::output::Output;
use crewlog::cli::pages::end;
use crewlog::model::command::Command;
use crewlog::model::event::*;
use crewlog::model::evidence::FailureKind;
use crewlog::model::ids::FeatureId;
use crewlog::model::plan::{Crash, Entropy, WorkerWait, World, plan};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::trouble::TroubleKind;
use crewlog::scheduler::Ending;

use crate::kit::{self, Screen};
use crate::report::report;
use crate::status::{finished, refusing, trouble};
use crate::story::Story;

/// Not used: no test is drawn at an end.
struct NoEntropy;

impl Entropy for NoEntropy {
    fn next(&mut self) -> u64 {
        panic!("nothing is drawn")
    }
}

/// One feature that is ready, and nobody who works on it.
fn waiting() -> Story {
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.begin(Settings::default());
    story
}

/// One feature that passes, but not at the head.
fn unverified() -> Story {
    let mut story = waiting();
    let worker = story.join(WorkerKind::Coding, 1);
    let attempt = story.code(worker, 1, 1);
    story.pass(attempt, 1, 'b');
    let head = crate::story::commit('e');
    story.record(HeadMoved { head });
    story
}

fn missing(kind: WorkerKind) -> World {
    let wait = WorkerWait {
        waited_ms: 120_000,
        gone: true,
    };
    World {
        missing_workers: [(kind, wait)].into(),
        ..World::default()
    }
}

fn crashing(said: &str) -> World {
    let crash = Crash {
        failures: 5,
        how: "exit code 1".to_owned(),
        said: said.to_owned(),
    };
    World {
        crashing: [(WorkerKind::Coding, crash)].into(),
        ..World::default()
    }
}

fn troubled() -> Story {
    let mut story = waiting();
    let worker = story.join(WorkerKind::Coding, 1);
    let attempt = story.code(worker, 1, 1);
    trouble(&mut story, attempt, TroubleKind::Disk);
    let reason = "a problem of the machine".to_owned();
    story.record(AttemptReleased {
        attempt,
        reason: reason.into(),
        detail: String::new(),
    });
    story
}

fn failing() -> Story {
    let mut story = waiting();
    let worker = story.join(WorkerKind::Coding, 1);
    let attempt = story.code(worker, 1, 1);
    story.record(ProviderLimited {
        profile: Default::default(),
        attempt,
        kind: FailureKind::Trouble(TroubleKind::Agent),
        until: story.now().plus_ms(1_000),
        reason: "the agent has no mode \"yolo\"; it offers: default, plan".to_owned(),
    });
    let reason = "a problem of the agent".to_owned();
    story.record(AttemptReleased {
        attempt,
        reason: reason.into(),
        detail: String::new(),
    });
    story
}

fn unproven() -> Story {
    let mut story = unverified();
    let worker = story.join(WorkerKind::Testing, 2);
    for _ in 0..3 {
        let attempt = story.test(worker, 1, true);
        story.unsure(attempt, 1);
    }
    story
}

fn empty() -> Story {
    let mut story = Story::default();
    story.begin(Settings::default());
    story
}

fn skipped() -> Story {
    let mut story = waiting();
    let (feature, reason) = (FeatureId(1), String::new());
    story.record(FeatureSkipped { feature, reason });
    story
}

/// Ends that the plan decides on, and what it knows of the world then.
fn planned() -> Vec<(&'static str, Story, World)> {
    let troubled_ms = Some(120_000);
    let stuck = World {
        troubled_ms,
        ..World::default()
    };
    let agents_fail = stuck.clone();
    let said = "error: the agent's program is not a program";
    vec![
        ("no coding worker", waiting(), missing(WorkerKind::Coding)),
        (
            "no testing worker",
            unverified(),
            missing(WorkerKind::Testing),
        ),
        ("workers that fail", waiting(), crashing(said)),
        ("silent workers that fail", waiting(), crashing("")),
        ("a full disk", troubled(), stuck),
        ("an agent that never works", failing(), agents_fail),
        ("a provider that refuses", refusing(), World::default()),
        ("without a verdict", unproven(), World::default()),
        ("an empty backlog", empty(), World::default()),
        ("everything skipped", skipped(), World::default()),
    ]
}

fn finish(story: &mut Story, world: &World) -> RunOutcome {
    let wish = plan(&story.state, story.now(), world, &mut NoEntropy);
    let Some(Command::FinishRun { outcome, reason }) = wish.command else {
        panic!("no end: {wish:?}")
    };
    story.record(RunFinished { outcome, reason });
    outcome
}

fn screen(title: &str, ended: &Ended, out: &Output) -> Screen {
    let title = format!("run, {title}, exit {}", ended.code().code());
    (title, end::run(&ended.report, ended.reason(), out))
}

fn ended(ending: Ending, story: &Story) -> Ended {
    Ended {
        ending,
        state: story.state.clone(),
        report: report(story),
    }
}

#[test]
fn ends() {
    let program = ("scheduler", "/tmp/crewlog-demo");
    kit::check("ends", |out| {
        let mut screens = Vec::new();
        let mut codes = Vec::new();
        for (title, story) in finished() {
            let run = story
                .state
                .run
                .as_ref()
                .and_then(|run| run.finished.clone());
            let (outcome, reason) = run.expect("it is over");
            let ended = ended(Ending::Finished(outcome), &story);
            codes.push(ended.code());
            screens.push(screen(&title, &ended, out));
            let text = end::demo(&report(&story), &reason, program, out);
            screens.push((format!("demo, {title}"), text));
        }
        use ExitCode::*;
        assert_eq!(codes, [Passing, SomeFailed, WaitingForPerson, BudgetSpent]);
        for (title, mut story, world) in planned() {
            let outcome = finish(&mut story, &world);
            screens.push(screen(
                title,
                &ended(Ending::Finished(outcome), &story),
                out,
            ));
        }
        let code = ended(Ending::Interrupted, &waiting()).code();
        assert_eq!(code, Interrupted);
        let text = end::run(&report(&waiting()), end::INTERRUPTED, out);
        screens.push((format!("run, interrupted, exit {}", code.code()), text));
        screens
    });
}
