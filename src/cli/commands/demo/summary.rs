//! The demo's summary, on standard output.

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::engine::Ended;
use crate::cli::error::Error;
use crate::cli::project::Project;
use crate::model::feature::Status;
use crate::model::format;

/// Prints how the demo went and which commands show more.
pub fn print(
    context: &Context,
    project: &Project,
    ended: &Ended,
    wall_ms: u64,
) -> Result<(), Error> {
    if context.out.is_json() {
        return context.out.json(&as_json(project, ended, wall_ms));
    }
    let (state, tally) = (&ended.state, &ended.state.tally);
    let total = state.features().count();
    let passing = state.count(Status::Passing);
    let failures: u64 = tally.failures.values().sum();
    let kinds = tally
        .failures
        .iter()
        .map(|(kind, count)| format!("{} {count}", kind.as_str()));
    let kinds: Vec<String> = kinds.collect();
    let reason = match ended.reason() {
        "" => "interrupted",
        reason => reason,
    };
    let rows = [
        ("features", format!("{passing} of {total} pass ({reason})")),
        (
            "attempts",
            format!("{} coding, {} testing", tally.coding, tally.testing),
        ),
        ("failures", format!("{failures}: {}", kinds.join(", "))),
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
    for (name, value) in rows {
        context.out.line(format_args!("{name:<12} {value}"))?;
    }
    let own = own_name();
    let root = project.root.display();
    context.out.line("")?;
    context.out.line("see more:")?;
    context.out.line(format_args!("  {own} -C {root} log"))?;
    context.out.line(format_args!("  {own} -C {root} why 9"))?;
    context.out.line(format_args!(
        "  git -C {root} log --oneline {}",
        state.branch
    ))
}

/// The name by which this program was called, so that the commands it prints can be copied.
fn own_name() -> String {
    let name = std::env::args().next();
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "scheduler".to_owned())
}

fn as_json(project: &Project, ended: &Ended, wall_ms: u64) -> Value {
    let (state, tally) = (&ended.state, &ended.state.tally);
    let kinds = tally.failures.iter();
    let kinds: serde_json::Map<String, Value> = kinds
        .map(|(kind, count)| (kind.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "project": project.root.to_string_lossy(),
        "exit_code": ended.code().code(),
        "reason": ended.reason(),
        "features": state.features().count(),
        "passing": state.count(Status::Passing),
        "coding_attempts": tally.coding,
        "testing_attempts": tally.testing,
        "failures": kinds,
        "regressions": tally.regressions,
        "merged": tally.merged,
        "lost": tally.lost,
        "wall_ms": wall_ms,
    })
}
