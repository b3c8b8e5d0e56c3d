//! Every recording of a real agent, and its expected result.

use super::*;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/agent-recordings")
        .join(name);
    std::fs::read_to_string(path).expect("recording")
}

/// The mode that a recording's client sets.
fn mode_in(recording: &str) -> Option<String> {
    let entries = recording.lines().map(serde_json::from_str::<Value>);
    let set = entries
        .flatten()
        .find(|entry| entry["msg"]["method"] == "session/set_mode")?;
    Some(set["msg"]["params"]["modeId"].as_str()?.to_owned())
}

/// Plays a recording to our side.
async fn play(recording: &str) -> Played {
    let entries = recording.lines().map(serde_json::from_str::<Value>);
    let rejects = entries
        .flatten()
        .any(|entry| entry["msg"]["result"]["outcome"]["optionId"] == "reject");
    let settings = AcpSettings {
        mode: mode_in(recording),
        permission: match rejects {
            true => Permission::Deny,
            false => Permission::Allow,
        },
        ..AcpSettings::default()
    };
    drive(settings, LIMITS, async |stream, cancel, worktree| {
        let agent = FakeAgent::new(stream, cancel, &worktree);
        agent.play(recording).await;
    })
    .await
}

/// What a recording comes to.
pub(in crate::agent) async fn replay(recording: &str) -> (Vec<AgentEvent>, SessionResult) {
    let played = play(recording).await;
    (played.events, played.result)
}

/// A recording and its expected result: tool calls begun, succeeded, failed; texts; denials; tokens
/// in and out; cost in millionths.
type Row = (&'static str, SessionEnd, [usize; 3], usize, usize, [u64; 3]);

const ROWS: &[Row] = &[
    (
        "claude",
        SessionEnd::Completed,
        [4, 4, 0],
        5,
        0,
        [17_000, 250, 40_800],
    ),
    (
        "claude-auto-mode-denied",
        SessionEnd::Completed,
        [4, 2, 2],
        6,
        0,
        [17_000, 250, 40_800],
    ),
    (
        "claude-perm-rejected",
        SessionEnd::Completed,
        [4, 0, 4],
        5,
        3,
        [17_000, 250, 40_800],
    ),
    (
        "claude-load",
        SessionEnd::Completed,
        [4, 4, 0],
        7,
        0,
        [5_600, 50, 14_000],
    ),
    (
        "claude-cancel",
        SessionEnd::Cancelled,
        [1, 0, 1],
        1,
        0,
        [1_200, 50, 11_600],
    ),
    (
        "claude-err401",
        SessionEnd::AuthFailed,
        [0, 0, 0],
        1,
        0,
        [0, 0, 0],
    ),
    (
        "claude-err429",
        SessionEnd::Limited,
        [0, 0, 0],
        1,
        0,
        [0, 0, 0],
    ),
    (
        "claude-errctx",
        SessionEnd::ContextOverflow,
        [0, 0, 0],
        1,
        0,
        [0, 0, 0],
    ),
    (
        "codex",
        SessionEnd::Completed,
        [5, 3, 2],
        2,
        0,
        [7_000, 250, 0],
    ),
    (
        "codex-zed0.16-no-bwrap",
        SessionEnd::Completed,
        [2, 2, 0],
        2,
        0,
        [0, 0, 0],
    ),
    // Answered with end_turn, after a thread status that says otherwise.
    (
        "codex-errctx",
        SessionEnd::ContextOverflow,
        [0, 0, 0],
        2,
        0,
        [0, 0, 0],
    ),
    (
        "gemini",
        SessionEnd::Completed,
        [4, 4, 0],
        1,
        0,
        [7_000, 250, 0],
    ),
    (
        "gemini-err401",
        SessionEnd::AuthFailed,
        [0, 0, 0],
        0,
        0,
        [0, 0, 0],
    ),
    (
        "opencode",
        SessionEnd::Completed,
        [4, 4, 0],
        1,
        0,
        [1_600, 50, 9_750],
    ),
    (
        "opencode-cancel",
        SessionEnd::Cancelled,
        [1, 1, 0],
        0,
        0,
        [0, 0, 0],
    ),
    (
        "opencode-err401",
        SessionEnd::AuthFailed,
        [0, 0, 0],
        0,
        0,
        [0, 0, 0],
    ),
];

#[tokio::test]
async fn recordings_of_real_agents_are_understood() {
    for (name, end, tools, texts, denials, used) in ROWS {
        let recording = read(&format!("acp-{name}.jsonl"));
        let played = play(&recording).await;
        assert_eq!(played.result.end, *end, "{name}: {:?}", played.result);
        assert_eq!(played.result.failure, None, "{name}");
        let found = [
            played.count(|event| matches!(event, AgentEvent::ToolStart { .. })),
            played.count(|event| matches!(event, AgentEvent::ToolEnd { ok: true, .. })),
            played.count(|event| matches!(event, AgentEvent::ToolEnd { ok: false, .. })),
        ];
        assert_eq!(found, *tools, "{name}: {:?}", played.events);
        let found = played.count(|event| matches!(event, AgentEvent::Text { .. }));
        assert_eq!(found, *texts, "{name}: {:?}", played.events);
        let found = played.count(|event| matches!(event, AgentEvent::Denied { .. }));
        assert_eq!(found, *denials, "{name}: {:?}", played.events);
        let usage = played.result.usage;
        let found = [usage.input_tokens, usage.output_tokens, usage.cost_microusd];
        assert_eq!(found, *used, "{name}");
        let is_start = |event: &AgentEvent| matches!(event, AgentEvent::Started { .. });
        assert_eq!(played.count(is_start), 1, "{name}");
        check_transcript(name, &recording, &played.transcript);
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agent-recordings");
    let files = std::fs::read_dir(directory).expect("fixtures");
    let names = files.map(|file| file.expect("a file").file_name().into_encoded_bytes());
    let ours = names.filter(|name| name.starts_with(b"acp-")).count();
    assert_eq!(ours, ROWS.len(), "a recording is not played");
}

/// Every message of the agent is in the transcript, in its order.
fn check_transcript(name: &str, recording: &str, transcript: &str) {
    let said = recording
        .lines()
        .filter(|line| line.contains("\"dir\":\"agent\""))
        .count();
    let rows: Vec<Value> = transcript
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect();
    let out = rows.iter().filter(|row| row["stream"] == "out").count();
    assert_eq!(out, said, "{name}");
    let first = rows
        .first()
        .and_then(|row| row["line"].as_str())
        .unwrap_or("");
    assert!(first.contains("\"initialize\""), "{name}: {first}");
}
