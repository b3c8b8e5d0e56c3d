//! The progress of `run`: permanent lines, and below them the lines that are redrawn.

use crewlog::cli::output::Output;
use crewlog::cli::progress::render::{Load, lines, news, totals};
use crewlog::cli::progress::view::View;
use crewlog::cli::render::RenderStyle;
use crewlog::cli::text::Palette;
use crewlog::model::end_reason::EndReason;
use crewlog::model::event::*;
use crewlog::model::ids::{AttemptId, FeatureId, Timestamp};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::trouble::TroubleKind;
use crewlog::protocol::{Live, LiveAttempt, MissingWorkers, Phase};

use crate::kit::{self, Screen};
use crate::status::trouble;
use crate::story::{Story, every_status, evidence, usage};

/// A busy machine with four processors.
const LOAD: Load = Load {
    one_minute: 3.25,
    processors: 4,
};

/// Everything that a run shows until its last event.
fn screen(title: &str, story: &Story, live: &Live, rows: usize, out: &Output) -> Screen {
    let mut view = View::default();
    let style = |view: &View| RenderStyle {
        palette: Palette { color: out.color },
        width: out.width,
        name_columns: view.name_columns,
    };
    let mut text = String::new();
    for recorded in &story.events {
        if let Some(line) = view.news(recorded, true) {
            text += &(news(line, style(&view)) + "\n");
        }
    }
    view.live(live);
    view.missing_workers.clone_from(&live.missing_workers);
    let now = view.steady(story.now());
    let redrawn = lines(&view, now, Some(LOAD), rows, style(&view));
    text += &redrawn.join("\n");
    (title.to_owned(), text)
}

/// What the scheduler says about the story's open attempts.
fn live(story: &Story) -> Live {
    let phases = [
        (Phase::Session, "running: cargo test --test zones", 6_000),
        (Phase::Checking, "", 0),
    ];
    let attempts = story.state.attempts().keys().zip(phases);
    let attempts = attempts.map(|(attempt, (phase, activity, ago))| LiveAttempt {
        attempt: *attempt,
        feature: FeatureId(1),
        worker: String::new(),
        phase: Some(phase),
        activity: activity.to_owned(),
        active_at: Timestamp(story.now().0 - ago),
        connected: true,
    });
    Live {
        attempts: attempts.collect(),
        ..Live::default()
    }
}

/// Two coding workers, and tests that pass.
fn testing() -> Story {
    let (mut story, workers) = every_status();
    let open: Vec<AttemptId> = story.state.attempts().keys().copied().collect();
    let test = *open.last().expect("a test");
    for attempt in [Some(test), None, None] {
        let attempt = attempt.unwrap_or_else(|| story.test(workers.testing, 1, false));
        story.record(TestPassed {
            feature: FeatureId(1),
            attempt,
            evidence: evidence('e'),
        });
    }
    story.test(workers.testing, 1, false);
    story
}

/// The disk is full, the branch is checked out, and the person has paused the run.
fn held() -> Story {
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.add(2, "format dates", &[1]);
    story.begin(Settings::default());
    let worker = story.join(WorkerKind::Coding, 1);
    let attempt = story.code(worker, 1, 1);
    trouble(&mut story, attempt, TroubleKind::Disk);
    story.record(AttemptReleased {
        attempt,
        reason: EndReason::Other("a problem of the machine".to_owned()),
        detail: String::new(),
    });
    let at = "/home/ann/project".to_owned();
    story.record(MergesHeld { at });
    let reason = "lunch".to_owned();
    story.record(RunPaused { reason });
    story
}

/// An attempt whose worker is not connected, and one that has just begun.
fn disconnected() -> (Story, Live) {
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.add(
        2,
        "completions for bash, zsh and fish, generated from the arguments",
        &[],
    );
    story.begin(Settings::default());
    let one = story.join(WorkerKind::Coding, 1);
    let two = story.join(WorkerKind::Coding, 2);
    let attempt = story.code(one, 1, 1);
    let usage = usage();
    story.record(UsageRecorded { attempt, usage });
    story.code(two, 2, 1);
    let mut live = live(&story);
    live.attempts.truncate(1);
    live.attempts[0].connected = false;
    live.draining = true;
    live.missing_workers = vec![MissingWorkers {
        kind: WorkerKind::Testing,
        ends_in_ms: Some(119_000),
    }];
    (story, live)
}

#[test]
fn progress() {
    kit::check("progress", |out| {
        let (busy, _) = every_status();
        let testing = testing();
        let (disconnected, missing) = disconnected();
        let none = Live::default();
        let mut screens = vec![
            screen("every outcome", &busy, &live(&busy), 10, out),
            screen(
                "passed tests are counted",
                &testing,
                &live(&testing),
                10,
                out,
            ),
            screen("more attempts than rows", &busy, &live(&busy), 1, out),
            screen("the run is held up", &held(), &none, 10, out),
            screen("workers are missing", &disconnected, &missing, 10, out),
        ];
        let mut view = View::default();
        for recorded in &busy.events {
            view.event(recorded);
        }
        let style = RenderStyle {
            palette: Palette { color: out.color },
            width: out.width,
            name_columns: view.name_columns,
        };
        let now = view.steady(busy.now());
        let counter = totals(&view, now, Some(LOAD), style).join("\n");
        screens.push(("--progress counter".to_owned(), counter));
        screens
    });
}
