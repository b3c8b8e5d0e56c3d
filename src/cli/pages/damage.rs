//! What is wrong with a log, for people.

use super::time;
use crate::cli::text::clean;
use crate::queue::repair::Findings;
use crate::queue::{LostText, Text};

/// Dropped events that are shown one by one; the others are counted.
const SHOWN_MAX: usize = 20;

/// One line.
pub fn what(findings: &Findings) -> String {
    match &findings.bad {
        Some((sequence, _)) => {
            format!("the log is damaged: event {sequence} is the first bad one")
        }
        None if findings.engine.is_some() => {
            "the log's files are damaged, and every event can still be read".to_owned()
        }
        None if !findings.foreign_snapshots.is_empty() => {
            "there are snapshots of what is not in the log".to_owned()
        }
        None => "texts are not as they were written; every event is there".to_owned(),
    }
}

/// The reasons, a line each.
pub fn why(findings: &Findings) -> Vec<String> {
    let head = findings.head().sequence;
    let mut lines = Vec::new();
    if let Some((sequence, why)) = &findings.bad {
        lines.push(format!("event {sequence}: {why}"));
    }
    lines.push(match head.0 {
        0 => "no event is proven to be as it was written".to_owned(),
        1 => "event 1 is as it was written".to_owned(),
        _ => format!("events 1 to {head} are as they were written"),
    });
    if findings.bad.is_some() {
        lines.push(match findings.salvage.unlinked_events() {
            0 => "no event after it can be read".to_owned(),
            1 => "one event after it can be read, and nothing proves what it follows".to_owned(),
            count => {
                format!("{count} events after it can be read, and nothing proves what they follow")
            }
        });
        if findings.known > head {
            lines.push(format!(
                "the log is known to have reached event {}; whether it went on is not known",
                findings.known
            ));
        }
    }
    if let Some(engine) = &findings.engine {
        lines.push(format!("as it stands: {}", clean(engine)));
    }
    lines
}

/// The events that a repair would drop, a line each, as far as they read.
pub fn dropped(findings: &Findings) -> Vec<String> {
    let count = findings.salvage.unlinked_events();
    let shown = findings.salvage.first_unlinked(SHOWN_MAX);
    let mut lines: Vec<String> = shown
        .iter()
        .map(|recorded| {
            let (sequence, name) = (recorded.sequence, recorded.event.name());
            format!("{sequence} {} {name}", time(recorded.at))
        })
        .collect();
    if count > lines.len() {
        lines.push(format!("and {} more", count - lines.len()));
    }
    lines
}

/// The texts that are missing or altered, a line each; `count` is how many there are.
pub fn lost(lost: &[LostText], count: u64) -> Vec<String> {
    let mut lines: Vec<String> = lost.iter().take(SHOWN_MAX).map(text).collect();
    let more = count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more; `--format json` has up to 1,000"));
    }
    lines
}

fn text(lost: &LostText) -> String {
    let what = match lost.what {
        Text::Body(name) => format!("the text of event {} ({name})", lost.event),
        Text::Output {
            feature,
            attempt,
            check,
        } => format!(
            "output of check {check} of feature {feature} (attempt {attempt}, event {})",
            lost.event
        ),
    };
    let how = if lost.altered { "altered" } else { "missing" };
    format!("{what}: {how}, content {}", lost.content)
}

/// The same for a script.
pub fn lost_json(lost: &[LostText]) -> Vec<serde_json::Value> {
    let each = lost.iter().map(|lost| {
        let (event, altered) = (lost.event, lost.altered);
        let content = lost.content.to_string();
        match lost.what {
            Text::Body(name) => serde_json::json!({
                "event": event, "content": content, "altered": altered,
                "text": "body", "type": name,
            }),
            Text::Output {
                feature,
                attempt,
                check,
            } => serde_json::json!({
                "event": event, "content": content, "altered": altered,
                "text": "output", "feature": feature, "attempt": attempt, "check": check,
            }),
        }
    });
    each.collect()
}
