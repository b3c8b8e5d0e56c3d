//! Renders a run's view as text, without a terminal or clock.

use super::view::{Active, View};
use crate::cli::pages;
use crate::cli::render::{RenderStyle, Row, subject};
use crate::cli::text::{Style, cell, cell_right, clean};
use crate::model::format;
use crate::model::ids::Timestamp;
use crate::model::settings::WorkerKind;
use crate::protocol::Phase;

/// Milliseconds of an agent's silence after which the line shows it.
const SILENT_MS: u64 = 5_000;
/// Terminal columns of the bar before the totals.
const BAR_COLUMNS: usize = 20;

/// The redrawn lines: one per open attempt, at most `rows`, and the totals.
pub fn lines(
    view: &View,
    now: Timestamp,
    load: Option<Load>,
    rows: usize,
    style: RenderStyle,
) -> Vec<String> {
    let active: Vec<&Active> = view.active().collect();
    let shown = match active.len() {
        count if count <= rows => count,
        // The last row says how many are not shown.
        _ => rows.saturating_sub(1),
    };
    let mut out: Vec<String> = active
        .iter()
        .take(shown)
        .map(|active| running(active, now, style))
        .collect();
    if shown < active.len() {
        let mut row = Row::new(style);
        row.rest(
            Style::Faint,
            &format!("  and {} more", active.len() - shown),
        );
        out.push(row.end());
    }
    out.push(totals(view, now, load, style));
    out
}

fn running(active: &Active, now: Timestamp, style: RenderStyle) -> String {
    let (id, name) = subject(
        active.features.first().copied(),
        active.features.len(),
        &active.name,
    );
    let phase = phase(active.kind, active.phase);
    let mut row = Row::new(style);
    row.cell(Style::Faint, &cell(&clean(&active.worker), 10));
    row.cell(Style::Strong, &cell_right(&id, 5));
    row.cell(Style::Plain, &cell(&name, style.names()));
    row.cell(Style::Note, &cell(phase, 9));
    row.cell(
        Style::Plain,
        &cell_right(&format::duration(now.since_ms(active.started)), 6),
    );
    let silent = now.since_ms(active.active_at.unwrap_or(active.started));
    let mut activity = clean(&active.activity);
    if !active.connected {
        activity = format!("not connected; {activity}");
    }
    if silent >= SILENT_MS && !activity.is_empty() {
        activity = format!("{activity} ({} ago)", format::duration(silent));
    }
    let style = if active.connected {
        Style::Faint
    } else {
        Style::Warning
    };
    row.rest(style, &activity);
    row.end()
}

fn phase(kind: WorkerKind, phase: Option<Phase>) -> &'static str {
    match (kind, phase) {
        (_, None) => "starting",
        (_, Some(Phase::Preparing)) => "preparing",
        (WorkerKind::Coding, Some(Phase::Session)) => "coding",
        (WorkerKind::Testing, Some(Phase::Session)) => "judging",
        (_, Some(Phase::Rebasing)) => "rebasing",
        (WorkerKind::Coding, Some(Phase::Checking)) => "checking",
        (WorkerKind::Testing, Some(Phase::Checking)) => "testing",
        (WorkerKind::Coding, Some(Phase::Merging)) => "merging",
        (WorkerKind::Testing, Some(Phase::Merging)) => "reporting",
    }
}

/// The machine's load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Mean number of runnable processes over the last minute.
    pub one_minute: f64,
    /// Number of processors.
    pub processors: usize,
}

/// The whole run in one line.
pub fn totals(view: &View, now: Timestamp, load: Option<Load>, style: RenderStyle) -> String {
    let count = view.counts();
    let mut row = Row::new(style);
    let done = BAR_COLUMNS * count.passing as usize / count.total.max(1) as usize;
    // In a narrow terminal, the bar is left out first.
    if style.width.is_none_or(|width| width >= 70) {
        row.cell(Style::Good, &"━".repeat(done));
        row.glue(Style::Faint, &"─".repeat(BAR_COLUMNS - done));
    }
    row.cell(
        Style::Strong,
        &format!("{}/{} passing", count.passing, count.total),
    );
    let mut part = |style: Style, number: u32, what: &str| {
        if number > 0 {
            row.glue(Style::Plain, ", ");
            row.glue(style, &format!("{number} {what}"));
        }
    };
    part(Style::Note, count.running, "running");
    part(Style::Bad, count.failed, "failed");
    part(Style::Bad, count.regressed, "regressed");
    part(Style::Bad, count.parked, "parked");
    part(Style::Warning, count.asking, "waiting for an answer");
    if view.paused {
        row.glue(Style::Warning, ", paused");
    }
    if let Some(kind) = view.troubled {
        row.glue(Style::Warning, &format!(", held: {}", kind.as_str()));
    }
    if view.draining {
        row.glue(Style::Warning, ", ending");
    }
    for missing in &view.missing_workers {
        row.glue(Style::Plain, ", ");
        row.glue(Style::Warning, &pages::missing_workers::short(missing));
    }
    if let Some(since) = view.since {
        row.glue(
            Style::Faint,
            &format!(", {}", format::duration(now.since_ms(since))),
        );
    }
    if let Some(load) = load {
        let Load {
            one_minute,
            processors,
        } = load;
        row.glue(
            Style::Faint,
            &format!(", load {one_minute:.1}/{processors}"),
        );
    }
    let spent = format::usage(view.spent);
    if !spent.is_empty() {
        row.glue(Style::Faint, &format!(", {spent}"));
    }
    row.end()
}
