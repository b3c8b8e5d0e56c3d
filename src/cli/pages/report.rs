//! The page of `scheduler report`, and the parts of it that a run prints at its end.

pub mod markdown;

use super::{Page, time};
use crate::cli::output::Output;
use crate::cli::text::{Style, cell, cell_right, clean, width};
use crate::model::evidence::{Basis, Usage};
use crate::model::feature::Status;
use crate::model::format;
use crate::model::views::Report;
use crate::model::views::report::{FailedFeature, Need, NeedKind, PassedFeature};
use crate::model::views::timeline::times;

/// Columns before a fact.
const FACT_COLUMN: usize = 12;
/// Columns before a text below its feature.
const BELOW: usize = 8;
/// Most terminal columns for a feature's name.
const NAME_COLUMNS_MAX: usize = 40;
/// Most letters of a failure's reason; `why` and `show` have all of it.
const REASON_CHARS_MAX: usize = 300;

/// The whole report.
pub fn page(report: &Report, out: &Output) -> String {
    let mut page = Page::new(out);
    let mut fact = |name: &str, text: &str| {
        let name = cell(name, FACT_COLUMN);
        page.wrapped(FACT_COLUMN, &[(Style::Strong, &name), (Style::Plain, text)]);
    };
    fact("period", &period(report));
    fact("result", &clean(&result(report)));
    fact("features", &features(report));
    fact("attempts", &attempts(report));
    if !report.failures.is_empty() {
        fact("failures", &failures_words(report));
    }
    fact("merged", &merged(report));
    let spent = spent_words(report);
    if !spent.is_empty() {
        fact("spent", &spent);
    }
    needs(&mut page, report);
    let names = report.passed.iter().map(|it| width(&clean(&it.name))).max();
    let room = out
        .width
        .map_or(NAME_COLUMNS_MAX, |width| (width / 3).max(8));
    let names = names.unwrap_or(0).clamp(8, NAME_COLUMNS_MAX.min(room));
    passed(&mut page, report, names);
    failed(&mut page, report);
    regressions(&mut page, report);
    page.end()
}

fn period(report: &Report) -> String {
    format!(
        "{} to {} ({})",
        time(report.since),
        time(report.until),
        format::duration(report.wall_ms)
    )
}

/// How the last run of the period ended.
fn result(report: &Report) -> String {
    match (report.outcome, report.runs) {
        (Some(_), _) => report.reason.clone(),
        (None, 0) if report.coding_attempts + report.testing_attempts == 0 => {
            "no run in this period".to_owned()
        }
        (None, _) => "the run is open, or was interrupted".to_owned(),
    }
}

fn features(report: &Report) -> String {
    let passed = report.passed.len();
    format!(
        "{} of {} pass; {passed} passed in this period",
        report.passing, report.features
    )
}

fn attempts(report: &Report) -> String {
    let mut parts = vec![
        format!("{} coding", report.coding_attempts),
        format!("{} testing", report.testing_attempts),
    ];
    let given_back: u32 = report.given_back.values().sum();
    if given_back > 0 {
        let reasons = report.given_back.iter();
        let reasons = reasons.map(|(reason, count)| format!("{reason} {count}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        parts.push(format!("{given_back} given back ({reasons})"));
    }
    if report.lost > 0 {
        parts.push(format!("{} lost with their workers", report.lost));
    }
    parts.join(", ")
}

fn merged(report: &Report) -> String {
    let branch = match report.branch.as_str() {
        "" => String::new(),
        branch => format!(" on {}", clean(branch)),
    };
    let tests = times(report.tests_passed, "regression test");
    format!("{}{branch}; {tests} passed", times(report.merged, "commit"))
}

/// Failed attempts by kind: `3: check_failed 2, conflict 1`.
pub(super) fn failures_words(report: &Report) -> String {
    let all: u32 = report.failures.values().sum();
    let kinds = report.failures.iter();
    let kinds: Vec<String> = kinds
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    match all {
        0 => "none".to_owned(),
        _ => format!("{all}: {}", kinds.join(", ")),
    }
}

/// What was spent and on what; empty if nothing was.
pub(super) fn spent_words(report: &Report) -> String {
    let spent = &report.spent;
    let mut parts: Vec<String> = spent_parts(report)
        .into_iter()
        .map(|(what, usage)| format!("{what} {}", format::usage(usage)))
        .collect();
    if let Some(cost) = spent.microusd_per_feature() {
        parts.push(format!("{} a passing feature", format::dollars(cost)));
    }
    match format::usage(spent.total) {
        total if total.is_empty() => total,
        // If all of it went into work that passed, the parts say nothing.
        total if parts.is_empty() => total,
        total => format!("{total} ({})", parts.join("; ")),
    }
}

/// What was spent on anything else than work that passed.
fn spent_parts(report: &Report) -> Vec<(&'static str, Usage)> {
    let spent = &report.spent;
    let parts = [
        ("failed attempts", spent.failed),
        ("lost attempts", spent.lost),
        ("attempts given back", spent.given_back),
        ("questions", spent.asked),
        ("tests", spent.tests),
        ("open attempts", spent.open),
    ];
    let parts = parts.into_iter().filter(|(_, usage)| !usage.is_zero());
    parts.collect()
}

/// What waits for a person, if anything does.
pub(super) fn needs(page: &mut Page, report: &Report) {
    if report.needs.is_empty() {
        return;
    }
    page.gap();
    page.line(&[(Style::Warning, "needs you")]);
    for need in &report.needs {
        page.wrapped(
            BELOW,
            &[
                (Style::Plain, &subject(need)),
                (Style::Strong, need.kind.as_str()),
                (Style::Plain, &after(need)),
            ],
        );
        below(page, &need.next);
    }
}

/// The feature's number and name, before the kind of a need.
fn subject(need: &Need) -> String {
    match need.feature {
        Some(feature) => {
            let id = cell_right(&feature.to_string(), BELOW - 2);
            format!("{id}  {}: ", clean(&need.name))
        }
        None => "  ".to_owned(),
    }
}

fn after(need: &Need) -> String {
    match need_words(need) {
        text if text.is_empty() => text,
        text => format!(", {text}"),
    }
}

/// All of a question; of a failure, what its first line says.
fn need_words(need: &Need) -> String {
    match need.kind {
        NeedKind::Question => cut(&need.text),
        _ => short(&need.text),
    }
}

/// The first line of a reason.
fn short(text: &str) -> String {
    cut(text.trim().split('\n').next().unwrap_or_default())
}

/// A text in one line that is not too long.
fn cut(text: &str) -> String {
    let text = clean(text);
    let cut = crate::model::clip::clip_chars(&text, REASON_CHARS_MAX);
    match cut.len() < text.len() {
        true => format!("{cut}…"),
        false => text,
    }
}

fn below(page: &mut Page, text: &str) {
    let text = format!("{:BELOW$}{text}", "");
    page.wrapped(BELOW, &[(Style::Faint, &text)]);
}

fn passed(page: &mut Page, report: &Report, names: usize) {
    if report.passed.is_empty() {
        return;
    }
    page.gap();
    let title = format!("passed ({})", report.passed.len());
    page.line(&[(Style::Good, &title)]);
    for it in &report.passed {
        let id = cell_right(&it.feature.to_string(), BELOW - 2);
        let name = cell(&clean(&it.name), names);
        let took = cell_right(&format::duration(it.worked_ms), 6);
        let mut facts = vec![format!("{took}  {}", it.commit.short())];
        facts.extend(passed_notes(it));
        let facts = facts.join(", ");
        let pieces = format!("{id}  {name}  {facts}");
        page.wrapped(BELOW, &[(Style::Plain, &pieces)]);
    }
}

/// What is to be said of a pass besides its commit and time.
fn passed_notes(it: &PassedFeature) -> Vec<String> {
    let mut notes = Vec::new();
    let spent = format::usage(it.spent);
    if !spent.is_empty() {
        notes.push(spent);
    }
    if it.attempts > 1 {
        notes.push(times(it.attempts, "attempt"));
    }
    if it.repaired {
        notes.push("repaired".to_owned());
    }
    if it.basis == Basis::AgentWord {
        notes.push("on the agent's word".to_owned());
    }
    notes
}

fn failed(page: &mut Page, report: &Report) {
    if report.failed.is_empty() {
        return;
    }
    page.gap();
    let title = format!("failed ({})", report.failed.len());
    page.line(&[(Style::Bad, &title)]);
    for it in &report.failed {
        let id = cell_right(&it.feature.to_string(), BELOW - 2);
        let head = format!("{id}  {}: {}", clean(&it.name), failed_facts(it));
        page.wrapped(BELOW, &[(Style::Plain, &head)]);
        below(page, &format!("{}: {}", it.kind, short(&it.reason)));
    }
}

fn failed_facts(it: &FailedFeature) -> String {
    let mut facts = vec![
        times(it.failures, "failure"),
        status_words(it.status).to_owned(),
    ];
    let spent = format::usage(it.spent);
    if !spent.is_empty() {
        facts.push(spent);
    }
    facts.join(", ")
}

fn status_words(status: Status) -> &'static str {
    match status {
        Status::Pending => "will be tried again",
        Status::Running => "is being worked on",
        Status::NeedsInput => "waits for an answer",
        other => other.as_str(),
    }
}

fn regressions(page: &mut Page, report: &Report) {
    if report.regressions.is_empty() {
        return;
    }
    page.gap();
    let title = format!("regressions ({})", report.regressions.len());
    page.line(&[(Style::Bad, &title)]);
    for it in &report.regressions {
        let id = cell_right(&it.feature.to_string(), BELOW - 2);
        let state = if it.repaired {
            "repaired"
        } else {
            "still broken"
        };
        let head = format!("{id}  {}: {state}", clean(&it.name));
        page.wrapped(BELOW, &[(Style::Plain, &head)]);
        let suspects = it.suspects.iter().rev().take(3);
        let suspects: Vec<String> = suspects.map(|(feature, _)| feature.to_string()).collect();
        let suspects = match suspects.is_empty() {
            true => String::new(),
            false => format!("; suspects: {}", suspects.join(", ")),
        };
        below(page, &format!("{}{suspects}", short(&it.reason)));
    }
}
