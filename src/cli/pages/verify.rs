//! What `verify` prints about a log that can be read to its end.

use serde::Serialize;

use super::{Page, damage};
use crate::cli::output::Output;
use crate::cli::text::{Style, clean};
use crate::model::ids::Sequence;
use crate::queue::{LostText, Verified};

/// Columns before the text of a row.
const TEXT_COLUMN: usize = 12;

/// The result of a log that can be read to its end.
pub struct Proven {
    /// The events and the texts that they name.
    pub events: Verified,
    /// The snapshots, compared with the events.
    pub snapshots: Snapshots,
    /// Events that the rules forbid where they stand, the first few, a sentence each.
    pub unlawful: Vec<String>,
}

/// What `verify` found out about the snapshots.
#[derive(Serialize)]
pub struct Snapshots {
    /// Events of the snapshots that lead to the same state.
    pub agree: Vec<Sequence>,
    /// Snapshots that are not used, and why. Snapshots only save time.
    pub unused: Vec<String>,
}

impl Proven {
    /// Whether an event or a text is not what was written.
    pub fn has_damage(&self) -> bool {
        self.events.lost.iter().any(LostText::is_damage)
    }

    /// What the person can do; `None` if nothing is wrong.
    pub fn next(&self) -> Option<&'static str> {
        if !self.unlawful.is_empty() {
            return Some(
                "next: no rule of Crewlog causes such an event; please report this bug, with the output of `scheduler export`",
            );
        }
        let altered = self.events.lost.iter().any(|lost| lost.altered);
        self.has_damage().then_some(match altered {
            true => "next: `scheduler repair` moves the altered files away and keeps every event",
            false => "next: restore the files from a backup if you have one; every event is kept",
        })
    }

    /// The result for programs.
    pub fn json(&self) -> serde_json::Value {
        let verified = &self.events;
        serde_json::json!({
            "events": verified.events,
            "head": verified.head.sequence,
            "hash": verified.head.hash.to_string(),
            "long_bodies": verified.long_bodies,
            "outputs": verified.outputs,
            "outputs_missing": verified.outputs_missing,
            "lost": damage::lost_json(&verified.lost),
            "lost_count": verified.lost_count,
            "snapshots": self.snapshots,
            "unlawful": self.unlawful,
        })
    }
}

/// The result as text.
pub fn page(proven: &Proven, out: &Output) -> String {
    let (verified, snapshots) = (&proven.events, &proven.snapshots);
    let mut page = Page::new(out);
    let events = counted(verified.events, "event", "events");
    let first = if proven.has_damage() {
        let texts = counted(verified.lost_count, "text is", "texts are");
        format!("every event is verified: {events}; {texts} missing or altered")
    } else if !proven.unlawful.is_empty() {
        format!("every event is verified: {events}, but the rules forbid some of them")
    } else {
        format!("the log is complete: {events}, all verified")
    };
    page.wrapped(2, &[(Style::Plain, &first)]);
    let mut row = |label: &str, text: &str| {
        let text = format!("  {label:<9} {}", clean(text));
        page.wrapped(TEXT_COLUMN, &[(Style::Plain, &text)]);
    };
    row("head", &verified.head.hash.to_string());
    let outputs = counted(verified.outputs, "output of a check", "outputs of checks");
    let bodies = counted(verified.long_bodies, "long event", "long events");
    row("files", &format!("{outputs}, {bodies}, all verified"));
    if verified.outputs_missing > 0 {
        let missing = verified.outputs_missing;
        let missing = counted(missing, "output of a check", "outputs of checks");
        row("missing", &format!("{missing}; no work is lost"));
    }
    for line in damage::lost(&verified.lost, verified.lost_count) {
        row("lost", &line);
    }
    for line in &proven.unlawful {
        row("unlawful", line);
    }
    for sequence in &snapshots.agree {
        let text = format!("of event {sequence}: agrees with the log");
        row("snapshot", &text);
    }
    for note in &snapshots.unused {
        row("snapshot", &format!("{note}; not used"));
    }
    page.end()
}

fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}
