//! `scheduler why`.

use crewlog::cli::output::Output;
use crewlog::cli::pages::why::{Tails, page};
use crewlog::model::derived_status::DerivedStatus;
use crewlog::model::event::Event;
use crewlog::model::ids::FeatureId;
use crewlog::model::views::{Why, WhyFold};

use crate::kit;
use crate::story::{Story, every_status};

fn why(story: &Story, feature: u32) -> Why {
    let mut fold = WhyFold::new(FeatureId(feature));
    story.events.iter().for_each(|it| fold.event(it));
    let why = fold.answer(&story.state, story.now());
    why.expect("the feature is there")
}

/// The page, with the last lines of the output of every failed check.
fn screen(story: &Story, why: &Why, out: &Output) -> String {
    let failed = story
        .events
        .iter()
        .filter(|it| matches!(it.event, Event::FeatureFailed(_)));
    let tail = [
        "running 12 tests",
        "assertion failed: parse(\"2026-02-30\").is_err()",
    ];
    let tail = tail.map(str::to_owned).to_vec();
    let tails: Tails = failed.map(|it| (it.sequence, tail.clone())).collect();
    page(why, &tails, false, out)
}

#[test]
fn why_of_every_status() {
    let (story, _) = every_status();
    let all: Vec<Why> = (1..=12).map(|feature| why(&story, feature)).collect();
    for status in DerivedStatus::ALL {
        let shown = all.iter().any(|why| why.status == status);
        assert!(shown, "no feature is {}", status.as_str());
    }
    kit::check("why", |out| {
        let screens = all.iter().map(|why| {
            let title = format!("why {} ({})", why.feature.0, why.status.as_str());
            (title, screen(&story, why, out))
        });
        screens.collect()
    });
}
