//! One event, as a line of text or JSON.

use serde::Serialize;

use super::time;
use crate::cli::render::{RenderStyle, whole};
use crate::cli::text::{Style, cell_right};
use crate::cli::zone::utc;
use crate::model::actor::Actor;
use crate::model::event::{Event, Recorded};
use crate::model::views::EventLine;

#[derive(Serialize)]
struct Json<'a> {
    sequence: u64,
    epoch: u64,
    at: u64,
    time: String,
    /// The command's ULID as text, because most JSON readers cannot hold a number of 128 bits.
    cause: String,
    actor: &'a Actor,
    #[serde(flatten)]
    event: &'a Event,
}

/// The event as one line of JSON, without the line end.
pub fn json(recorded: &Recorded) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Json {
        sequence: recorded.sequence.0,
        epoch: recorded.epoch.0,
        at: recorded.at.0,
        time: utc(recorded.at),
        cause: ulid::Ulid(recorded.cause.0).to_string(),
        actor: &recorded.actor,
        event: &recorded.event,
    })
}

/// The event as a line of text: its number, its time, and what happened. In a narrow terminal, a long
/// note takes further lines.
pub fn text(line: &EventLine, style: RenderStyle) -> String {
    let number = cell_right(&line.sequence.to_string(), 6);
    let prefix = format!("{number} {} ", time(line.at));
    let margin = prefix.len();
    let width = style.width.map(|width| width.saturating_sub(margin));
    let prefix = style.palette.palette(Style::Faint, &prefix);
    prefix + &whole(line, RenderStyle { width, ..style }, margin)
}
