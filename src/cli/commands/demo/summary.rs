//! The demo's summary, on standard output.

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::engine::Ended;
use crate::cli::error::Error;
use crate::cli::pages;
use crate::cli::project::Project;
use crate::model::feature::Status;

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
    let reason = match ended.reason() {
        "" => "interrupted",
        reason => reason,
    };
    let (own, root) = (own_name(), project.root.display().to_string());
    let page = pages::end::demo(&ended.report, reason, (&own, &root), &context.out);
    context.out.bytes(page.as_bytes())
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
