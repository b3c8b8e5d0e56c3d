//! The page with a feature's text.

use super::Page;
use crate::cli::output::Output;
use crate::cli::text::{Style, clean, clean_lines, trimmed};
use crate::model::views::text::{FeatureText, Neighbour};

/// Features listed; JSON has all.
const NEIGHBOURS_MAX: usize = 20;

/// The page. What is wider than the terminal is wrapped, but for checks, which are commands.
pub fn page(text: &FeatureText, out: &Output) -> String {
    let mut page = Page::new(out);
    let spec = &text.spec;
    let title = format!("{} {}", text.feature, clean(&spec.name));
    let status = format!(": {}", text.status.as_str());
    page.wrapped(2, &[(Style::Strong, &title), (Style::Plain, &status)]);
    let mut fact = |name: &str, words: String| {
        let name = format!("  {name:<10}");
        page.wrapped(12, &[(Style::Faint, &name), (Style::Plain, &words)]);
    };
    if !text.skipped.is_empty() {
        fact("skipped", clean(&text.skipped));
    }
    if !spec.category.is_empty() {
        fact("category", clean(&spec.category));
    }
    if spec.priority != 0 {
        fact("priority", spec.priority.to_string());
    }
    if spec.checks.is_empty() {
        fact(
            "checks",
            "none; the feature passes on the agent's word".to_owned(),
        );
    }
    if !spec.description.trim().is_empty() {
        page.gap();
        block(&mut page, "  ", &spec.description);
    }
    let steps = Page::wrapped;
    list(&mut page, ("steps", steps), &spec.steps);
    let commands = |page: &mut Page, _: usize, pieces: &[(Style, &str)]| page.whole(pieces);
    list(&mut page, ("checks", commands), &spec.checks);
    neighbours(&mut page, "waits for", &text.waits_for);
    neighbours(&mut page, "unblocks", &text.unblocks);
    page.gap();
    let next = format!("scheduler why {}", text.feature.0);
    page.line(&[(Style::Faint, "its history: "), (Style::Plain, &next)]);
    page.end()
}

fn block(page: &mut Page, indent: &str, text: &str) {
    for line in clean_lines(trimmed(text)).lines() {
        page.wrapped(2, &[(Style::Plain, indent), (Style::Plain, line)]);
    }
}

/// Adds a line of a page, with an indent for what does not fit.
type AddLine = fn(&mut Page, usize, &[(Style, &str)]);

fn list(page: &mut Page, (title, add): (&str, AddLine), items: &[String]) {
    if items.is_empty() {
        return;
    }
    page.gap();
    page.line(&[(Style::Strong, title)]);
    for (number, item) in (1..).zip(items) {
        let text = clean_lines(trimmed(item));
        let mut label = format!("  {number}. ");
        for line in text.lines() {
            add(
                page,
                label.len(),
                &[(Style::Faint, &label), (Style::Plain, line)],
            );
            label = " ".repeat(label.len());
        }
    }
}

fn neighbours(page: &mut Page, title: &str, neighbours: &[Neighbour]) {
    if neighbours.is_empty() {
        return;
    }
    page.gap();
    page.line(&[(Style::Strong, title)]);
    for it in neighbours.iter().take(NEIGHBOURS_MAX) {
        let name = format!("  {} {}", it.feature, clean(&it.name));
        let status = format!(" ({})", it.status.as_str());
        page.wrapped(4, &[(Style::Plain, &name), (Style::Faint, &status)]);
    }
    if let Some(more) = neighbours
        .len()
        .checked_sub(NEIGHBOURS_MAX)
        .filter(|more| *more > 0)
    {
        page.line(&[(Style::Faint, &format!("  and {more} more"))]);
    }
}
