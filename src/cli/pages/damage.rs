//! What is wrong with a log, for people.

use super::time;
use crate::cli::text::clean;
use crate::queue::repair::Findings;

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
        None => "there are snapshots of what is not in the log".to_owned(),
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
        lines.push(match findings.salvage.strays() {
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
    let count = findings.salvage.strays();
    let shown = findings.salvage.first_strays(SHOWN_MAX);
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
