//! Pages about an attempt and its transcript.

use super::{Page, time, why};
use crate::cli::output::Output;
use crate::cli::text::{Style, cell_right, clean, clean_lines};
use crate::cli::transcript::{Kind, Piece};
use crate::model::format;
use crate::model::settings::WorkerKind;
use crate::model::views::AttemptTimeline;

/// First lines shown of a tool's output; `--raw` has all.
const OUTPUT_LINES_MAX: usize = 12;
/// Terminal columns before the text of a transcript's piece.
const INDENT: usize = 17;

/// The page about an attempt. What is wider than the terminal is wrapped.
pub fn page(timeline: &AttemptTimeline, preserved: Option<&str>, out: &Output) -> String {
    let mut page = Page::new(out);
    let kind = match timeline.kind {
        WorkerKind::Coding => "coding",
        WorkerKind::Testing => "testing",
    };
    let names = timeline.features.iter();
    let names: Vec<String> = names
        .map(|(id, name)| format!("{id} {}", clean(name)))
        .collect();
    let try_number = match timeline.number {
        0 | 1 => String::new(),
        number => format!(", try {number}"),
    };
    let title = format!("attempt {}: ", timeline.attempt);
    let rest = format!("{kind} {}{try_number}", names.join(", "));
    page.wrapped(2, &[(Style::Strong, &title), (Style::Plain, &rest)]);
    let mut fact = |name: &str, words: &str| {
        let name = format!("  {name:<10}");
        page.wrapped(12, &[(Style::Faint, &name), (Style::Plain, words)]);
    };
    fact("worker", &clean(&timeline.worker));
    let began = format!(
        "{} from commit {}",
        time(timeline.started),
        timeline.base.short()
    );
    fact("started", &began);
    if timeline.open {
        fact("ended", "not yet");
    }
    let spent = format::usage(timeline.spent);
    if !spent.is_empty() {
        fact("spent", &spent);
    }
    if let Some(merged) = &timeline.merged {
        fact("work", &format!("git show {}", merged.short()));
    } else if let Some(preserved) = preserved {
        fact("work", &format!("not merged; git show {preserved}"));
    }
    page.gap();
    for entry in &timeline.entries {
        why::entry_lines(&mut page, entry, &[]);
    }
    page.gap();
    page.end()
}

/// One piece of the transcript, as lines.
pub fn piece(piece: &Piece, out: &Output) -> String {
    let mut page = Page::new(out);
    let tone = match piece.kind {
        Kind::Agent => Style::Plain,
        Kind::Tool | Kind::Plan => Style::Note,
        Kind::Failed | Kind::Denied | Kind::Limit | Kind::Complaint => Style::Warning,
        Kind::Prompt | Kind::Thought | Kind::Output | Kind::Note | Kind::End => Style::Faint,
    };
    let text = clean_lines(piece.text.trim_end());
    let mut lines: Vec<&str> = text.trim_start_matches('\n').lines().collect();
    let mut more = String::new();
    match piece.kind {
        Kind::Prompt => {
            lines.truncate(1);
            more = "(--prompt prints the whole prompt)".to_owned();
        }
        Kind::Output | Kind::Failed if lines.len() > OUTPUT_LINES_MAX => {
            more = format!(
                "({} more lines; --raw prints them)",
                lines.len() - OUTPUT_LINES_MAX
            );
            lines.truncate(OUTPUT_LINES_MAX);
        }
        _ => {}
    }
    let at = cell_right(&format::duration(piece.at_ms), 8);
    let mut head = format!("{at} {:<8}", piece.kind.as_str());
    for line in lines
        .iter()
        .copied()
        .chain((!more.is_empty()).then_some(more.as_str()))
    {
        page.wrapped(INDENT, &[(Style::Faint, &head), (tone, line)]);
        head = " ".repeat(INDENT);
    }
    page.end()
}
