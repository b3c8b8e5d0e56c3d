//! `scheduler report`: a night with one of everything, as text and as Markdown.

use crewlog::cli::output::Output;
use crewlog::cli::pages::report::{markdown, page};
use crewlog::model::end_reason::EndReason;
use crewlog::model::event::*;
use crewlog::model::ids::{AttemptId, Timestamp};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::model::trouble::TroubleKind;
use crewlog::model::views::Report;
use crewlog::model::views::report::{Begin, ReportFold};

use crate::kit::{self, Screen};
use crate::status::{finished, refusing, trouble};
use crate::story::{Story, every_status, usage};

pub fn report(story: &Story) -> Report {
    let mut fold = ReportFold::new(Begin::Time(Timestamp(0)));
    let begin = story.events.first().map_or(0, |event| event.at.0);
    if begin > 0 {
        fold = ReportFold::new(Begin::Time(Timestamp(begin)));
    }
    story.events.iter().for_each(|event| fold.event(event));
    fold.report(&story.state, None)
}

/// Every status, and attempts that were lost, given back and paid for.
fn night() -> Story {
    let (mut story, workers) = every_status();
    let attempts: Vec<AttemptId> = story.state.attempts().keys().copied().collect();
    for &attempt in &attempts {
        let usage = usage();
        story.record(UsageRecorded { attempt, usage });
    }
    let back = story.code(workers.one, 7, 1);
    let usage = usage();
    story.record(UsageRecorded {
        attempt: back,
        usage,
    });
    story.record(AttemptReleased {
        attempt: back,
        reason: EndReason::ProviderLimited,
        detail: String::new(),
    });
    let lost = story.code(workers.one, 7, 1);
    story.record(UsageRecorded {
        attempt: lost,
        usage,
    });
    story.record(AttemptLost {
        attempt: lost,
        reason: EndReason::WorkerDied,
    });
    story
}

/// Everything that holds up a run as a whole.
fn held() -> Story {
    let mut story = Story::default();
    story.add(1, "parse dates", &[]);
    story.begin(Settings::default());
    let worker = story.join(WorkerKind::Coding, 1);
    let attempt = story.code(worker, 1, 1);
    trouble(&mut story, attempt, TroubleKind::Disk);
    story.record(AttemptReleased {
        attempt,
        reason: EndReason::Trouble(TroubleKind::Disk),
        detail: String::new(),
    });
    let at = "/home/ann/project".to_owned();
    story.record(MergesHeld { at });
    let reason = "lunch".to_owned();
    story.record(RunPaused { reason });
    story
}

fn nights() -> Vec<(String, Story)> {
    let mut nights = vec![
        ("one of everything".to_owned(), night()),
        ("held up".to_owned(), held()),
        ("a provider that waits for a person".to_owned(), refusing()),
        ("before the first run".to_owned(), Story::default()),
    ];
    nights.extend(finished());
    nights
}

#[test]
fn text() {
    kit::check("report", |out: &Output| {
        let screens = nights().into_iter().map(|(title, story)| -> Screen {
            (format!("report, {title}"), page(&report(&story), out))
        });
        screens.collect()
    });
}

/// Markdown has no width.
#[test]
fn as_markdown() {
    let pages = nights().into_iter().map(|(title, story)| {
        let page = markdown::page(&report(&story));
        format!("======== {title}\n{page}")
    });
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let pages = pages.collect::<Vec<_>>().join("\n");
    settings.bind(|| insta::assert_snapshot!("report-markdown", pages));
}
