//! `scheduler show`.

use crewlog::cli::output::Output;
use crewlog::cli::pages::{attempt, feature};
use crewlog::cli::transcript::{Kind, Piece};
use crewlog::model::event::Event;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{AttemptId, FeatureId};
use crewlog::model::views::{AttemptFold, feature_text};

use crate::kit::{self, Screen};
use crate::story::{Story, every_status};

fn transcript() -> Vec<Piece> {
    let kinds = kit::every!(Kind {
        Kind::Prompt => Kind::Prompt,
        Kind::Agent => Kind::Agent,
        Kind::Thought => Kind::Thought,
        Kind::Tool => Kind::Tool,
        Kind::Output => Kind::Output,
        Kind::Failed => Kind::Failed,
        Kind::Denied => Kind::Denied,
        Kind::Plan => Kind::Plan,
        Kind::Limit => Kind::Limit,
        Kind::Complaint => Kind::Complaint,
        Kind::End => Kind::End,
        Kind::Note => Kind::Note,
    });
    let pieces = (0..).zip(kinds).map(|(at, kind)| {
        let line = "The words of an agent or a program, longer than a terminal of eighty columns is wide.\n";
        let lines = if kind == Kind::Output { 15 } else { 2 };
        Piece {
            at_ms: at * 61_500,
            kind,
            text: line.repeat(lines),
        }
    });
    pieces.collect()
}

fn page_of(story: &Story, id: AttemptId, preserved: Option<&str>, out: &Output) -> Screen {
    let mut fold = AttemptFold::new(id);
    story.events.iter().for_each(|it| fold.event(it));
    let timeline = fold.answer().expect("it started");
    (
        format!("show {id}"),
        attempt::page(&timeline, preserved, out),
    )
}

#[test]
fn show() {
    let (mut story, _) = every_status();
    let spec = FeatureSpec {
        name: "durations".to_owned(),
        category: "core".to_owned(),
        priority: 5,
        description: "Parse durations such as `1h30m`, `45s` and `2d`, and print them in the two largest units.\n\nNegative ones are errors.".to_owned(),
        steps: vec!["Write the parser, with a table of the units and what each of them is in seconds.".to_owned()],
        checks: vec!["cargo test --package durations --test parsing -- --exact units negative overflow empty".to_owned()],
        depends_on: vec![FeatureId(1), FeatureId(9)],
    };
    let feature = FeatureId(13);
    story.record(crewlog::model::event::FeatureAdded { feature, spec });
    let started = story
        .events
        .iter()
        .filter(|it| matches!(it.event, Event::AttemptStarted(_)));
    let started: Vec<AttemptId> = started.map(|it| AttemptId(it.sequence.0)).collect();
    kit::check("show", |out| {
        let mut screens = Vec::new();
        for feature in [1, 10, 13] {
            let text = feature_text(&story.state, FeatureId(feature), story.now());
            let text = text.expect("it is there");
            screens.push((format!("show {feature}"), feature::page(&text, out)));
        }
        // A failed attempt, a merged one, and one that is open.
        screens.push(page_of(&story, started[0], Some("refs/crewlog/a17"), out));
        screens.push(page_of(&story, started[1], None, out));
        let last = started[started.len() - 2];
        screens.push(page_of(&story, last, None, out));
        let pieces = transcript();
        let text: String = pieces
            .iter()
            .map(|piece| attempt::piece(piece, out))
            .collect();
        screens.push(("a transcript".to_owned(), text));
        screens
    });
}
