//! What `run` and `demo` print at their end.

use super::Page;
use crate::cli::output::Output;
use crate::cli::text::{Style, clean};
use crate::model::feature::Status;
use crate::model::format;
use crate::model::state::State;

/// The reason after Ctrl-C or SIGTERM.
pub const INTERRUPTED: &str = "interrupted; `scheduler run` continues where it ended";

/// Columns before a value of the demo's summary.
const VALUE_COLUMN: usize = 13;

/// Why a run ended.
pub fn run(reason: &str, out: &Output) -> String {
    let mut page = Page::new(out);
    page.wrapped(0, &[(Style::Plain, &clean(reason))]);
    page.end()
}

/// The demo's summary, and commands that show more. They name `own`, the path of this program, and
/// `root`, the project's directory.
pub fn demo(
    state: &State,
    reason: &str,
    wall_ms: u64,
    (own, root): (&str, &str),
    out: &Output,
) -> String {
    let tally = &state.tally;
    let (passing, total) = (state.count(Status::Passing), state.features().count());
    let failures: u64 = tally.failures.values().sum();
    let kinds = tally.failures.iter();
    let kinds = kinds.map(|(kind, count)| format!("{} {count}", kind.as_str()));
    let kinds: Vec<String> = kinds.collect();
    let rows = [
        (
            "features",
            format!("{passing} of {total} pass ({})", clean(reason)),
        ),
        (
            "attempts",
            format!("{} coding, {} testing", tally.coding, tally.testing),
        ),
        (
            "failures",
            match failures {
                0 => "none".to_owned(),
                _ => format!("{failures}: {}", kinds.join(", ")),
            },
        ),
        (
            "regressions",
            format!("{} found and fixed", tally.regressions),
        ),
        (
            "merged",
            format!("{} commits on {}", tally.merged, state.branch),
        ),
        (
            "lost",
            format!("{} attempts, because their worker ended", tally.lost),
        ),
        ("spent", format::usage(state.spent)),
        ("wall time", format::duration(wall_ms)),
    ];
    let mut page = Page::new(out);
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let name = format!("{name:<VALUE_COLUMN$}");
        page.wrapped(
            VALUE_COLUMN,
            &[(Style::Plain, &name), (Style::Plain, value)],
        );
    }
    page.gap();
    page.line(&[(Style::Plain, "see more:")]);
    let (own, root, branch) = (clean(own), clean(root), clean(&state.branch));
    for command in [
        format!("  {own} -C {root} log"),
        format!("  {own} -C {root} why 9"),
        format!("  git -C {root} log --oneline {branch}"),
    ] {
        page.whole(&[(Style::Plain, &command)]);
    }
    page.end()
}
