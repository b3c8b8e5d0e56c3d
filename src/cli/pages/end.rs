//! What `run`, `attach` and `demo` print at their end.

use super::Page;
use super::report::{failures_words, needs, spent_words};
use crate::cli::output::Output;
use crate::cli::text::{Style, clean};
use crate::model::format;
use crate::model::views::Report;
use crate::model::views::timeline::times;

/// The reason after Ctrl-C or SIGTERM.
pub const INTERRUPTED: &str = "interrupted; `scheduler run` continues where it ended";

/// Columns before a value.
const VALUE_COLUMN: usize = 13;

/// Why a run ended, what it brought, and what waits for a person.
pub fn run(report: &Report, reason: &str, out: &Output) -> String {
    let mut page = Page::new(out);
    summary(&mut page, report, reason);
    needs(&mut page, report);
    let details = report.passed.len() + report.failed.len() + report.regressions.len();
    if details > 0 {
        page.gap();
        let hint = "`scheduler report` shows every feature; `scheduler log` shows what happened";
        page.wrapped(0, &[(Style::Faint, hint)]);
    }
    page.end()
}

/// The same for the demo, with commands that show more. They name `own`, the path of this program,
/// and `root`, the project's directory.
pub fn demo(report: &Report, reason: &str, (own, root): (&str, &str), out: &Output) -> String {
    let mut page = Page::new(out);
    summary(&mut page, report, reason);
    needs(&mut page, report);
    page.gap();
    page.line(&[(Style::Plain, "see more:")]);
    let (own, root, branch) = (clean(own), clean(root), clean(&report.branch));
    for command in [
        format!("  {own} -C {root} report"),
        format!("  {own} -C {root} log"),
        format!("  {own} -C {root} why 9"),
        format!("  git -C {root} log --oneline {branch}"),
    ] {
        page.whole(&[(Style::Plain, &command)]);
    }
    page.end()
}

/// Where a run continues that was started in the background.
pub fn detached(pid: u32, log: &str, out: &Output) -> String {
    let mut page = Page::new(out);
    let title = format!("the run continues in the background (pid {pid})");
    page.line(&[(Style::Plain, &title)]);
    for (what, command) in [
        ("show it", "scheduler attach"),
        ("end it", "scheduler stop"),
        ("its log", &clean(log)),
    ] {
        let what = format!("{what:<VALUE_COLUMN$}");
        page.whole(&[(Style::Plain, &what), (Style::Plain, command)]);
    }
    page.end()
}

fn summary(page: &mut Page, report: &Report, reason: &str) {
    page.wrapped(0, &[(Style::Plain, &clean(reason))]);
    page.gap();
    let given_back: u32 = report.given_back.values().sum();
    let reasons = report.given_back.iter();
    let reasons = reasons.map(|(reason, count)| format!("{reason} {count}"));
    let reasons: Vec<String> = reasons.collect();
    let repaired = report.regressions.iter().filter(|it| it.repaired).count();
    let only_if = |count: u32, text: String| if count > 0 { text } else { String::new() };
    let rows = [
        (
            "features",
            format!("{} of {} pass", report.passing, report.features),
        ),
        (
            "attempts",
            format!(
                "{} coding, {} testing",
                report.coding_attempts, report.testing_attempts
            ),
        ),
        ("failures", failures_words(report)),
        (
            "given back",
            only_if(given_back, format!("{given_back}: {}", reasons.join(", "))),
        ),
        (
            "lost",
            only_if(
                report.lost,
                format!("{}, with their workers", times(report.lost, "attempt")),
            ),
        ),
        (
            "regressions",
            format!("{} found, {repaired} repaired", report.regressions.len()),
        ),
        (
            "merged",
            format!("{} on {}", times(report.merged, "commit"), report.branch),
        ),
        ("spent", spent_words(report)),
        ("wall time", format::duration(report.wall_ms)),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let name = format!("{name:<VALUE_COLUMN$}");
        let value = clean(value);
        page.wrapped(
            VALUE_COLUMN,
            &[(Style::Plain, &name), (Style::Plain, &value)],
        );
    }
}
