//! Renders a run's view as text, without a terminal or clock.

use super::view::{Active, View};
use crate::cli::pages;
use crate::cli::render::{RenderStyle, Row, subject, whole};
use crate::cli::text::{Style, cell, cell_right, clean, fit};
use crate::model::format;
use crate::model::ids::Timestamp;
use crate::model::settings::WorkerKind;
use crate::model::views::{EventLine, Label};
use crate::protocol::Phase;

/// Milliseconds of an agent's silence after which the line shows it.
const SILENT_MS: u64 = 5_000;
/// Lines of a note below its event, about.
const NOTE_LINES_MAX: usize = 3;
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
    out.extend(totals(view, now, load, style));
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

/// An event as a permanent line. A note that does not fit stands below it, cut after about three
/// lines, because an agent may write anything.
pub fn news(mut line: EventLine, style: RenderStyle) -> String {
    if let Some(width) = style.width {
        line.note = fit(
            &clean(&line.note),
            NOTE_LINES_MAX * width.saturating_sub(Label::WIDTH),
        );
    }
    whole(&line, style, 0)
}

/// The whole run: one line, or more in a narrow terminal.
pub fn totals(view: &View, now: Timestamp, load: Option<Load>, style: RenderStyle) -> Vec<String> {
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
    let mut lines = Vec::new();
    for (kind, text) in parts(view, now, load) {
        // The comma after it takes a column.
        if !row.fits(&format!(", {text},")) {
            row.glue(Style::Plain, ",");
            let next = Row::new(style);
            lines.push(std::mem::replace(&mut row, next).end());
            row.glue(Style::Plain, "  ");
        } else {
            row.glue(Style::Plain, ", ");
        }
        row.glue(kind, &text);
    }
    lines.push(row.end());
    lines
}

/// What the totals say after the number of passing features.
fn parts(view: &View, now: Timestamp, load: Option<Load>) -> Vec<(Style, String)> {
    let count = view.counts();
    let tests = match count.tests_passed {
        1 => "test passed",
        _ => "tests passed",
    };
    let numbers = [
        (Style::Note, count.running, "running"),
        (Style::Plain, count.tests_passed, tests),
        (Style::Bad, count.failed, "failed"),
        (Style::Bad, count.regressed, "regressed"),
        (Style::Bad, count.parked, "parked"),
        (Style::Warning, count.asking, "waiting for an answer"),
    ];
    let numbers = numbers.into_iter().filter(|(_, number, _)| *number > 0);
    let mut parts: Vec<(Style, String)> = numbers
        .map(|(style, number, what)| (style, format!("{number} {what}")))
        .collect();
    let mut warn = |text: String| parts.push((Style::Warning, text));
    if view.paused {
        warn("paused".to_owned());
    }
    if let Some(kind) = view.troubled {
        warn(format!("held: {}", kind.as_str()));
    }
    for profile in &view.outages {
        warn(format!("{profile} out"));
    }
    if view.merges_held {
        warn("merges held".to_owned());
    }
    if view.draining {
        warn("ending".to_owned());
    }
    for missing in &view.missing_workers {
        warn(pages::missing_workers::short(missing));
    }
    if let Some(since) = view.since {
        parts.push((Style::Faint, format::duration(now.since_ms(since))));
    }
    if let Some(Load {
        one_minute,
        processors,
    }) = load
    {
        parts.push((Style::Faint, format!("load {one_minute:.1}/{processors}")));
    }
    let spent = format::usage(view.spent);
    if !spent.is_empty() {
        parts.push((Style::Faint, spent));
    }
    parts
}
