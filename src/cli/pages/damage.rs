//! Text about a damaged log.

use super::time;
use crate::cli::text::clean;
use crate::queue::repair::Findings;
use crate::queue::{LostText, Text};

/// Dropped events that are listed; the rest is only counted.
const SHOWN_MAX: usize = 20;

/// What to do about a damaged log.
pub const NEXT: &str = "`scheduler repair` shows what it would keep; it deletes nothing";

/// What is damaged, in one line.
pub fn what(findings: &Findings) -> String {
    match &findings.bad {
        Some((sequence, _)) => {
            format!("the log is damaged: event {sequence} is the first bad one")
        }
        None if findings.engine.is_some() => {
            "the log's files are damaged, but every event can still be read".to_owned()
        }
        None if !findings.foreign_snapshots.is_empty() => {
            "there are snapshots of events that the log does not have".to_owned()
        }
        None => "texts were altered or are missing; every event is verified".to_owned(),
    }
}

/// Why the log counts as damaged, one line per reason.
pub fn why(findings: &Findings) -> Vec<String> {
    let head = findings.head().sequence;
    let mut lines = Vec::new();
    if let Some((sequence, why)) = &findings.bad {
        lines.push(format!("event {sequence}: {why}"));
    }
    lines.push(match head.0 {
        0 => "no event is verified".to_owned(),
        1 => "event 1 is verified".to_owned(),
        _ => format!("events 1 to {head} are verified"),
    });
    if findings.bad.is_some() {
        lines.push(match findings.salvage.unlinked_events() {
            0 => "no event after it can be read".to_owned(),
            1 => "one event after it can be read, but not verified, because it no longer follows a verified one".to_owned(),
            count => {
                format!("{count} events after it can be read, but not verified, because they no longer follow a verified one")
            }
        });
        if findings.known > head {
            lines.push(format!("the log had at least {} events", findings.known));
        }
    }
    if let Some(engine) = &findings.engine {
        lines.push(format!("when opened: {}", clean(engine)));
    }
    lines
}

/// The events that a repair would drop and that can be read, one line each.
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

/// The missing or altered texts, one line each. `lost` may be only the first of `count`.
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

/// The missing or altered texts as JSON.
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
