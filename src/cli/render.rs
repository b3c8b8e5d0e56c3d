//! Lines of pieces that are never wider than the terminal, and the one for an event.

use super::text::{Palette, Style, cell, cell_right, clean, fit, style_of, width, wrap};
use crate::model::format;
use crate::model::ids::FeatureId;
use crate::model::views::{EventLine, Label};

/// Fewest terminal columns for a note below the others; in a narrower terminal, it is cut.
const BELOW_COLUMNS_MIN: usize = 16;
/// Most terminal columns for a feature's name, so that the columns after it stay close.
const NAME_COLUMNS_MAX: usize = 40;

/// How a view is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderStyle {
    /// Whether to use colour.
    pub palette: Palette,
    /// Columns of the terminal; `None` cuts nothing.
    pub width: Option<usize>,
    /// Columns of the longest feature name.
    pub name_columns: usize,
}

impl RenderStyle {
    /// Columns for names.
    pub(super) fn names(&self) -> usize {
        let wanted = self.name_columns.clamp(8, NAME_COLUMNS_MAX);
        self.width
            .map_or(wanted, |width| wanted.min((width / 3).max(8)))
    }
}

/// An event as a permanent line: `PASS  4m12s  #118 name  worker-3  note`. What is too wide is cut.
pub fn permanent(line: &EventLine, style: RenderStyle) -> String {
    let mut row = columns(line, style);
    row.rest(note_style(line), &clean(&line.note));
    row.end()
}

/// The same with the whole note. What does not fit beside the columns stands below them, after
/// `margin` columns.
pub fn whole(line: &EventLine, style: RenderStyle, margin: usize) -> String {
    let note = clean(&line.note);
    let mut row = columns(line, style);
    if line.worker.is_empty() && !row.takes(&note) {
        // The column of the worker is empty.
        row = subject_columns(line, style);
    }
    if note.is_empty() || row.takes(&note) {
        row.cell(note_style(line), &note);
        return row.end();
    }
    let subject = !line.features.is_empty() || !line.worker.is_empty();
    let below = if subject { Label::WIDTH } else { row.columns } + 1;
    let most = style.width.unwrap_or(usize::MAX).saturating_sub(below);
    if most < BELOW_COLUMNS_MIN {
        return permanent(line, style);
    }
    let lines = wrap(&note, most, 0);
    let mut lines = lines.into_iter().filter_map(|range| note.get(range));
    if !subject && let Some(first) = lines.next() {
        row.cell(note_style(line), first);
    }
    let mut text = row.end();
    for more in lines {
        text.push('\n');
        text.push_str(&" ".repeat(margin + below));
        text.push_str(&style.palette.palette(note_style(line), more));
    }
    text
}

fn note_style(line: &EventLine) -> Style {
    let subject = !line.features.is_empty() || !line.worker.is_empty();
    match line.label {
        Label::Fail | Label::Regression | Label::Park | Label::Ask => Style::Plain,
        _ if subject => Style::Faint,
        _ => Style::Plain,
    }
}

/// Everything but the note.
fn columns(line: &EventLine, style: RenderStyle) -> Row {
    let mut row = subject_columns(line, style);
    if !line.features.is_empty() || !line.worker.is_empty() {
        row.cell(Style::Faint, &cell(&clean(&line.worker), 9));
    }
    row
}

/// Everything up to the feature's name.
fn subject_columns(line: &EventLine, style: RenderStyle) -> Row {
    let elapsed = line.elapsed_ms.map(format::duration).unwrap_or_default();
    let mut row = Row::new(style);
    row.cell(
        style_of(line.label),
        &cell_right(line.label.as_str(), Label::WIDTH),
    );
    row.cell(Style::Faint, &cell_right(&elapsed, 6));
    if line.features.is_empty() && line.worker.is_empty() {
        return row;
    }
    let (id, name) = subject(
        line.features.first().copied(),
        line.features.len(),
        &line.name,
    );
    row.cell(Style::Strong, &cell_right(&id, 5));
    // If lines are not cut, a long name shifts the columns after it.
    let columns = match style.width {
        Some(_) => style.names(),
        None => style.names().max(width(&name)),
    };
    row.cell(Style::Plain, &cell(&name, columns));
    row
}

pub(super) fn subject(first: Option<FeatureId>, count: usize, name: &str) -> (String, String) {
    let id = first.map(|id| id.to_string()).unwrap_or_default();
    let more = match count {
        0 | 1 => String::new(),
        count => format!(" +{}", count - 1),
    };
    (id, clean(name) + &more)
}

/// A line under construction. It is never wider than the terminal.
pub(super) struct Row {
    style: RenderStyle,
    text: String,
    columns: usize,
}

impl Row {
    pub(super) fn new(style: RenderStyle) -> Self {
        Self {
            style,
            text: String::new(),
            columns: 0,
        }
    }

    /// Adds a piece after a space.
    pub(super) fn cell(&mut self, style: Style, text: &str) {
        if self.columns > 0 {
            self.glue(Style::Plain, " ");
        }
        self.glue(style, text);
    }

    /// Adds a piece without a space before it.
    pub(super) fn glue(&mut self, style: Style, text: &str) {
        let text = fit(text, self.room());
        self.columns += width(&text);
        self.text
            .push_str(&self.style.palette.palette(style, &text));
    }

    /// Adds the last piece, unless fewer than 8 columns are left.
    pub(super) fn rest(&mut self, style: Style, text: &str) {
        if self.room() >= 8 && !text.is_empty() {
            self.cell(style, text);
        }
    }

    /// Whether a piece fits without a space before it.
    pub(super) fn fits(&self, text: &str) -> bool {
        width(text) <= self.room()
    }

    /// Whether a piece after a space fits.
    fn takes(&self, text: &str) -> bool {
        width(text) < self.room()
    }

    /// Columns that are left.
    fn room(&self) -> usize {
        let width = self.style.width;
        width.map_or(usize::MAX, |width| width.saturating_sub(self.columns))
    }

    pub(super) fn end(self) -> String {
        self.text.trim_end().to_owned()
    }
}
