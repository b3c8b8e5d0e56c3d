//! Every recording of a real agent, and what the driver that reads it makes of it: one table, so that
//! each ending can be compared with what happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::acp::tests::recordings;
use super::driver::{AgentEvent, Role, SessionResult};
use super::process::ProgramEnd;
use super::{claude, codex, command};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agent-recordings")
}

/// How the recorded processes ended, by recording: `None` if one was ended for its silence.
fn ends() -> BTreeMap<String, Option<ProgramEnd>> {
    let text = std::fs::read(directory().join("exit_codes.json")).expect("the exit codes");
    let codes: BTreeMap<String, Value> = serde_json::from_slice(&text).expect("JSON");
    let end = |code: &Value| match code["rc"]
        .as_i64()
        .and_then(|code| i32::try_from(code).ok())
    {
        _ if code["timeout_killed"] == true => None,
        Some(code) if code < 0 => Some(ProgramEnd::Signalled(-code)),
        code => code.map(ProgramEnd::Exited),
    };
    let codes = codes.into_iter();
    codes.map(|(name, code)| (name, end(&code))).collect()
}

/// The agent's half of a recording of both directions.
fn agents_half(recording: &str) -> String {
    let entries = recording.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).expect("an entry");
        match entry["dir"] == "agent" {
            true => format!("{}\n", entry["msg"]),
            false => String::new(),
        }
    });
    entries.collect()
}

/// The driver that reads a recording, and what it makes of it.
async fn outcome(
    name: &str,
    recording: &str,
    end: Option<ProgramEnd>,
) -> (&'static str, Vec<AgentEvent>, SessionResult) {
    let agent = name.split('-').next().expect("a name");
    let ((events, result), driver) = match agent {
        "acp" => (recordings::replay(recording).await, "acp"),
        "claude" if name.contains("stdio-control") => {
            let half = agents_half(recording);
            (claude::read(half.as_bytes(), end), "claude")
        }
        "claude" => (claude::read(recording.as_bytes(), end), "claude"),
        "codex" => (codex::read(recording.as_bytes(), end), "codex"),
        // Their own streams are text for the `command` driver, which decides by the exit code; over
        // ACP they say more.
        _ => (command::replay(recording.as_bytes(), end), "command"),
    };
    (driver, events, result)
}

fn row(driver: &str, name: &str, events: &[AgentEvent], result: &SessionResult) -> String {
    let count =
        |wanted: fn(&AgentEvent) -> bool| events.iter().filter(|event| wanted(event)).count();
    let failure = match (result.failure_kind(), result.failure) {
        (None, _) => "-",
        (Some(kind), _) => kind.as_str(),
    };
    let until = match result.limit_until_ms {
        Some(until) => format!(" until {until}"),
        None => String::new(),
    };
    let usage = result.usage;
    let numbers = [
        (
            "ok",
            count(|event| matches!(event, AgentEvent::ToolEnd { ok: true, .. })),
        ),
        (
            "failed",
            count(|event| matches!(event, AgentEvent::ToolEnd { ok: false, .. })),
        ),
        (
            "denied",
            count(|event| matches!(event, AgentEvent::Denied { .. })),
        ),
        (
            "retries",
            count(|event| matches!(event, AgentEvent::Retry { .. })),
        ),
        (
            "raw",
            count(|event| matches!(event, AgentEvent::Raw { .. })),
        ),
    ];
    let numbers = numbers.iter().filter(|(_, number)| *number > 0);
    let numbers: Vec<String> = numbers
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    let said = events.iter().any(
        |event| matches!(event, AgentEvent::Text { role, text } if *role != Role::User && !text.trim().is_empty()),
    );
    format!(
        "{name}\n    {driver:<8} {:?}{until}, {failure}; steps: {}; {}; tokens {}+{}, ${}.{:06}\n    {}\n",
        result.end,
        match numbers.is_empty() {
            true => "none".to_owned(),
            false => numbers.join(", "),
        },
        if said {
            "said something"
        } else {
            "said nothing"
        },
        usage.input_tokens,
        usage.output_tokens,
        usage.cost_microusd / 1_000_000,
        usage.cost_microusd % 1_000_000,
        result.reason,
    )
}

#[tokio::test]
async fn every_recording_has_its_outcome() {
    let ends = ends();
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory())
        .expect("fixtures")
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    let mut table = String::new();
    for path in &files {
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("a name");
        let recording = std::fs::read_to_string(path).expect("a recording");
        // The code of a few was not kept; their output says that they ended by themselves.
        let end = ends.get(name).copied();
        let end = end.unwrap_or(Some(ProgramEnd::Exited(0)));
        let (driver, events, result) = outcome(name, &recording, end).await;
        table.push_str(&row(driver, name, &events, &result));
    }
    assert!(files.len() >= 70, "{}", files.len());
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path(directory());
    settings.bind(|| insta::assert_snapshot!("outcomes", table));
}
