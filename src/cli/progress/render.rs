//! A run's view, as text: no terminal, no clock.

use super::view::{Active, View};
use crate::cli::pages;
use crate::cli::text::{Palette, Style, cell, cell_right, clean, fit, style_of, width};
use crate::model::format;
use crate::model::ids::Timestamp;
use crate::model::settings::WorkerKind;
use crate::model::views::{EventLine, Label};
use crate::protocol::Phase;

/// Names take no more columns than this, so that the columns after them are near.
const NAME_COLUMNS_MAX: usize = 40;
/// An agent that was silent for so long is worth a remark.
const SILENT_MS: u64 = 5_000;
/// Columns of the bar before the totals.
const BAR_COLUMNS: usize = 20;

/// How a view is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderStyle {
    /// Colours.
    pub palette: Palette,
    /// Columns of the terminal; `None` cuts nothing.
    pub width: Option<usize>,
    /// Columns of the longest feature's name.
    pub name_columns: usize,
}

impl RenderStyle {
    /// Columns that names get.
    fn names(&self) -> usize {
        let wanted = self.name_columns.clamp(8, NAME_COLUMNS_MAX);
        self.width
            .map_or(wanted, |width| wanted.min((width / 3).max(8)))
    }
}

/// One finished thing as a line that stays: `PASS  4m12s  #118 name  worker-3  note`.
pub fn permanent(line: &EventLine, style: RenderStyle) -> String {
    let elapsed = line.elapsed_ms.map(format::duration).unwrap_or_default();
    let mut row = Row::new(style);
    row.cell(
        style_of(line.label),
        &cell_right(line.label.word(), Label::WIDTH),
    );
    row.cell(Style::Faint, &cell_right(&elapsed, 6));
    if line.features.is_empty() && line.worker.is_empty() {
        row.rest(Style::Plain, &clean(&line.note));
        return row.end();
    }
    let (id, name) = subject(
        line.features.first().copied(),
        line.features.len(),
        &line.name,
    );
    row.cell(Style::Strong, &cell_right(&id, 5));
    // Where nothing is cut, a long name moves the columns after it.
    let columns = match style.width {
        Some(_) => style.names(),
        None => style.names().max(width(&name)),
    };
    row.cell(Style::Plain, &cell(&name, columns));
    row.cell(Style::Faint, &cell(&clean(&line.worker), 9));
    let note = match line.label {
        Label::Fail | Label::Regression | Label::Park | Label::Ask => Style::Plain,
        _ => Style::Faint,
    };
    row.rest(note, &clean(&line.note));
    row.end()
}

fn subject(
    first: Option<crate::model::ids::FeatureId>,
    count: usize,
    name: &str,
) -> (String, String) {
    let id = first.map(|id| id.to_string()).unwrap_or_default();
    let more = match count {
        0 | 1 => String::new(),
        count => format!(" +{}", count - 1),
    };
    (id, clean(name) + &more)
}

/// What is running now: a line for every open attempt, at most `rows` of them, and the totals.
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
        // One row says how many are not shown.
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

/// How busy the machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Runnable processes, the mean of the last minute.
    pub one_minute: f64,
    /// Processors.
    pub processors: usize,
}

/// All of the run in one line.
pub fn totals(view: &View, now: Timestamp, load: Option<Load>, style: RenderStyle) -> String {
    let count = view.counts();
    let mut row = Row::new(style);
    let done = BAR_COLUMNS * count.passing as usize / count.total.max(1) as usize;
    // The bar is the first thing to go when there is little room.
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
        row.glue(Style::Warning, &format!(", held: {}", kind.word()));
    }
    if view.draining {
        row.glue(Style::Warning, ", ending");
    }
    for lacking in &view.lacking {
        row.glue(Style::Plain, ", ");
        row.glue(Style::Warning, &pages::missing_workers::short(lacking));
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

/// A line under construction, never wider than the terminal.
struct Row {
    style: RenderStyle,
    text: String,
    columns: usize,
}

impl Row {
    fn new(style: RenderStyle) -> Self {
        Self {
            style,
            text: String::new(),
            columns: 0,
        }
    }

    /// A piece after a gap.
    fn cell(&mut self, style: Style, text: &str) {
        if self.columns > 0 {
            self.glue(Style::Plain, " ");
        }
        self.glue(style, text);
    }

    /// A piece without a gap before it.
    fn glue(&mut self, style: Style, text: &str) {
        let room = self
            .style
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(self.columns));
        let text = fit(text, room);
        self.columns += width(&text);
        self.text
            .push_str(&self.style.palette.palette(style, &text));
    }

    /// The last piece; nothing when there is hardly room for a word of it.
    fn rest(&mut self, style: Style, text: &str) {
        let room = self
            .style
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(self.columns));
        if room >= 8 && !text.is_empty() {
            self.cell(style, text);
        }
    }

    fn end(self) -> String {
        self.text.trim_end().to_owned()
    }
}
